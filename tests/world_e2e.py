#!/usr/bin/env python3
"""Between servers: two post offices of different domains with a name server and signed zones, and Debian's Postfix and OpenSMTPD as peers.

Every server has an address of its own within 127.1.0.0/16 and takes mail at the same port there, so that MX records work as in the world and
nobody needs to be root; only the peers do.
"""
import email
import email.policy
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

import e2e
import nsd_server
import ports
from e2e import check, equal

ALPHA, BETA, GAMMA, DELTA = "alpha.test", "beta.test", "gamma.test", "delta.test"
ADDRESSES = {ALPHA: "127.1.0.1", BETA: "127.1.0.2", GAMMA: "127.1.0.3", DELTA: "127.1.0.4"}
KILLED = 30


class Office(e2e.Instance):
    """An instance for one domain with two accounts."""

    def __init__(self, domain, port, nsd, *settings):
        self.domain, self.address = domain, ADDRESSES[domain]
        given = {"listen_smtp": f"{self.address}:{port}", "relay_port": port, "relay_source_address": self.address, "relay_ipv6": "no",
                 "dns_trust_anchor": nsd.anchor, "retry_first_seconds": 2, "retry_max_seconds": 2}
        words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
        super().__init__("--domain", domain, "--dns", nsd.address, *words, *settings, accounts=("alice", "bob"))

    def user(self, name):
        return f"{name}@{self.domain}"

    def submit(self, sender, recipients, mail, options=""):
        """By a client of the office; the queue-id."""
        with self.smtp("submission", user=sender) as client:
            client.say(f"MAIL FROM:<{sender}>{options}", "250")
            for recipient in recipients:
                client.say(f"RCPT TO:<{recipient}>", "250")
            return e2e.QUEUED.search(client.data(mail)[0])[1]

    def inbox(self, name):
        return self.mails(self.user(name))

    def wait_for(self, name, subject, seconds=e2e.TIMEOUT):
        """The mail with that subject, parsed, when it has come."""
        found = []

        def has_come():
            found[:] = [mail for mail in map(parse, self.inbox(name)) if mail["Subject"] == subject]
            return found
        try:
            e2e.until(has_come, f"a mail with the subject {subject} at {name}@{self.domain}", seconds)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.log()[-3000:]}") from None
        return found[0]

    def trace(self, word):
        return json.loads(self.ctl("--json", "trace", word).stdout)

    def tlsa(self):
        """The TLSA record of its certificate's key."""
        chain = os.path.join(self.directory, "tls", "server.pem")
        public = subprocess.run(["openssl", "x509", "-in", chain, "-noout", "-pubkey"], check=True, stdout=subprocess.PIPE).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public, check=True, stdout=subprocess.PIPE).stdout
        return f"3 1 1 {hashlib.sha256(der).hexdigest()}"


def parse(mail):
    return email.message_from_bytes(mail, policy=email.policy.default)


