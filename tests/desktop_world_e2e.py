#!/usr/bin/env python3
"""posthorn-desktop(1) among what surrounds it: Dovecot, a keyring, a name server, notifications, other protocols, the keyboard, languages.

Root is needed for the tests with ports of the well-known numbers; they run in a network of their own.
"""
import contextlib
import email.utils
import json
import mailbox
import os
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import client_e2e as client  # noqa: E402
import desktop_e2e as desktop  # noqa: E402
import dns_server  # noqa: E402
import e2e  # noqa: E402
from desktop_e2e import HEADERS, Window, fake, mails  # noqa: E402
from e2e import check, equal, skip  # noqa: E402

OWN_NETWORK = "POSTHORN_OWN_NETWORK"
OWN = """ip link set lo up
mount -t tmpfs none /usr/local/share
echo "nameserver 127.0.0.1\noptions timeout:1 attempts:1" >/usr/local/share/resolv.conf
mount --bind /usr/local/share/resolv.conf /etc/resolv.conf
for keyring in /usr/share/dbus-1/services/org.*secrets.service; do
	[ ! -e "$keyring" ] || mount --bind /dev/null "$keyring"
done
exec "$@"
"""
SOURCES = os.path.join(e2e.ROOT, "clients", "gtk")


@contextlib.contextmanager
def running(*command, ready="ready", **options):
    """A program that says that it is ready."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        line = process.stdout.readline()
        check(ready in line, f"{command[0]} says {line!r}")
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def bus(*arguments):
    """The folder of a desktop's services: see desktop_bus.py."""
    folder = client.folder()
    with running(desktop.PYTHON, os.path.join(e2e.ROOT, "tests", "desktop_bus.py"), folder, *arguments):
        yield folder


@contextlib.contextmanager
def keyring():
    """A keyring that is unlocked and empty."""
    daemon = shutil.which("gnome-keyring-daemon")
    if not daemon or not os.environ.get(OWN_NETWORK):
        skip("gnome-keyring and root are needed")
    home = client.folder()
    environment = os.environ | {"HOME": home, "XDG_DATA_HOME": home, "XDG_RUNTIME_DIR": home}
    process = subprocess.Popen([daemon, "--foreground", "--replace", "--unlock", "--components=secrets", f"--control-directory={home}/control"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    process.stdin.write(b"opens the keyring")
    process.stdin.close()
    try:
        def ask(*words):
            return subprocess.run(["gdbus", "call", "--session", *words], capture_output=True, text=True, timeout=60, check=False).stdout
        e2e.until(lambda: "true" in ask("--dest", "org.freedesktop.DBus", "--object-path", "/", "--method", "org.freedesktop.DBus.NameHasOwner",
                                        "org.freedesktop.secrets"), "a keyring")
        e2e.until(lambda: "collection/login" in ask("--dest", "org.freedesktop.secrets", "--object-path", "/org/freedesktop/secrets", "--method",
                                                    "org.freedesktop.Secret.Service.ReadAlias", "default"), "the keyring is open")
        yield home
    finally:
        process.terminate()
        process.wait(30)


def content_of(folder):
    return b"".join(client.content(root, name) for root, _, names in os.walk(folder) for name in names if os.path.isfile(os.path.join(root, name)))


# ---- other servers ----------------------------------------------------------------------------------


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


@contextlib.contextmanager
def dovecot():
    if not shutil.which("dovecot") or os.geteuid() != 0 or not os.environ.get(OWN_NETWORK):
        skip("Dovecot and root are needed")
    script, folder = os.path.join(e2e.ROOT, "bench", "peers", "dovecot"), tempfile.mkdtemp(prefix="posthorn-dovecot-")
    started = subprocess.run([script, "start", folder], stdout=subprocess.PIPE, check=True, text=True, timeout=60)
    try:
        yield {name: int(port) for name, port in (fact.split("=") for fact in started.stdout.split()[:3])}
    finally:
        subprocess.run([script, "stop", folder], stdout=subprocess.DEVNULL, timeout=60, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def test_dovecot():
    """Add an account, open, tick two, undo one, download, close, look at the server."""
    with dovecot() as port:
        e2e.until(lambda: answers(port["lmtp"]) and answers(port["pop3"]), "Dovecot answers")
        with smtplib.LMTP("127.0.0.1", port["lmtp"]) as lmtp:
            for i in range(1, 5):
                lmtp.sendmail("jan@example.test", ["user0@example.test"], HEADERS % (i, b"mail %d" % i, b"%d" % i))
        with Window() as window:
            window.add_account("dovecot", f"pop3://127.0.0.1:{port['pop3']}", "user0")
            window.open(e2e.PASSWORD)
            check("Nothing was deleted." in window.says("Nothing was deleted."), "the server has no TLS, which only a person may do without")
            window.press("OK")
            window.press("Settings")
            window.press("Change: dovecot")
            window.choose("Encryption", 2)
            window.press("Save")
            window.close_settings()
            window.open(e2e.PASSWORD)
            window.says("4 mails")
            e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
            window.tick("mail 1")
            window.tick("mail 3")
            window.press("Undo")
            window.says("1 is deleted when the mailbox is closed")
            window.press("Download mail")
            window.says("Saved in")
            equal(len([f for f in os.listdir(window.downloads) if f.endswith(".eml")]), 3, "downloaded mails")
            window.press("Close mailbox")
            window.says("1 mail was deleted.")
        left = subprocess.run([client.POSTHORN, "pop3", "list", "dovecot", "--json", "--password-file", client.file("dovecot", e2e.PASSWORD)],
                              env=window.environment, stdout=subprocess.PIPE, check=True, timeout=60)
        equal(sorted(mail["subject"] for mail in json.loads(left.stdout)), ["mail 2", "mail 3", "mail 4"], "mails on the server")


def test_several_accounts():
    """All at once; what is ticked is deleted on its own server."""
    with client.Pop3(mails=mails(2)) as one, client.Pop3(mails=[("other", HEADERS % (9, b"mail 9", b"9"))]) as two:
        window = Window()
        window.account("first", one.url(), "--tls", "none")
        window.account("second", two.url(host="localhost"), "--tls", "none")
        with window:
            window.choose("Account", 2)
            window.says("All accounts")
            window.press("Open mailbox")
            window.log_in()
            window.log_in()
            window.says("3 mails")
            e2e.until(lambda: window.can("Close mailbox"), "both lists are complete")
            for place in (2, 0):
                window.point_at("Account", "label")
                e2e.until(lambda place=place: window.subjects()[place:place + 1] == ["mail 9"], f"sorted by account: mail 9 at {place}")
            window.tick("mail 1")
            window.tick("mail 9")
            window.screenshot("accounts")
            window.press("Close mailbox")
            e2e.until(lambda: window.can("Open mailbox"), "both are closed")
    equal((one.deleted, two.deleted), ({"uid-1"}, {"other"}), "what is deleted")


def test_next_opening():
    """What the server said that it deleted is looked for at the next opening."""
    with fake(mails=mails(3)) as (window, server):
        server.on_quit = lambda _: b"+OK bye\r\n"  # deletes nothing
        window.close_ticked("mail 2")
        window.says("1 mail was deleted.")
        window.open()
        window.says("1 mail that was to be deleted last time is still on the server.")


def show_saving(window):
    """The settings, and in them the page Mailbox, whose name the main window has too. What is not in sight can't be switched."""
    window.press("Settings")
    window.find("Add account", "push button")
    for node in [n for n in window.walk() if n.name == "Mailbox" and n.getRoleName() == "page tab"]:
        node.queryAction().doAction(0)


def test_rules_and_copies():
    """Whom a person blocks is ticked at the next opening; a full copy is kept before the deletion, and the log has both."""
    e2e.long_only("the desktop has two minutes of ./test")
    with bus() as folder, fake(mails=mails(3), environment={"GDK_DEBUG": "portals"}) as (window, server):
        show_saving(window)
        window.press("Keep a full copy of deleted mails", "check box")
        e2e.until(lambda: window.is_on("Keep a full copy of deleted mails"), "the switch has moved")
        window.close_settings()
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.tick("mail 2")
        window.press("Undo")
        window.press("Block sender")
        window.says("Mails from jan2@example.test are ticked from now on")
        window.press("OK")
        window.press("Close mailbox")
        window.says("Nothing was deleted.")
        window.open()
        window.says("1 is deleted when the mailbox is closed")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        check(window.is_ticked("mail 2"), "the sender is blocked")
        window.press("Close mailbox")
        window.says("1 mail was deleted.")
        equal(server.deleted, {"uid-2"}, "what is deleted")
        kept = [client.content(root, name) for root, _, names in os.walk(os.path.join(window.home, "posthorn", "deleted")) for name in names
                if name.endswith(".eml")]
        equal(kept, [server.mails[1][1]], "the copy")
        window.press("Settings")
        window.find("Save the kept copy: mail 2", "push button")
        window.press("Deleted", "page tab")
        window.says("Ján <jan2@example.test>, ")
        window.screenshot("deleted")
        window.press("Save the kept copy: mail 2")
        saved = os.path.join(folder, "chosen")
        e2e.until(lambda: os.path.exists(saved) and client.content(saved) == server.mails[1][1], "the copy is saved where the person wants it")


def test_rules():
    """A rule about each property, made in the settings, ticks the mail that has it, and no other; one that marks says so."""
    e2e.long_only("seven rules in the settings")
    def mail(uid, subject, sender=b"a@x.test", recipient=b"me@x.test", date=email.utils.formatdate().encode(), more=b"", body=b"x"):
        return uid, b"From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\n%s\r\n%s\r\n" % (sender, recipient, subject, date, more, body)
    listed = [mail("u0", b"plain"), mail("u1", b"sender", sender=b"Boss <b@x.test>"), mail("u2", b"recipient", recipient=b"all@x.test"), mail("u3", b"An OFFER"),
              mail("u4", b"list", more=b"List-Id: News <news.x.test>\r\n"), mail("u5", b"large", body=b"x" * 9000),
              mail("u6", b"old", date=b"Sat, 5 Jan 2002 10:11:12 +0100"), mail("u7", b"spam", more=b"X-Spam-Status: Yes, score=7.5 required=5.0\r\n")]
    with fake(mails=listed) as (window, server):
        window.press("Settings")
        window.find("Add account", "push button")
        window.press("Rules", "page tab")
        for property_index, value in enumerate(("boss", "all@", "offer", "news.", "8", "30", "7")):
            window.choose("Mails whose", property_index)
            window.choose("What is done", 0 if property_index == 3 else 1)
            window.write("Text or number", value)
            window.press("Add rule")
            e2e.until(lambda value=value: any(n.name.startswith("Remove: ") and n.name.endswith(f": {value}") for n in window.walk()), f"the rule {value}")
        window.screenshot("rules")
        window.close_settings()
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        equal(sorted(name for name in window.subjects() if window.is_ticked(name)), ["An OFFER", "large", "old", "recipient", "sender", "spam"], "ticked")
        equal([n.name for n in window.walk() if "marked by a rule" in n.description], ["Delete: list"], "marked")
        window.tick("spam")
        window.press("Close mailbox")
        window.says("5 mails were deleted.")
        equal(server.deleted, {"u1", "u2", "u3", "u5", "u6"}, "what is deleted")


def subjects_in(place, kind):
    with contextlib.suppress(OSError):
        found = [os.path.join(place, name) for name in sorted(os.listdir(place))] if kind is mailbox.mbox else [place]
        return sorted(mail["subject"] for name in found for mail in kind(name, create=False))
    return []


def test_formats():
    """Downloads as a Maildir, and as mbox, as chosen in the settings."""
    e2e.long_only("the desktop has two minutes of ./test")
    with fake(mails=mails(2)) as (window, server):
        for index, kind in ((1, mailbox.Maildir), (2, mailbox.mbox)):
            show_saving(window)
            window.write("Download folder", os.path.join(window.home, kind.__name__))
            window.choose("Downloads are saved as", index)
            window.close_settings()
            window.press("Download mail")
            window.log_in()
            e2e.until(lambda: window.can("Close mailbox") and subjects_in(os.path.join(window.home, kind.__name__), kind) == ["mail 1", "mail 2"],
                      f"mails of {kind.__name__}")
            window.press("Close mailbox")
            e2e.until(lambda: window.can("Open mailbox"), "it is closed")
        check(not server.marked, "nothing is deleted")


# ---- passwords, servers of an address, notifications ------------------------------------------------


def test_keyring():
    """Kept once, found at the next start, never in the database; gone with the account."""
    with keyring() as home, fake(mails=mails(1)) as (window, _):
        window.press("Open mailbox")
        e2e.until(lambda: window.look("Log in", "push button"), "the question for the password")
        window.write("Password", client.PASSWORD)
        window.press("Keep it in the keyring", "check box")
        window.press("Log in")
        window.says("1 mail")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.press("Close mailbox")
        e2e.until(lambda: window.can("Open mailbox"), "it is closed")
        window.press("Open mailbox")
        e2e.until(lambda: window.can("Close mailbox"), "no question this time")
        check(not window.look("Log in", "push button"), "nothing is asked")
        check(client.PASSWORD.encode() not in content_of(window.home) + content_of(home), "the password stands somewhere in the clear")
        kept = os.path.getsize(os.path.join(home, "keyrings", "login.keyring"))
        window.press("Settings")
        window.press("Remove: fake")
        window.press("Remove")
        e2e.until(lambda: os.path.getsize(os.path.join(home, "keyrings", "login.keyring")) < kept, "the password leaves the keyring")


def test_no_keyring():
    """Asked each time."""
    e2e.long_only("the desktop has two minutes of ./test")
    with fake(mails=mails(1)) as (window, server):
        for _ in range(2):
            window.open()
            e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
            window.press("Close mailbox")
            e2e.until(lambda: window.can("Open mailbox"), "it is closed")
        equal(sum(c.startswith("PASS") for c in server.commands), 2, "log-ins")
        check(client.PASSWORD.encode() not in content_of(window.home), "the password stands somewhere")


def test_keyring_that_takes_nothing():
    """The window says so, and asks again."""
    with bus("the disk is full"), fake(mails=mails(1)) as (window, server):
        window.press("Open mailbox")
        e2e.until(lambda: window.look("Log in", "push button"), "the question for the password")
        window.write("Password", client.PASSWORD)
        window.press("Keep it in the keyring", "check box")
        window.press("Log in")
        check("each time" in window.says("The keyring did not take it: the disk is full"), "what happens now")
        window.press("OK")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete all the same")
        window.press("Close mailbox")
        e2e.until(lambda: window.can("Open mailbox"), "it is closed")
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        equal(sum(c.startswith("PASS") for c in server.commands), 2, "log-ins")


class Https(client.Fake):
    """One document, for whoever asks."""

    def __init__(self, document, **options):
        self.document = document
        super().__init__(**options)

    def serve(self):
        for line in self.lines():
            if not line:
                self.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n" + self.document)
                return


DOCUMENT = b"""<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="x">
<incomingServer type="imap"><hostname>no.example.test</hostname><port>993</port><socketType>SSL</socketType><username>x</username></incomingServer>
<incomingServer type="pop3"><hostname>pop.example.test</hostname><port>1995</port><socketType>STARTTLS</socketType>
<username>%EMAILLOCALPART%</username></incomingServer></emailProvider></clientConfig>"""
ZONE = """_pop3s._tcp.srv.example.test SRV 0 1 2995 mail.srv.example.test
autoconfig.doc.example.test A 127.0.0.1
"""


def test_autoconfiguration():
    """SRV records, then the document of the domain, fill the form; a domain without either is said to have none."""
    e2e.long_only("the desktop has two minutes of ./test")
    if not os.environ.get(OWN_NETWORK):
        skip("root is needed")
    context, ca = client.certificate("DNS:autoconfig.doc.example.test")
    with dns_server.DnsServer(ZONE, 53) as names, Https(DOCUMENT, context=context, implicit=True, port=443) as web, \
            Window(SSL_CERT_FILE=ca) as window:
        for address, asked in (("jan@srv.example.test", lambda: ("_pop3s._tcp.srv.example.test", "SRV") in names.asked),
                               ("jan@doc.example.test", lambda: web.commands)):
            window.press("Settings")
            window.press("Add account")
            window.write("Address", address)
            window.press("Find servers")
            e2e.until(lambda asked=asked: asked() and window.can("Find servers"), f"the search for {address}")
            window.screenshot("account")
            window.press("Save")
            window.find(f"Change: {address}", "push button")
            window.close_settings()
        listed = subprocess.run([client.POSTHORN, "account", "list", "--json"], env=window.environment, stdout=subprocess.PIPE, check=True, timeout=60)
        found = {account["name"]: account["pop3"] for account in json.loads(listed.stdout)}
        equal(found, {"jan@srv.example.test": {"host": "mail.srv.example.test", "port": 2995, "tls": "implicit", "user": "jan@srv.example.test"},
                      "jan@doc.example.test": {"host": "pop.example.test", "port": 1995, "tls": "starttls", "user": "jan"}}, "what the form was filled with")
        check(web.commands[0].startswith("GET /mail/config-v1.1.xml?emailaddress=jan%40doc.example.test "), web.commands)
        window.press("Settings")
        window.press("Add account")
        window.write("Address", "jan@nothing.example.test")
        window.press("Find servers")
        window.says("The domain says nothing about its servers")


def test_no_autoconfiguration():
    """Documents that say nothing, and servers that say nothing at all: the form waits, can be filled in meanwhile, and says so."""
    e2e.long_only("a silent server has its ten seconds twice")
    if not os.environ.get(OWN_NETWORK):
        skip("root is needed")
    context, ca = client.certificate("DNS:autoconfig.doc.example.test,DNS:doc.example.test")
    zone = ZONE + "doc.example.test A 127.0.0.1\n"
    documents = (b"", b"<clientConfig><incomingServer type='imap'/></clientConfig>", DOCUMENT.replace(b"STARTTLS", b"plain"), DOCUMENT[:300], b"<" * 100000,
                 DOCUMENT.replace(b"pop.example.test", b"a b\r\nc"), DOCUMENT.replace(b"%EMAILLOCALPART%", b"a&#10;QUIT"))
    with dns_server.DnsServer(zone, 53), Https(b"", context=context, implicit=True, port=443) as web, Window(SSL_CERT_FILE=ca) as window:
        window.press("Settings")
        window.press("Add account")
        for web.document in documents:
            window.write("Address", "jan@doc.example.test")
            before = len(web.threads)
            window.press("Find servers")
            e2e.until(lambda before=before: len(web.threads) == before + 2 and window.can("Find servers"), f"the search after {web.document[:60]}")
            window.says("The domain says nothing about its servers")
        web.serve = web.wait_for_close
        window.press("Find servers")
        window.says("Looking for the servers of this address")
        window.write("POP3 server", "by.hand.test")
        window.says("The domain says nothing about its servers", 40)
        window.write("User", "jan")
        window.press("Find servers")
        window.press("Save")
        window.find("Change: jan@doc.example.test", "push button")
        listed = subprocess.run([client.POSTHORN, "account", "list", "--json"], env=window.environment, stdout=subprocess.PIPE, check=True, timeout=60)
        found = [(account["pop3"]["host"], account["pop3"]["user"]) for account in json.loads(listed.stdout)]
        equal(found, [("by.hand.test", "jan")], "what was filled in meanwhile stays")


def test_notification():
    """A timed check tells of new mail, asks nothing and makes nothing seen."""
    e2e.long_only("a check comes after a minute")
    with bus() as folder, keyring(), fake(mails=mails(2)) as (window, server):
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.press("Close mailbox")
        e2e.until(lambda: window.can("Open mailbox"), "it is closed")
        window.press("Open mailbox")
        window.write("Password", client.PASSWORD)
        window.press("Keep it in the keyring", "check box")
        window.press("Log in")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.press("Close mailbox")
        show_saving(window)
        window.write("Minutes between checks for new mail; empty for none", "1")
        server.mails = mails(5)
        before = len(server.commands)
        path = os.path.join(folder, "notifications")
        e2e.until(lambda: os.path.exists(path), "a notification", 130)
        said = json.loads(client.content(path).splitlines()[0])
        equal((said["summary"], said["body"]), ("fake", "3 new mails"), "the notification")
        check(not any(c.startswith(("TOP", "RETR", "DELE")) for c in server.commands[before:]), f"a check counts: {server.commands[before:]}")
        window.close_settings()
        open_while_checked(window, server)


def open_while_checked(window, server):
    """Open waits for the check, which has the mailbox locked; Cancel ends the waiting."""
    begun, may_end = threading.Event(), threading.Event()

    def hold(_):
        begun.set()
        may_end.wait(60)
        server.say(server.on_stat(""))
    server.answers["STAT"] = hold
    try:
        e2e.until(begun.is_set, "the next check", 130)
        del server.answers["STAT"]
        visits = sum(c.startswith("PASS") for c in server.commands)
        for leaves in ("Cancel", None):
            window.press("Open mailbox")
            window.says("A check for new mail is going on")
            if leaves:
                window.press(leaves)
                e2e.until(lambda: window.can("Open mailbox"), "nothing waits any more")
        equal(sum(c.startswith("PASS") for c in server.commands), visits, "nobody logs in beside the check")
    finally:
        may_end.set()
    e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
    window.find("Delete: mail 5", "check box")


# ---- the exerciser ----------------------------------------------------------------------------------


def connect(window, protocol, host, tls="No TLS"):
    window.press("Exerciser", "page tab")
    window.choose("Protocol", ("POP3", "IMAP", "SMTP").index(protocol))
    window.choose("Encryption", ("TLS from the start", "STARTTLS", "No TLS").index(tls))
    window.write("Host", host)
    window.press("Connect")


def test_exerciser_imap():
    """The four states, with STARTTLS, certificate and cipher."""
    instance = client.office()
    user = instance.fresh_user()
    with Window(SSL_CERT_FILE=instance.facts["ca"]) as window:
        connect(window, "IMAP", f"localhost:{instance.port('imap')}", "STARTTLS")
        e2e.until(lambda: re.search(r"# TLSv1\.3 with \S+, \d+ bits; .* localhost: subject \S.*issued by \S.*until 20.*SHA-256 [0-9a-f]{64}", window.text_of("Transcript")), "certificate and cipher")
        e2e.until(lambda: window.can("LOGIN") and not window.can("SELECT") and not window.can("FETCH"), "NOT AUTHENTICATED")
        window.write("First argument", user)
        window.write("Second argument", e2e.PASSWORD)
        window.press("LOGIN")
        e2e.until(lambda: window.look("AUTHENTICATED", "label") and window.can("SELECT") and not window.can("LOGIN"), "AUTHENTICATED")
        window.write("First argument", "INBOX")
        window.press("SELECT")
        e2e.until(lambda: window.look("SELECTED", "label") and window.can("FETCH"), "SELECTED")
        window.screenshot("imap")
        window.press("LOGOUT")
        e2e.until(lambda: "= LOGOUT" in window.text_of("Transcript"), "LOGOUT")
        said = window.text_of("Transcript")
        check(e2e.PASSWORD not in said and f"LOGIN {user} ***" in said and "(RFC 9051 §6.3.2)" in said, said)


def test_exerciser_smtp():
    e2e.long_only("the desktop has two minutes of ./test")
    instance = client.office()
    user = instance.fresh_user()
    with Window(SSL_CERT_FILE=instance.facts["ca"]) as window:
        connect(window, "SMTP", f"localhost:{instance.port('submission')}", "STARTTLS")
        e2e.until(lambda: "# TLSv1." in window.text_of("Transcript"), "TLS")
        e2e.until(lambda: window.can("EHLO") and not window.can("RCPT") and not window.can("DATA"), "what fits the beginning")
        window.send("EHLO me")
        e2e.until(lambda: window.can("AUTH") and window.can("MAIL"), "READY")
        window.send(f"AUTH PLAIN {e2e.plain(user)}")
        e2e.until(lambda: "S 235 " in window.text_of("Transcript"), "the log-in")
        window.send(f"MAIL FROM:<{user}>")
        e2e.until(lambda: window.can("RCPT") and not window.can("DATA"), "MAIL")
        window.send(f"RCPT TO:<{user}>")
        e2e.until(lambda: window.can("DATA"), "RCPT")
        window.press("DATA")
        e2e.until(lambda: window.look("DATA", "label"), "DATA")
        window.send("Subject: learnt")
        window.press(".")
        e2e.until(lambda: "(RFC 5321 §4.2.5)" in window.text_of("Transcript"), "the server is responsible")
        check(e2e.plain(user) not in window.text_of("Transcript"), "the password is masked")
        window.press("QUIT")
        e2e.until(lambda: window.can("Connect"), "the end")
    e2e.until(lambda: len(instance.mails(user)) == 1, "delivery")


# protocol → what its buttons are pressed with, in an order in which each is allowed, and the lines that go out
BUTTONS = {
    "POP3": [("CAPA",), ("APOP", "tim", "c4c9334bac560ecc979e58001b3e22fb"), ("AUTH", "PLAIN", "AGEAYg=="), ("USER", "tim"), ("PASS", client.PASSWORD),
             ("STAT",), ("LIST",), ("UIDL", "1"), ("RETR", "1"), ("TOP", "1", "0"), ("DELE", "1"), ("RSET",), ("NOOP",), ("QUIT",)],
    "IMAP": [("CAPABILITY",), ("NOOP",), ("AUTHENTICATE", "PLAIN", "AGEAYg=="), ("ENABLE", "IMAP4rev2"), ("NAMESPACE",), ("LIST", "", "*"),
             ("STATUS", "a b", "(MESSAGES)"), ("CREATE", "a b"), ("RENAME", "a b", "c d"), ("SUBSCRIBE", "c"), ("UNSUBSCRIBE", "c"), ("DELETE", "c d"),
             ("EXAMINE", "INBOX"), ("CLOSE",), ("SELECT", "INBOX"), ("FETCH", "1", "(FLAGS)"), ("STORE", "1", "+FLAGS (x)"), ("COPY", "1", "a b"),
             ("MOVE", "1", "a b"), ("SEARCH", "ALL"), ("UID", "SEARCH ALL"), ("EXPUNGE",), ("UNSELECT",), ("IDLE",), ("DONE",),
             ("APPEND", "inbox", "{0+}"), ("LOGOUT",)],
    "SMTP": [("HELO", "me"), ("EHLO", "me"), ("VRFY", "tim"), ("EXPN", "all"), ("HELP", "MAIL"), ("AUTH", "PLAIN", "AGEAYg=="), ("MAIL", "FROM:<a@b>", "SIZE=1"),
             ("RCPT", "TO:<c@d>"), ("DATA",), (".",), ("NOOP",), ("MAIL", "FROM:<a@b>"), ("RCPT", "TO:<c@d>"), ("BDAT", "0", "LAST"), ("RSET",), ("QUIT",)],
}
STRINGS = ("STATUS", "CREATE", "RENAME", "DELETE", "LIST", "COPY", "MOVE")  # with arguments that are put into quotes


class Willing(client.Imap):
    """An IMAP server that finds everything right."""

    def serve(self):
        self.say(self.greeting)
        lines = self.lines()
        for line in lines:
            tag, _, command = line.partition(" ")
            if command == "IDLE":
                self.say(b"+ idling\r\n")
                next(lines)
            if command.endswith("{0+}"):
                next(lines)
            self.say(f"{tag} OK done\r\n".encode())
            if command == "LOGOUT":
                return


def press_all(window, server, protocol):
    """Each button in turn; the lines that the server got."""
    connect(window, protocol, f"127.0.0.1:{server.port}")
    for verb, *arguments in BUTTONS[protocol]:
        e2e.until(lambda verb=verb: window.can(verb), f"{verb} is allowed")
        for name, text in zip(("First argument", "Second argument"), arguments):
            if text:
                window.write(name, text)
        before = len(server.commands)
        window.press(verb)
        e2e.until(lambda before=before: len(server.commands) > before, f"{verb} goes out")
        if arguments[1:] == ["{0+}"]:
            window.write("Line", "")
            window.press("Send")
    e2e.until(lambda: window.can("Connect"), "the end")
    return server.commands


def test_exerciser_by_keyboard():
    """Connected, spoken and ended without a mouse; the shortcuts are dead on the other page."""
    e2e.long_only("the desktop has two minutes of ./test")
    if not shutil.which("xdotool"):
        skip("xdotool is not installed")
    with client.Pop3(mails=mails(1)) as server, Window() as window:
        window.find("Open mailbox", "push button")
        window.key("ctrl+Return")
        window.key("alt+2")
        window.choose("Encryption", 2)
        window.write("Host", f"127.0.0.1:{server.port}")
        window.key("ctrl+Return")
        e2e.until(lambda: window.can("USER"), "connected")
        window.key("ctrl+l")
        e2e.until(lambda: window.has_focus("Line"), "the line has the focus")
        window.type("USER tim")
        window.key("Return")
        e2e.until(lambda: " C USER tim" in window.text_of("Transcript"), "the line is sent")
        window.key("ctrl+Return")
        e2e.until(lambda: window.can("Connect"), "the end")
        equal(server.commands, ["USER tim"], "what the server got")


def test_every_button():
    """Each button of each protocol sends its line; no secret is seen."""
    e2e.long_only("some sixty buttons")
    pop3 = client.Pop3({"APOP": b"-ERR no\r\n", "AUTH": b"-ERR no\r\n"}, mails=mails(1))
    smtp = client.Smtp({"AUTH": [b"235 in"]})
    for protocol, server in (("POP3", pop3), ("IMAP", Willing()), ("SMTP", smtp)):
        with server, Window() as window:
            sent = press_all(window, server, protocol)
            said = window.text_of("Transcript")
            check(client.PASSWORD not in said and "AGEAYg==" not in said, said)
        for verb, *arguments in BUTTONS[protocol]:
            texts = [f'"{a}"' if protocol == "IMAP" and (not a or " " in a) and verb in STRINGS and not a.startswith("(") else a for a in arguments]
            line = " ".join([verb, *texts])
            check(any(re.fullmatch(r"(a\d+ )?" + re.escape(line), command) for command in sent) or verb in (".", "DONE"), f"{line} in {sent}")


DOT_COLOUR = bytes.fromhex("e5a50a")


def shows(colour):
    """Looked at as it is painted: GTK 4.8 fails when its accessibility is asked for the attributes of a text."""
    if not shutil.which("import"):
        skip("imagemagick is not installed")
    painted = subprocess.run(["import", "-window", "root", "-depth", "8", "ppm:-"], stdout=subprocess.PIPE, check=True, timeout=30).stdout
    return colour in painted


def test_transcript():
    """Saved, and replayed with the password in the place of ***."""
    listed = [("uid-1", mails(1)[0][1] + b".dots\r\n")]
    with bus() as folder, client.Pop3(mails=listed) as server, Window(GDK_DEBUG="portals") as window:
        connect(window, "POP3", f"127.0.0.1:{server.port}")
        e2e.until(lambda: window.can("USER"), "the greeting")
        for line in ("USER tim", f"PASS {client.PASSWORD}", "RETR 1", "QUIT"):
            window.send(line)
        e2e.until(lambda: window.can("Connect"), "the end")
        whole = window.text_of("Transcript")
        check("Body of 1." in whole and "Subject: mail 1" in whole, "the answer's lines")
        check("..dots" in whole and not shows(DOT_COLOUR), whole)
        window.press("Show doubled dots")
        e2e.until(lambda: shows(DOT_COLOUR), "the dot that is not the mail's is painted")
        window.press("Show doubled dots")
        e2e.until(lambda: not shows(DOT_COLOUR), "and is not")
        window.press("Fold answers")
        e2e.until(lambda: "Body of 1." not in window.text_of("Transcript") and "+OK" in window.text_of("Transcript"), "folded")
        check(not re.search(r"^\.|\+OK\n\.", window.text_of("Transcript"), re.M), window.text_of("Transcript"))
        window.press("Save transcript")
        saved = os.path.join(folder, "chosen")
        e2e.until(lambda: os.path.exists(saved) and os.path.getsize(saved), "the file")
        text = client.content(saved).decode()
        equal(text, whole, "what is saved: folded or not, all of it")
        check(client.PASSWORD not in text and "C PASS ***" in text, text)
        before = len(server.commands)
        window.write("Password that a replay puts in the place of ***", client.PASSWORD)
        window.press("Replay transcript")
        e2e.until(lambda: server.commands[before:] == ["USER tim", f"PASS {client.PASSWORD}", "RETR 1", "QUIT"], "the replay")


# ---- people -----------------------------------------------------------------------------------------


def test_names():
    """What an outside hand looks for has the name and takes the action "click"; each shows what it does."""
    with fake(mails=mails(2)) as (window, _):
        for name, role in (("Open mailbox", "push button"), ("Download mail", "push button"), ("Close mailbox", "push button"), ("Undo", "push button"),
                           ("Settings", "push button"), ("Exerciser", "page tab"), ("Send", "push button")):
            found = [n for n in window.walk() if n.name == name and n.getRoleName() == role]
            equal(len(found), 1, f"{name} as {role}")
            action = found[0].queryAction()
            check("click" in [action.getName(i) for i in range(action.nActions)], f"{name} can be clicked")
        window.click("Exerciser", "page tab")
        window.find("Send", "push button")
        window.click("Mailbox", "page tab")
        window.click("Open mailbox")
        window.log_in()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.click("Delete: mail 1", "check box")
        window.says("1 is deleted when the mailbox is closed")
        window.click("Undo")
        e2e.until(lambda: not window.is_ticked("mail 1"), "it is undone")
        window.click("Download mail")
        window.says("Saved in")
        window.click("Close mailbox")
        window.says("Nothing was deleted.")
        # GTK gives what has no name the name of its class
        nameless = [n.getRoleName() for n in window.walk() if (not n.name or n.name.startswith(("Gtk", "Adw"))) and
                    n.getRoleName() in ("push button", "check box", "text", "toggle button")]
        equal(nameless, [], "what has no name")


def test_keyboard():
    """Everything without a mouse."""
    if not shutil.which("xdotool"):
        skip("xdotool is not installed")
    with fake(mails=mails(3)) as (window, server):
        window.key("ctrl+question")
        window.find("Tick or untick the selected mail", "label")
        window.key("Escape")
        window.key("F10")
        window.find("About Posthorn", "menu item")
        window.key("Escape")
        window.key("alt+2")
        e2e.until(lambda: window.seen("Send"), "the other page")
        window.key("alt+1", "ctrl+o")
        e2e.until(lambda: window.look("Log in", "push button"), "the question for the password")
        window.type(client.PASSWORD)
        window.key("Return")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.key("ctrl+f")
        window.type("mail 2")
        e2e.until(lambda: not window.look("Delete: mail 3", "check box"), "the filter")
        window.key("Return", "Return")
        e2e.until(lambda: window.is_ticked("mail 2"), "the tick")
        window.key("ctrl+z")
        e2e.until(lambda: not window.is_ticked("mail 2"), "it is undone")
        window.key("ctrl+d")
        window.says("Saved in")
        window.key("ctrl+w")
        window.says("Nothing was deleted.")
        window.key("ctrl+comma")
        window.find("Add account", "push button")
        check(server.deleted == set(), "nothing is deleted")


def test_account_by_keyboard():
    """The first start: an account is added, and its mailbox opened, without a mouse."""
    if not shutil.which("xdotool"):
        skip("xdotool is not installed")
    with client.Pop3(mails=mails(3)) as server, Window() as window:
        window.says("There is no account yet")
        window.key("ctrl+comma")
        window.find("Add account", "push button")
        window.tab_to("Add account")
        window.key("space")
        window.find("Find servers", "push button")
        buttons = {n.name for n in window.walk() if n.getRoleName() == "push button"}
        check(not {name for name in buttons if not name or name.startswith("Gtk")}, f"what has no name: {buttons}")
        window.key("Tab", "Tab")
        window.type("kbd")
        window.key("Tab")
        window.type(f"127.0.0.1:{server.port}")
        window.key("Tab", "Tab", "space", "Down", "Down", "Return", "Tab")
        window.type("tim")
        window.tab_to("Save")
        window.key("Return")
        window.find("Change: kbd", "push button")
        window.key("Escape")
        e2e.until(lambda: not window.look("Add account", "push button"), "the settings are closed")
        window.key("ctrl+o")
        e2e.until(lambda: window.look("Log in", "push button"), "the question for the password")
        window.type(client.PASSWORD)
        window.key("Return")
        window.says("3 mails")


def test_languages():
    """Each text for people, of the window, of posthorn and of what both show from the libraries, in each language, and not as it stands in English."""
    if not shutil.which("xgettext"):
        skip("gettext is not installed")
    place = client.folder()
    files = client.content(SOURCES, "po", "POTFILES").decode().split()
    speaking = subprocess.run(["grep", "-rlE", r'\b(_|N_|ngettext)\("', "--include=*.c", "clients", "lib"], cwd=e2e.ROOT, stdout=subprocess.PIPE, check=True,
                              text=True, timeout=60).stdout.split()
    equal(sorted(speaking), sorted(name for name in files if name.endswith(".c")), "files that speak")
    pot = os.path.join(place, "all.pot")
    subprocess.run(["xgettext", "--from-code=UTF-8", "-k_", "-kN_", "-kngettext:1,2", "-o", pot, *files], cwd=e2e.ROOT, check=True, timeout=60)
    languages = client.content(SOURCES, "po", "LINGUAS").decode().split()
    equal(languages, ["it", "sk"], "languages")
    for language in languages:
        path = os.path.join(SOURCES, "po", language + ".po")
        check("#~" not in client.content(path).decode(), f"{path} has what nobody says")
        subprocess.run(["msgfmt", "--check-format", "--check-domain", "-o", os.devnull, path], check=True, timeout=60)
        merged = subprocess.run(["msgmerge", "-q", "--no-fuzzy-matching", "--no-wrap", "-o", "-", path, pot], stdout=subprocess.PIPE, check=True, timeout=60)
        said, *unused = merged.stdout.decode().split("#~")
        equal(unused, [], f"what nobody says in {language}")
        entries = re.findall(r'^msgid "(.+)"\n(?:msgid_plural .*\n)?msgstr(?:\[0\])? "(.*)"$', said, re.M)
        check(len(entries) > 600, f"{len(entries)} texts")
        equal([text for text, translated in entries if not translated], [], f"not translated in {language}")
        same = [text for text, translated in entries if text == translated and (" " in text or text.endswith("."))]
        equal(same, [], f"as in English in {language}")


def test_spoken_languages():
    """The window speaks them, and the explanations of the exerciser with it."""
    e2e.long_only("each language in the window")
    if not os.environ.get(OWN_NETWORK) or not shutil.which("localedef"):
        skip("root and localedef are needed")
    place = client.folder()
    for language, locale, words in (("it", "it_IT", ("Apri casella", "Palestra", "Host", "Connetti", "Trascrizione")),
                                    ("sk", "sk_SK", ("Otvoriť schránku", "Cvičisko", "Hostiteľ", "Pripojiť", "Záznam"))):
        catalogue = os.path.join("/usr/local/share/locale", language, "LC_MESSAGES")
        os.makedirs(catalogue)
        subprocess.run(["msgfmt", "-o", os.path.join(catalogue, "posthorn.mo"), os.path.join(SOURCES, "po", language + ".po")], check=True, timeout=60)
        subprocess.run(["localedef", "-i", locale, "-f", "UTF-8", os.path.join(place, locale + ".UTF-8")], check=True, timeout=60,
                       stderr=subprocess.DEVNULL)
        with client.Pop3(answers={"GREETING": b"-ERR no\r\n"}) as server, Window(LC_ALL=locale + ".UTF-8", LOCPATH=place) as window:
            window.find(words[0], "push button")
            window.press(words[1], "page tab")
            window.write(words[2], f"pop3://127.0.0.1:{server.port}")
            window.press(words[3])
            transcript = window.find(words[4], "text")
            e2e.until(lambda: "(RFC 1939 §4)" in transcript.queryText().getText(0, -1), "the explanation")
            said = transcript.queryText().getText(0, -1)
            check("The server" not in said, said)
            window.screenshot("language-" + language)
        spoken = {"LC_ALL": locale + ".UTF-8", "LOCPATH": place}
        with client.Pop3(answers={"GREETING": b"-ERR no\r\n"}) as server:
            out = client.posthorn("talk", "pop3", f"127.0.0.1:{server.port}", environment=spoken).out
            check("(RFC 1939 §4)" in out and "The server" not in out and "The connection" not in out and "The session" not in out, out)
        for words, part in ((["--help"], "Lists"), (["talk", "--help"], "shows this help"), (["talk", "gopher", "h"], "is none of"), ([], "is missing")):
            result = client.posthorn(*words, environment=spoken)
            check(part in client.posthorn(*words, environment={"LC_ALL": "C.UTF-8"}).__dict__["out" if "--help" in words else "err"], f"{part} in English")
            check(part not in result.out + result.err and len(result.out + result.err) > 20, result.out + result.err)


def test_metadata():
    for tool, arguments in (("appstreamcli", ["validate", "--no-net", "org.posthorn.Desktop.metainfo.xml"]),
                            ("desktop-file-validate", ["org.posthorn.Desktop.desktop"])):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")
        said = subprocess.run([tool, *arguments], cwd=os.path.join(SOURCES, "data"), capture_output=True, text=True, timeout=60, check=False)
        equal(said.returncode, 0, f"{tool}: {said.stdout}{said.stderr}")


def test_dark():
    """The colours follow the desktop; the screenshots are for eyes."""
    e2e.long_only("a screenshot")
    with client.Pop3(mails=mails(5)) as server:
        window = Window(ADW_DEBUG_COLOR_SCHEME="prefer-dark")
        window.account("dark", server.url(), "--tls", "none")
        with window:
            window.open()
            window.says("5 mails")
            window.screenshot("mailbox-dark")


def begin():
    """In a network of its own, with a name server of its own, where root may have one."""
    before = ()
    alone = ["unshare", "--mount", "--net"]
    if not os.environ.get(desktop.INSIDE) and os.geteuid() == 0 and subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.environ[OWN_NETWORK] = "1"
        before = (*alone, "sh", "-ec", OWN, "sh")
    desktop.run(__file__, "desktop world", globals(), before)


if __name__ == "__main__":
    begin()