def letter(sender, recipient, subject, text="Hello,\r\nthis is a mail.\r\n", message_id=None):
    return (f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{message_id or subject}@{sender.split('@')[1]}>\r\n\r\n{text}").encode()


class World:
    def __init__(self, port, nsd):
        self.port, self.nsd = port, nsd
        self.alpha, self.beta = (Office(domain, port, nsd) for domain in (ALPHA, BETA))

    def zone(self, office):
        """What the office would have published: its own word on keys and certificate, and who may send."""
        domain, address = office.domain, office.address
        keys = json.loads(office.ctl("--json", "dkim", "record", domain).stdout)
        return "\n".join([f"@ MX 10 mail\nmail A {address}", f'@ TXT "v=spf1 ip4:{address} -all"', '_dmarc TXT "v=DMARC1; p=reject"',
                          *(f"_{port}._tcp.mail TLSA {office.tlsa()}" for port in {25, self.port}), *(row["zone"] for row in keys)])

    def publish(self):
        for office in (self.alpha, self.beta):
            office.ctl("dkim", "make", office.domain)
        zones = {office.domain: self.zone(office) for office in (self.alpha, self.beta)}
        for domain in (GAMMA, DELTA):
            zones[domain] = f'@ MX 10 mail\nmail A {ADDRESSES[domain]}\n@ TXT "v=spf1 ip4:{ADDRESSES[domain]} -all"'
        names = [f"{address.split('.')[-1]}.0 PTR mail.{domain}." for domain, address in ADDRESSES.items()]
        zones["1.127.in-addr.arpa"] = "\n".join(names)
        zones["null.test"] = "@ MX 0 ."
        self.zones = zones
        self.nsd.set_zones(zones)

    # ---- two offices ----

    def exchange(self):
        """alice's client → her server → bob's server → bob's client, and back; signed, and by DANE."""
        for here, there in ((self.alpha, self.beta), (self.beta, self.alpha)):
            sender, recipient, subject = here.user("alice"), there.user("bob"), f"exchange-{here.domain}"
            here.submit(sender, [recipient], letter(sender, recipient, subject))
            mail = there.wait_for("bob", subject)
            equal(mail.get_content(), "Hello,\r\nthis is a mail.\r\n", "the text")
            results = re.sub(r"\s+", " ", mail["Authentication-Results"])
            for part in ("spf=pass", "dkim=pass", f"dmarc=pass", f"header.from={here.domain}"):
                check(part in results, f"{part} is not in {results}")
            equal(len(mail.get_all("DKIM-Signature")), 2, "signatures")
            check("ESMTPS" in mail.get_all("Received")[0], mail["Received"])
            attempts = [event for event in here.trace(f"<{subject}@{here.domain}>") if event["event"] == "attempt"]
            check(attempts and "dane" in json.dumps(attempts[-1]).lower(), f"no DANE: {attempts}")

    def several(self):
        """Recipients here and there; a large mail."""
        sender = self.alpha.user("alice")
        text = "0123456789abcdef" * 4 + "\r\n"
        self.alpha.submit(sender, [self.alpha.user("bob"), self.beta.user("alice"), self.beta.user("bob")],
                          letter(sender, self.beta.user("bob"), "several", text * 40000))
        for office, name in ((self.alpha, "bob"), (self.beta, "alice"), (self.beta, "bob")):
            mail = office.wait_for(name, "several")
            equal(len(mail.get_content()), 66 * 40000, f"characters at {name}@{office.domain}")

    def refused(self):
        """A recipient that is not there: the sender gets a report."""
        sender = self.alpha.user("alice")
        self.alpha.submit(sender, [f"nobody@{BETA}"], letter(sender, f"nobody@{BETA}", "refused"))
        e2e.until(lambda: self.reports("alice", f"nobody@{BETA}"), "a report at alice")
        report = self.reports("alice", f"nobody@{BETA}")[0]
        check("Status: 5.1.1" in report and "Action: failed" in report, report)
        self.alpha.submit(sender, ["x@null.test"], letter(sender, "x@null.test", "null"))
        e2e.until(lambda: self.reports("alice", "x@null.test"), "a report at alice")
        check("Status: 5.1.10" in self.reports("alice", "x@null.test")[0], self.reports("alice", "x@null.test"))

    def reports(self, name, about):
        mails = [mail.decode("utf-8", "replace") for mail in self.alpha.inbox(name)]
        return [mail for mail in mails if "multipart/report" in mail and f"rfc822; {about}" in mail.replace("rfc822;", "rfc822; ").replace("  ", " ")]

    def forwarded(self):
        """An alias there leads back here: SPF passes, because the sender is rewritten."""
        self.beta.ctl("alias", "add", f"away@{BETA}", self.alpha.user("bob"))
        sender = self.alpha.user("alice")
        self.alpha.submit(sender, [f"away@{BETA}"], letter(sender, f"away@{BETA}", "forwarded"))
        mail = self.alpha.wait_for("bob", "forwarded")
        results = re.sub(r"\s+", " ", mail["Authentication-Results"])
        check("spf=pass" in results and "dkim=pass" in results and mail["Return-Path"].startswith("<SRS0="), f"{mail['Return-Path']} {results}")

    def traced(self):
        """The whole way of a mail at both ends, by Message-ID and by queue-id."""
        sender, recipient = self.alpha.user("alice"), self.beta.user("bob")
        with self.alpha.smtp("submission", user=sender) as client:
            for subject in ("traced-before", "traced", "traced-behind"):
                client.transact(sender, [recipient], letter(sender, recipient, subject))
        self.beta.wait_for("bob", "traced-behind")
        self.beta.wait_for("bob", "traced")
        whole = lambda events: {"attempt", "connection-ended"} <= {event["event"] for event in events}
        e2e.until(lambda: whole(self.alpha.trace(f"traced@{ALPHA}")), "the end in the log")
        here, there = self.alpha.trace(f"traced@{ALPHA}"), self.beta.trace(f"<traced@{ALPHA}>")
        names = [event["event"] for event in here]
        check({"logged-in", "accepted", "queued", "recipient", "signed", "attempt"} <= set(names), names)
        equal((names.count("accepted"), names.count("signed")), (1, 1), "mails of the session in the trace")
        accepted = next(event for event in here if event["event"] == "accepted")
        equal((accepted["from"], accepted["message-id"]), (sender, f"<traced@{ALPHA}>"), "the mail")
        check(accepted["tls"].startswith("TLSv1"), accepted)
        attempt = next(event for event in here if event["event"] == "attempt")
        check(f"mail.{BETA}" in json.dumps(attempt), attempt)
        names = [event["event"] for event in there]
        check({"checked", "accepted", "queued", "recipient", "delivered"} <= set(names), names)
        equal((names.count("accepted"), names.count("checked")), (1, 1), "mails of the session in the trace")
        checked = next(event for event in there if event["event"] == "checked")
        check(checked["spf"] == "pass" and f"pass:{ALPHA}" in checked["dkim"] and checked["dmarc"] == "pass", checked)
        # the session's last line may come in between
        e2e.until(lambda: self.alpha.trace(accepted["queue-id"]) == self.alpha.trace(f"traced@{ALPHA}"), "the same by queue-id")
        text = self.alpha.ctl("trace", f"traced@{ALPHA}").stdout
        check(f"to={recipient}" in text and "smtpd" in text and "\n" in text, text)
        gone = self.alpha.ctl("trace", "nothing@like.this", check=False)
        equal(gone.returncode, 3, f"exit code for what the log does not know: {gone.stdout}{gone.stderr}")

    def examined(self):
        """doctor asks as the resolver does: it sees that the zone is signed, and that DANE protects the host."""
        findings = json.loads(self.alpha.ctl("--json", "doctor", check=False).stdout)
        good = {finding["check"]: finding["text"] for finding in findings if finding["level"] == "ok"}
        check("zone is signed" in good.get("dns", ""), findings)
        check({"tlsa", "ptr", "mx", "spf", "dkim", "dmarc"} <= set(good), findings)
        self.nsd.set_zones(self.zones | {ALPHA: re.sub(r"3 1 1 ..", "3 1 1 00", self.zones[ALPHA])})
        try:
            findings = json.loads(self.alpha.ctl("--json", "doctor", check=False).stdout)
            check(any(f["check"] == "tlsa" and f["level"] == "error" for f in findings), findings)
        finally:
            self.nsd.set_zones(self.zones)

    def waiting(self):
        """A server that is away: the mail waits, is shown so, and goes when it is back."""
        sender, recipient = self.alpha.user("alice"), self.beta.user("bob")
        self.beta.stop()
        queue_id = self.alpha.submit(sender, [recipient], letter(sender, recipient, "waiting"))
        e2e.until(lambda: any(event["event"] == "attempt" for event in self.alpha.trace(queue_id)), "an attempt")
        listed = json.loads(self.alpha.ctl("--json", "queue", "list").stdout)
        check(any(queue_id in row.values() for row in listed), listed)
        check(any(event["event"] == "in-queue" for event in self.alpha.trace(f"waiting@{ALPHA}")), "trace says that it waits")
        self.beta.start()
        self.alpha.ctl("queue", "retry", queue_id)
        self.beta.wait_for("bob", "waiting", 60)

    def killed(self):
        """kill -9 of queue and relay while mails are under way: all arrive."""
        sender, recipient = self.alpha.user("alice"), self.beta.user("alice")
        for number in range(KILLED):
            if number % 5 == 2:
                e2e.kill(self.alpha.pids("relay" if number % 10 == 2 else "queue")[0])
            e2e.until(lambda: self.try_submit(sender, recipient, f"killed-{number}"), f"acceptance of mail {number}")
        wanted = {f"killed-{number}" for number in range(KILLED)}
        subjects = lambda: {parse(mail)["Subject"] for mail in self.beta.inbox("alice")}
        e2e.until(lambda: wanted <= subjects(), f"{KILLED} mails", 90)

    def try_submit(self, sender, recipient, subject):
        """False when it is refused for now."""
        try:
            self.alpha.submit(sender, [recipient], letter(sender, recipient, subject))
            return True
        except (AssertionError, OSError, TypeError, IndexError):
            return False

    # ---- peers ----

    def with_peer(self, peer):
        """A mail there and one back."""
        with peer:
            sender = self.alpha.user("alice")
            self.alpha.submit(sender, [f"carol@{peer.domain}"], letter(sender, f"carol@{peer.domain}", f"to-{peer.domain}"))
            e2e.until(lambda: [mail for mail in peer.mails() if f"Subject: to-{peer.domain}".encode() in mail], f"a mail at {peer.domain}")
            mail = next(mail for mail in peer.mails() if f"Subject: to-{peer.domain}".encode() in mail)
            check(b"DKIM-Signature:" in mail and b"this is a mail." in mail, mail)
            peer.send(f"carol@{peer.domain}", sender, letter(f"carol@{peer.domain}", sender, f"from-{peer.domain}"))
            back = self.alpha.wait_for("alice", f"from-{peer.domain}")
            check("spf=pass" in re.sub(r"\s+", " ", back["Authentication-Results"]), back["Authentication-Results"])
            self.alpha.submit(sender, [f"nobody@{peer.domain}"], letter(sender, f"nobody@{peer.domain}", f"bounce-{peer.domain}"))
            e2e.until(lambda: self.reports("alice", f"nobody@{peer.domain}"), "a report of what the peer refused")

    def postfix(self):
        self.with_peer(Postfix(self.port, self.alpha))

    def opensmtpd(self):
        self.with_peer(OpenSmtpd(self.port, self.alpha))


class Peer:
    """Another mail server with the user carol, whose mail lies in files below folder/mail."""

    def __init__(self, domain, port, office):
        if os.getuid() != 0:
            e2e.skip("only root can start it")
        self.domain, self.address, self.port, self.office = domain, ADDRESSES[domain], port, office
        self.folder = tempfile.mkdtemp(prefix="posthorn-peer-")
        os.chmod(self.folder, 0o755)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        return self.path(name)

    def mails(self):
        found = []
        for folder, _, files in os.walk(self.path("mail")):
            for name in files if os.path.basename(folder) == "new" else []:
                with open(os.path.join(folder, name), "rb") as file:
                    found.append(e2e.crlf(file.read()))
        return found

    def answers(self):
        try:
            with e2e.Smtp(socket.create_connection((self.address, self.port), timeout=2)) as client:
                client.expect("220")
                return True
        except OSError:
            return False

    def send(self, sender, recipient, mail):
        with e2e.Smtp(socket.create_connection((self.address, self.port), timeout=e2e.TIMEOUT)) as client:
            client.expect("220")
            client.say("EHLO client.test", "250")
            client.say(f"MAIL FROM:<{sender}>", "250")
            client.say(f"RCPT TO:<{recipient}>", "250")
            client.data(mail)


class Postfix(Peer):
    MASTER = """%(address)s:%(port)s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
    MAIN = """compatibility_level = 3.6
queue_directory = %(folder)s/spool
data_directory = %(folder)s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = %(folder)s/log
maillog_file_prefixes = %(folder)s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = %(address)s
myhostname = mail.%(domain)s
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = %(domain)s
virtual_mailbox_maps = inline:{{carol@%(domain)s=carol/}}
virtual_mailbox_base = %(folder)s/mail
virtual_uid_maps = static:%(uid)d
virtual_gid_maps = static:%(gid)d
virtual_minimum_uid = 1
transport_maps = inline:{{%(office)s=smtp:[%(office_address)s]:%(port)d}}
alias_maps =
smtpd_tls_security_level = may
smtpd_tls_cert_file = %(tls)s/server.pem
smtpd_tls_key_file = %(tls)s/server.key
smtp_tls_security_level = may
"""

    def __init__(self, port, office):
        if not shutil.which("postfix"):
            e2e.skip("there is no postfix")
        super().__init__(GAMMA, port, office)

    def __enter__(self):
        user = pwd.getpwnam("postfix")
        for name in ("etc", "spool", "data", "mail"):
            os.mkdir(self.path(name))
        for name in ("data", "mail"):
            os.chown(self.path(name), user.pw_uid, user.pw_gid)
        facts = {"folder": self.folder, "address": self.address, "port": self.port, "domain": self.domain, "uid": user.pw_uid, "gid": user.pw_gid,
                 "office": self.office.domain, "office_address": self.office.address, "tls": os.path.join(self.office.directory, "tls")}
        self.write("etc/main.cf", self.MAIN.replace("{{", "{").replace("}}", "}") % facts)
        self.write("etc/master.cf", self.MASTER % facts)
        for name in ("dynamicmaps.cf", "postfix-files"):
            if os.path.exists(f"/etc/postfix/{name}"):
                shutil.copy(f"/etc/postfix/{name}", self.path("etc"))
        self.run("start")
        e2e.until(self.answers, "an answer of Postfix")
        return self

    def run(self, verb):
        subprocess.run(["postfix", "-c", self.path("etc"), verb], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *_):
        self.run("stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class OpenSmtpd(Peer):
    """Debian's package excludes other servers, so it is unpacked in the test's folder; its paths are compiled in."""
    CONFIG = """pki mail cert "%(tls)s/server.pem"
pki mail key "%(tls)s/server.key"
listen on %(address)s port %(port)d tls pki mail hostname mail.%(domain)s
table users { carol = %(user)s }
action "local" maildir "%(folder)s/mail/carol" virtual <users>
action "out" relay src %(address)s host "smtp://%(office_address)s:%(port)d" helo mail.%(domain)s
match from any for domain "%(domain)s" action "local"
match from any for domain "%(office)s" action "out"
"""
    SPOOL, HELPERS = "/var/spool/smtpd", "/usr/libexec/opensmtpd"

    def __init__(self, port, office):
        super().__init__(DELTA, port, office)
        self.process, self.made = None, []

    def unpack(self):
        root = self.path("root")
        os.mkdir(root)
        fetched = subprocess.run(["apt-get", "download", "opensmtpd"], cwd=root, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        packages = [name for name in os.listdir(root) if name.endswith(".deb")]
        if fetched.returncode or not packages:
            e2e.skip("the package opensmtpd cannot be had")
        subprocess.run(["dpkg", "-x", packages[0], "."], cwd=root, check=True)
        return root

    def prepare(self, root):
        program = os.path.join(root, "usr/sbin/smtpd")
        with open(program, "rb") as file:
            empty = re.search(rb"/(?:var|run)/[\w/.-]*empty", file.read())
        empty = empty[0].decode() if empty else "/var/lib/opensmtpd/empty"
        for folder in (empty, self.SPOOL):
            os.makedirs(folder, exist_ok=True)
        os.chmod(self.SPOOL, 0o711)
        for user in ("opensmtpd", "opensmtpq"):
            subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", empty, "--shell", "/usr/sbin/nologin", user],
                           check=False, stderr=subprocess.DEVNULL)
        if os.path.lexists(self.HELPERS) and not os.path.exists(os.path.join(self.HELPERS, "mail.maildir")):
            e2e.skip(f"{self.HELPERS} is another's")
        if not os.path.lexists(self.HELPERS):
            os.makedirs(os.path.dirname(self.HELPERS), exist_ok=True)
            os.symlink(os.path.join(root, "usr/libexec/opensmtpd") if os.path.isdir(os.path.join(root, "usr/libexec/opensmtpd"))
                       else os.path.join(root, "usr/lib/x86_64-linux-gnu/opensmtpd"), self.HELPERS)
            self.made.append(self.HELPERS)
        return program

    def __enter__(self):
        if os.path.exists("/var/run/smtpd.sock") and subprocess.run(["pgrep", "-x", "smtpd"], check=False, stdout=subprocess.DEVNULL).returncode == 0:
            e2e.skip("another OpenSMTPD runs here")
        program = self.prepare(self.unpack())
        os.makedirs(self.path("mail"))
        os.chmod(self.path("mail"), 0o777)
        for name in ("server.pem", "server.key"):
            shutil.copy(os.path.join(self.office.directory, "tls", name), self.path(name))
            os.chmod(self.path(name), 0o600)
        facts = {"folder": self.folder, "address": self.address, "port": self.port, "domain": self.domain, "tls": self.folder, "user": "nobody",
                 "office": self.office.domain, "office_address": self.office.address}
        config = self.write("smtpd.conf", self.CONFIG % facts)
        with open(self.path("log"), "wb") as log:
            self.process = subprocess.Popen([program, "-d", "-f", config], stdout=log, stderr=log, start_new_session=True)
        try:
            e2e.until(self.is_up, "an answer of OpenSMTPD")
        except AssertionError as failure:
            self.__exit__()
            raise AssertionError(f"{failure}: {self.said}") from None
        return self

    def is_up(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as log:
            self.said = log.read()
        check(self.process.poll() is None, f"OpenSMTPD has ended: {self.said}")
        return self.answers()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(e2e.TIMEOUT)
        for link in self.made:
            os.unlink(link)
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    try:
        nsd = nsd_server.NsdServer({ALPHA: "", BETA: ""}, signed=(ALPHA, BETA))
    except e2e.Skipped as reason:
        print(f"1..1\nok 1 - between servers # SKIP {reason}")
        return
    with nsd:
        [port] = ports.take(nsd.folder, 1, ADDRESSES.values())
        world = World(port, nsd)
        with world.alpha, world.beta:
            world.publish()
            names = sys.argv[1:]
            tests = [world.exchange, world.several, world.refused, world.forwarded, world.traced, world.examined, world.waiting, world.killed, world.postfix, world.opensmtpd]
            e2e.run([(f"between servers: {function.__name__}", function) for function in tests if not names or function.__name__ in names])


if __name__ == "__main__":
    main()
