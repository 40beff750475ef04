#!/usr/bin/env python3
"""posthorn-desktop(1) walked through by its accessible names, in Xvfb, against a real post office and servers that lie.

Screenshots go to $POSTHORN_SCREENSHOTS where it is set and ImageMagick's import is there.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

PYTHON = "/usr/bin/python3"  # Debian's, which has pyatspi
INSIDE = "POSTHORN_DESKTOP_E2E"

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import client_e2e as client  # noqa: E402
import e2e  # noqa: E402
from e2e import check, equal, skip  # noqa: E402

PROGRAM = os.path.join(client.BUILD, "clients", "gtk", "posthorn-desktop")
MANY = 50000
MEMORY_MAX_KB = 150 * 1024
SANITIZED_MEMORY_MAX_KB = 900 * 1024  # a sanitizer multiplies what is used
HEADERS = b"From: =?utf-8?q?J=C3=A1n?= <jan%d@example.test>\r\nSubject: %s\r\nDate: Sat, 5 Jan 2002 10:11:12 +0100\r\n\r\nBody of %s.\r\n"


def missing():
    if not os.access(PROGRAM, os.X_OK):
        return f"no {PROGRAM}"
    for tool in ("xvfb-run", "dbus-run-session"):
        if not shutil.which(tool):
            return f"no {tool}"
    if subprocess.run([PYTHON, "-c", "import pyatspi"], stderr=subprocess.DEVNULL, check=False).returncode:
        return "no python3-pyatspi"
    return None


# ---- the window -------------------------------------------------------------------------------------


class Window:
    """The program with data of its own, started on entering."""

    def __init__(self, **environment):
        self.home = tempfile.mkdtemp(dir=client.PLACE)
        self.environment = os.environ | {
            "HOME": self.home, "XDG_DATA_HOME": self.home, "XDG_CONFIG_HOME": self.home, "XDG_CACHE_HOME": self.home, "LC_ALL": "C.UTF-8",
            "GTK_A11Y": "atspi", "GDK_BACKEND": "x11", "GSETTINGS_BACKEND": "memory",
            "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=1"} | environment
        self.downloads = os.path.join(self.home, "Posthorn")
        os.mkdir(os.path.join(self.home, "gtk-4.0"))
        with open(os.path.join(self.home, "gtk-4.0", "settings.ini"), "w", encoding="ascii") as file:
            file.write("[Settings]\ngtk-double-click-time=1\n")  # clicks of a test follow each other fast

    def account(self, name, url, *options):
        words = ["account", "add", name, url, *options]
        subprocess.run([client.POSTHORN, *words], env=self.environment, check=True, timeout=60)

    def __enter__(self):
        import pyatspi  # pylint: disable=import-outside-toplevel
        self.atspi = pyatspi
        self.error = open(os.path.join(self.home, "stderr"), "w+b")
        self.process = subprocess.Popen([PROGRAM], env=self.environment, stderr=self.error)
        try:
            e2e.until(self.application, "the window")
        except BaseException:
            self.__exit__(AssertionError)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.screenshot(f"failed-{self.process.pid}")
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.error.seek(0)
        said = self.error.read().decode(errors="replace")
        self.error.close()
        if kind:
            print("\n".join("# " + line for line in said.splitlines()), flush=True)
        check(kind or ("Sanitizer" not in said and "runtime error" not in said and "CRITICAL" not in said), said)

    def add_account(self, name, server, user):
        """By hand, in the settings."""
        self.press("Settings")
        self.press("Add account")
        self.write("Name", name)
        self.write("POP3 server", server)
        self.write("User", user)
        self.press("Save")
        self.find(f"Change: {name}", "push button")
        self.screenshot("settings")
        self.close_settings()

    def close_settings(self):
        def closed():
            for node in [n for n in self.walk() if n.name == "Settings" and n.getRoleName() in ("frame", "dialog")]:
                with contextlib.suppress(NotImplementedError, ValueError):  # one that is closed already
                    action = node.queryAction()
                    action.doAction([action.getName(i) for i in range(action.nActions)].index("window.close"))
                    return True
            return False
        e2e.until(closed, "the settings are closed")

    def application(self):
        check(self.process.poll() is None, f"the program ended with {self.process.poll()}")
        desktop = self.atspi.Registry.getDesktop(0)
        for i in range(desktop.childCount):
            with contextlib.suppress(Exception):
                found = desktop.getChildAtIndex(i)
                if found.get_process_id() == self.process.pid and found.childCount:
                    return found
        return None

    def walk(self, node=None, depth=0):
        node = node or self.application()
        if node is None or depth > 40:
            return
        yield node
        count = node.childCount
        for i in range(count):
            with contextlib.suppress(Exception):
                child = node.getChildAtIndex(i)
                if child is not None:
                    yield from self.walk(child, depth + 1)

    def look(self, name, role=None, starts=False):
        with contextlib.suppress(Exception):
            for node in self.walk():
                with contextlib.suppress(Exception):
                    # libadwaita 1.2 names the buttons of its dialogs twice
                    if (node.name.startswith(name) if starts else node.name in (name, f"{name} {name}")) and role in (None, node.getRoleName()):
                        return node
        return None

    def find(self, name, role=None, seconds=e2e.TIMEOUT, starts=False):
        found = []

        def there():
            node = self.look(name, role, starts)
            found[:] = [node] if node else []
            return found
        e2e.until(there, f"{role or 'something'} named {name}", seconds)
        return found[0]

    def can(self, name):
        node = self.look(name, "push button")
        return node is not None and node.getState().contains(self.atspi.STATE_SENSITIVE)

    def press(self, name, role="push button"):
        e2e.until(lambda: self.look(name, role) and self.look(name, role).getState().contains(self.atspi.STATE_SENSITIVE), f"{name} can be pressed")
        self.find(name, role).queryAction().doAction(0)

    def click(self, name, role="push button"):
        """By the name of the action, as other programs that drive windows do."""
        e2e.until(lambda: self.look(name, role) and self.look(name, role).getState().contains(self.atspi.STATE_SENSITIVE), f"{name} can be clicked")
        action = self.find(name, role).queryAction()
        action.doAction([action.getName(i) for i in range(action.nActions)].index("click"))

    def seen(self, name):
        node = self.look(name)
        return node is not None and node.queryComponent().getExtents(self.atspi.WINDOW_COORDS).width > 0

    def xdotool(self, *words):
        if not shutil.which("xdotool"):
            skip("xdotool is not installed")
        subprocess.run(["xdotool", *words], check=True, timeout=30)

    def key(self, *names):
        """On the keyboard; without a window manager the keys go where the pointer is."""
        self.xdotool("mousemove", "500", "60", "key", "--delay", "100", *names)

    def has_focus(self, name):
        with contextlib.suppress(Exception):
            return any(n.name == name and n.getState().contains(self.atspi.STATE_FOCUSED) for n in self.walk())
        return False

    def tab_to(self, name):
        for _ in range(20):
            if self.has_focus(name):
                return
            self.key("Tab")
        check(False, f"Tab never comes to {name}")

    def type(self, text):
        self.xdotool("mousemove", "500", "60", "type", "--delay", "30", text)

    def choose(self, name, index):
        """An entry of a drop-down, by mouse and keyboard: GTK 4.8 gives it no action."""
        def boxes():
            nodes = [n for n in self.walk() if n.name == name and n.getRoleName() == "combo box"]
            return [e for e in (n.queryComponent().getExtents(self.atspi.WINDOW_COORDS) for n in nodes) if e.width]
        e2e.until(boxes, f"{name} can be seen")
        box = boxes()[0]
        self.xdotool("mousemove", str(box.x + box.width // 2), str(box.y + box.height // 2), "click", "1")
        self.key("Home", *["Down"] * index, "Return")

    def point_at(self, name, role):
        """A click of the mouse, on what has no action of its own."""
        box = self.find(name, role).queryComponent().getExtents(self.atspi.WINDOW_COORDS)
        self.xdotool("mousemove", str(box.x + box.width // 2), str(box.y + box.height // 2), "click", "1")

    def rows(self):
        """Subjects and their places, from above; what can't be seen has no width."""
        found = []
        with contextlib.suppress(Exception):
            for node in self.walk():
                if node.getRoleName() == "check box" and node.name.startswith("Delete: "):
                    found.append((node.name[8:], node.queryComponent().getExtents(self.atspi.WINDOW_COORDS)))
        return sorted(found, key=lambda row: (row[1].y, row[0]))

    def subjects(self):
        return [name for name, _ in self.rows()]

    def tick(self, subject):
        self.press(f"Delete: {subject}", "check box")

    def is_on(self, name):
        return self.find(name, "check box").getState().contains(self.atspi.STATE_CHECKED)

    def is_ticked(self, subject):
        return self.is_on(f"Delete: {subject}")

    def write(self, name, text):
        for role in ("text", "entry", "password text"):
            node = self.look(name, role)
            if node:
                break
        else:
            node = self.find(name, "text")
        node.queryEditableText().setTextContents(text)

    def says(self, text, seconds=e2e.TIMEOUT):
        """Waits for a label that holds the text, and returns all of it."""
        found = []

        def there():
            with contextlib.suppress(Exception):
                found[:] = [n.name for n in self.walk() if n.getRoleName() == "label" and text in n.name]
            return found
        e2e.until(there, f"the window says {text!r}", seconds)
        return found[0]

    def text_of(self, name):
        with contextlib.suppress(Exception):
            return self.find(name, "text").queryText().getText(0, -1)
        return ""

    def send(self, line):
        """A line in the exerciser. GTK presses a button some time after it was asked to."""
        self.write("Line", line)
        self.press("Send")
        e2e.until(lambda: f" C {line.split()[0]}" in self.text_of("Transcript"), f"{line} is sent")

    def log_in(self, password=client.PASSWORD):
        e2e.until(lambda: self.look("Log in", "push button"), "the question for the password")
        asked = self.look("Log in", "push button")
        self.write("Password", password)
        self.press("Log in")
        # another account may ask next
        e2e.until(lambda: self.look("Log in", "push button") != asked, "the question has gone")

    def open(self, password=client.PASSWORD):
        self.press("Open mailbox")
        self.log_in(password)

    def close_ticked(self, subject):
        self.open()
        e2e.until(lambda: self.can("Close mailbox"), "the list is complete")
        self.tick(subject)
        self.press("Close mailbox")

    def screenshot(self, name):
        place = os.environ.get("POSTHORN_SCREENSHOTS")
        if place and shutil.which("import"):
            subprocess.run(["import", "-window", "root", os.path.join(place, name + ".png")], check=False, timeout=30)


def mails(count):
    return [(f"uid-{i}", HEADERS % (i, b"mail %d" % i, b"%d" % i)) for i in range(1, count + 1)]


@contextlib.contextmanager
def fake(*arguments, kind=client.Pop3, environment=(), **options):
    """A window with one account on a server made here."""
    with kind(*arguments, **options) as server:
        window = Window(**dict(environment))
        window.account("fake", server.url(), "--tls", "none")
        with window:
            yield window, server


# ---- plain use --------------------------------------------------------------------------------------


def test_office():
    """Add an account, open, tick two, undo one, download, close, look at the server."""
    instance = client.office()
    user = instance.fresh_user()
    for i in range(1, 5):
        instance.deliver(user, HEADERS % (i, b"mail %d" % i, b"%d" % i))
    e2e.until(lambda: len(instance.mails(user)) == 4, "delivery")
    with Window(SSL_CERT_FILE=instance.facts["ca"]) as window:
        window.says("There is no account yet")
        window.add_account("office", f"localhost:{instance.port('pop3s')}", user)
        window.open(e2e.PASSWORD)
        window.says("4 mails")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.tick("mail 1")
        window.tick("mail 3")
        window.says("2 are deleted when the mailbox is closed")
        window.screenshot("mailbox")
        window.press("Undo")
        window.says("1 is deleted when the mailbox is closed")
        check(window.is_ticked("mail 1") and not window.is_ticked("mail 3"), "Undo takes back the last tick")
        window.press("Download mail")
        window.says("Saved in")
        equal(len([f for f in os.listdir(window.downloads) if f.endswith(".eml")]), 3, "downloaded mails")
        window.press("Close mailbox")
        window.says("1 mail was deleted.")
    left = instance.mails(user)
    equal(len(left), 3, "mails on the server")
    check(not any(b"Subject: mail 1\r\n" in mail for mail in left), "the ticked mail is gone")


def test_headers_and_body():
    with fake(mails=mails(3)) as (window, server):
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        equal({c.split()[0] for c in server.commands}, {"CAPA", "USER", "PASS", "STAT", "LIST", "UIDL", "TOP"}, "only headers travel")
        window.tick("mail 2")
        e2e.until(lambda: "Subject: mail 2" in window.text_of("Preview"), "readable headers")
        check("Ján <jan2@example.test>" in window.text_of("Preview"), window.text_of("Preview"))
        window.press("Raw headers")
        e2e.until(lambda: "=?utf-8?q?J=C3=A1n?=" in window.text_of("Preview"), "raw headers")
        check("Body of" not in window.text_of("Preview"), "the body is not there yet")
        window.press("Show beginning")
        e2e.until(lambda: "Body of 2." in window.text_of("Preview"), "the beginning of the body")
        check("TOP 2 20" in server.commands and not any(c.startswith("RETR") for c in server.commands), "only TOP")
        window.press("Undo")
        window.press("Download mail")
        window.says("Saved in")
        equal(len([f for f in os.listdir(window.downloads) if f.endswith(".eml")]), 3, "downloaded mails")
        check(server.deleted is None and not server.marked, "nothing is deleted by a download")
        window.press("Close mailbox")
        window.says("Nothing was deleted.")


def test_download_unconnected():
    """Without a session it connects and takes all; again, there is nothing to do."""
    with fake(mails=mails(3)) as (window, server):
        window.press("Download mail")
        window.log_in()
        window.says("not given by the server: 0")
        equal(sorted(f for f in os.listdir(window.downloads) if f.endswith(".eml")), ["uid-1.eml", "uid-2.eml", "uid-3.eml"], "files")
        window.press("Download mail")
        window.says("there already: 3")
        equal(sum(c.startswith("RETR") for c in server.commands), 3, "RETR")


def test_filter():
    with fake(mails=mails(30)) as (window, _):
        window.open()
        window.find("Delete: mail 30", "check box")
        window.write("Filter", "mail 17")
        e2e.until(lambda: not window.look("Delete: mail 30", "check box"), "the filter")
        window.find("Delete: mail 17", "check box")


def test_sorting():
    """A click on a column's name sorts by it, a second one the other way round."""
    fields = b"From: %s <x@example.test>\r\nSubject: %s\r\nDate: Sat, %d Jan 2002 10:11:12 +0100\r\n\r\n%s\r\n"
    listed = [("u1", fields % (b"Bea", b"plum", 7, b"x" * 9000)), ("u2", fields % (b"Cyr", b"Apple", 6, b"x")), ("u3", fields % (b"Ada", b"cherry", 5, b"x" * 99))]
    with fake(mails=listed) as (window, _):
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        for name, wanted in (("From", "cherry plum Apple"), ("Subject", "Apple cherry plum"), ("Date", "cherry Apple plum"), ("Size", "Apple cherry plum")):
            for order in (wanted.split(), wanted.split()[::-1]):
                window.point_at(name, "label")
                e2e.until(lambda order=order: window.subjects() == order, f"{name}: {order}")
        window.tick("plum")
        for place in (0, 2):
            window.point_at("Delete", "label")
            e2e.until(lambda place=place: window.subjects()[place:place + 1] == ["plum"], f"Delete: {place}")


def test_wheel():
    """However fast the wheel turns, the list moves by as much, and back."""
    e2e.long_only("the desktop has two minutes of ./test")
    if not shutil.which("xdotool"):
        skip("xdotool is not installed")
    count, turns = 5000, 100

    def top():
        """The number of the first mail that can be seen."""
        return next((int(name[5:]) for name, place in window.rows() if place.width), 0)
    with fake(mails=mails(count)) as (window, _):
        window.open()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        equal(top(), count, "the newest mail is the first")
        window.xdotool("mousemove", "500", "300", "click", "--repeat", str(turns), "--delay", "4", "5")
        e2e.until(lambda: turns / 2 < count - top() < turns * 3, f"the list moves by the turns of the wheel; now by {count - top()}")
        window.xdotool("click", "--repeat", str(turns), "--delay", "4", "4")
        e2e.until(lambda: top() == count, "and back")


def test_new():
    """What was not there last time is said to be new, not only shown in bold; so is what a rule marked."""
    def described():
        return {n.name[8:]: n.description for n in window.walk() if n.getRoleName() == "check box" and n.name.startswith("Delete: ")}
    with fake(mails=mails(2)) as (window, server):
        for wanted in ({"mail 1": "new since last time", "mail 2": "new since last time"}, {"mail 1": "", "mail 2": "", "mail 3": "new since last time"}):
            window.open()
            e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
            equal(described(), wanted, "what is new")
            window.press("Close mailbox")
            e2e.until(lambda: window.can("Open mailbox"), "it is closed")
            server.mails = mails(3)


def test_download_resumed():
    """The connection breaks in the middle of a mail: what was saved is not fetched again, and nothing half-made is left."""
    e2e.long_only("the desktop has two minutes of ./test")
    def retr(server):
        server.say(b"+OK\r\nhalf")
        client.close(server)
    with fake(mails=mails(3)) as (window, server):
        server.on_retr = lambda argument: client.Pop3.on_retr(server, argument) if argument == "3" else retr(server)
        window.press("Download mail")
        window.log_in()
        window.says("The connection could not be made, or was lost")
        equal([f for f in os.listdir(window.downloads) if not f.startswith(".posthorn")], ["uid-3.eml"], "after the first time")
        del server.on_retr
        window.press("Download mail")
        window.log_in()
        window.says("there already: 1")
        equal(sorted(f for f in os.listdir(window.downloads) if f.endswith(".eml")), ["uid-1.eml", "uid-2.eml", "uid-3.eml"], "files")
        equal(server.commands.count("RETR 3"), 1, "RETR 3")


def test_accounts():
    """Changed and removed in the settings; the drop-down follows."""
    e2e.long_only("the desktop has two minutes of ./test")
    with client.Pop3(mails=mails(1)) as one, client.Pop3(mails=mails(2)) as two:
        window = Window()
        for name, server in (("first", one), ("second", two)):
            window.account(name, server.url(), "--tls", "none")
        with window:
            window.choose("Account", 1)
            window.open()
            window.says("2 mails")
            e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
            window.press("Close mailbox")
            e2e.until(lambda: window.can("Open mailbox"), "it is closed")
            window.press("Settings")
            window.press("Change: second")
            window.write("Name", "renamed")
            window.write("POP3 server", f"127.0.0.1:{one.port}")
            window.press("Save")
            window.find("Change: renamed", "push button")
            check(not window.look("Change: second", "push button"), "the old name is gone")
            window.press("Remove: first")
            window.press("Remove")
            e2e.until(lambda: not window.look("Change: first", "push button"), "it is removed")
            window.close_settings()
            window.open()
            window.says("1 mail")
        listed = subprocess.run([client.POSTHORN, "account", "list"], env=window.environment, stdout=subprocess.PIPE, check=True, timeout=60, text=True)
        equal([row.split("\t")[0] for row in listed.stdout.splitlines()], ["renamed"], "accounts")


def test_wrong_password():
    with fake() as (window, server):
        window.open("wrong")
        window.says("Nothing was deleted.")
        check("the server says: wrong" in window.says("The server refused"), "the reason")
        window.open()
        window.says("3 mails")
        equal(sum(c.startswith("PASS") for c in server.commands), 2, "log-ins")


def test_certificate():
    """A certificate that proves nothing is shown, with the reason, and there is no way around it."""
    good, ca = client.certificate("IP:127.0.0.1")
    cases = (("is signed by itself", client.certificate("IP:127.0.0.1")[0]), ("is for another name", client.certificate("DNS:elsewhere.test")),
             ("has expired", client.certificate("IP:127.0.0.1", days=-1)))
    trusted = client.file("trusted.pem", "".join(client.content(path).decode() for path in (ca, *(made[1] for _, made in cases[1:]))))
    with client.Pop3(context=good, implicit=True, mails=mails(1)) as server:
        window = Window(SSL_CERT_FILE=trusted)
        window.account("tls", server.url("pop3s"))
        with window:
            window.open()
            window.says("1 mail")
            e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
            window.press("Close mailbox")
            e2e.until(lambda: window.can("Open mailbox"), "it is closed")
            logins = len(server.commands)
            # the first one is the server's next day: the certificate is another one than it was
            for reason, made in cases:
                server.context = made if reason == "is signed by itself" else made[0]
                window.open()
                window.find("The server can't be trusted", "label")
                check(reason in window.says("Nothing was deleted."), f"{reason}: {window.says('Nothing was deleted.')}")
                buttons = [n.name for n in window.walk() if n.getRoleName() == "push button" and n.name.split()[0] in ("OK", "Continue", "Trust", "Accept")]
                equal({name.split()[0] for name in buttons}, {"OK"}, "no way around")
                window.screenshot("certificate")
                window.press("OK")
                e2e.until(lambda: window.can("Open mailbox"), "the window goes on")
            equal(len(server.commands), logins, "no word to such a server")


# ---- the exerciser ----------------------------------------------------------------------------------


def test_exerciser():
    instance = client.office()
    user = instance.fresh_user()
    with Window(SSL_CERT_FILE=instance.facts["ca"]) as window:
        window.press("Exerciser", "page tab")
        window.write("Host", f"localhost:{instance.port('pop3s')}")
        window.press("Connect")
        e2e.until(lambda: window.look("AUTHORIZATION", "label"), "the state")
        check(window.can("USER") and not window.can("STAT"), "what is allowed before the log-in")
        window.send(f"USER {user}")
        window.send(f"PASS {e2e.PASSWORD}")
        e2e.until(lambda: window.look("TRANSACTION", "label"), "the state")
        window.press("CAPA")
        e2e.until(lambda: window.can("STAT") and not window.can("USER"), "what is allowed after the log-in")
        window.send("NONSENSE")
        e2e.until(lambda: "(RFC 1939 §3)" in window.text_of("Transcript"), "the explanation")
        check("C PASS ***" in window.text_of("Transcript") and e2e.PASSWORD not in window.text_of("Transcript"), window.text_of("Transcript"))
        window.screenshot("exerciser")
        window.press("QUIT")
        e2e.until(lambda: window.can("Connect"), "the end")


# ---- bad servers ------------------------------------------------------------------------------------


def test_lost_at_close():
    """The connection is lost before QUIT is answered: the window says that it does not know."""
    with fake({"QUIT": client.close}) as (window, server):
        window.close_ticked("two")
        window.says("The server did not say what became of the ticked mails")
        equal(server.marked, {"uid-2"}, "what was marked")


def test_lost_before_close():
    with fake({"DELE": client.close}) as (window, server):
        window.close_ticked("two")
        window.says("Nothing was deleted.")
        check(server.deleted is None, "no QUIT")


def test_endless_list():
    with fake({"LIST": client.after(b"+OK\r\n", client.endless(b"%d 1\r\n"))}) as (window, server):
        window.open()
        check("Nothing was deleted." in window.says("lists more than"), "what became of the mails")
        check(not server.marked and server.deleted is None, "nothing is deleted")


def test_closed_at_each_step():
    e2e.long_only("the desktop has two minutes of ./test")
    with fake() as (window, server):
        for step in ("GREETING", "PASS", "UIDL", "TOP"):
            server.answers = {step: client.close}
            before = len(server.threads)
            window.open()
            e2e.until(lambda: len(server.threads) > before and window.can("Open mailbox"), f"the window goes on after {step}")
            check("Nothing was deleted." in window.says("The connection could not be made, or was lost"), step)
        check(not server.marked and server.deleted is None, "nothing is deleted")


def bad_answers():
    flood = client.endless(b"x" * 1000)
    return [("GREETING", flood), ("GREETING", b"-ERR no\r\n"), ("GREETING", b"220 mail ESMTP\r\n"), ("GREETING", b"* PREAUTH welcome\r\n"),
            ("CAPA", client.after(b"+OK\r\n", flood)), ("USER", b"-ERR no\r\n"), ("PASS", b"-ERR no\r\n"), ("STAT", b"-ERR no\r\n"),
            ("STAT", b"+OK 99999999999999999999 1\r\n"), ("LIST", b"-ERR no\r\n"), ("LIST", client.after(b"+OK\r\n1 ", flood)),
            ("LIST", b"+OK\r\n1 5\r\n1 5\r\n.\r\n"), ("LIST", b"+OK\r\n1 2\0\r\n.\r\n"), ("UIDL", b"+OK\r\n1 a\0b\r\n.\r\n"),
            ("UIDL", client.after(b"+OK\r\n", client.endless(b"%d u\r\n"))), ("TOP", client.after(b"+OK\r\n", flood)), ("TOP", b"HTTP/1.1 200 OK\r\n")]


def go_through(cases):
    """One window through them all: what is wrong is said, nothing is deleted, and the next opening works."""
    with fake() as (window, server):
        for step, answer in cases:
            server.answers = {step: answer}
            before = len(server.threads)
            window.open()
            e2e.until(lambda: len(server.threads) > before and window.can("Open mailbox"), f"the window goes on after {step} {answer}")
            window.says("Nothing was deleted.")
            if window.look("The server can't be trusted", "label"):
                window.press("OK")
                e2e.until(lambda: not window.look("OK", "push button"), "the message is read")
        check(not server.marked and server.deleted is None, "nothing is deleted")
        server.answers = {}
        window.open()
        window.says("3 mails")


def test_bad_servers():
    go_through(bad_answers()[::4])


def test_more_bad_servers():
    e2e.long_only("the desktop has two minutes of ./test")
    go_through([case for i, case in enumerate(bad_answers()) if i % 4])


def test_refusals():
    """-ERR to what a person asks for later: said, and nothing is deleted by mistake."""
    e2e.long_only("the desktop has two minutes of ./test")
    with fake(mails=mails(3)) as (window, server):
        def close_with(answers, said):
            server.answers = answers
            window.close_ticked("mail 2")
            window.says(said)
            e2e.until(lambda: window.can("Open mailbox"), "the window goes on")
        close_with({"DELE": b"-ERR no\r\n"}, "Nothing was deleted.")
        check("RSET" in server.commands and "QUIT" not in server.commands, f"{server.commands}")
        close_with({"DELE": b"-ERR no\r\n", "RSET": b"-ERR no\r\n"}, "Nothing was deleted.")
        check("QUIT" not in server.commands, f"{server.commands}")
        close_with({"QUIT": b"-ERR no\r\n"}, "The server did not say what became of the ticked mails")
        server.marked.clear()  # a server that refuses QUIT has forgotten
        server.answers = {"RETR": b"-ERR no\r\n"}
        window.press("Download mail")
        window.log_in()
        window.says("not given by the server: 3")
        equal([f for f in os.listdir(window.downloads) if f.endswith(".eml")], [], "files")
        window.press("Close mailbox")
        e2e.until(lambda: window.can("Open mailbox"), "it is closed")
        server.answers = {"TOP": b"-ERR no\r\n", "UIDL": b"-ERR no\r\n"}
        window.open()
        window.says("3 mails")
        check(not server.deleted, "nothing is deleted")


def test_lies():
    """Wrong counts and sizes are told; a unique id that several mails have is not deleted by."""
    same = [("same", client.MAILS[0][1]), ("other", client.MAILS[1][1]), ("same", client.MAILS[2][1])]
    with fake({"STAT": b"+OK 4000000000 1\r\n", "LIST": b"+OK\r\n3 18446744073709551615\r\n2 0\r\n1 7\r\n.\r\n"}, mails=same) as (window, server):
        window.open()
        window.says("3 mails")
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete")
        window.tick("three")
        window.press("Close mailbox")
        e2e.until(lambda: window.can("Open mailbox"), "the end")
        equal(server.commands.count("DELE 3"), 1, "the very mail, by its number")
        check("DELE 1" not in server.commands and "DELE 2" not in server.commands, "no other")


def test_no_timestamp_no_password():
    """A timestamp that is none, data before STLS, a challenge that is refused: no password goes out in the clear."""
    context, ca = client.certificate("IP:127.0.0.1")
    inject = client.after(b"+OK go\r\n+OK injected\r\n", client.silence)
    with client.Pop3({"STLS": inject}, context=context, capabilities=client.STLS) as server:
        window = Window(SSL_CERT_FILE=ca)
        window.account("stls", server.url())
        with window:
            window.open()
            window.says("Nothing was deleted.")
        check(not any(c.startswith(("USER", "PASS")) for c in server.commands), f"{server.commands}")
    with client.Pop3({"GREETING": b"+OK <a@b@c>\r\n", "APOP": b"+OK\r\n"}) as server:
        window = Window()
        window.account("apop", server.url(), "--tls", "none", "--login", "apop")
        with window:
            window.open()
            window.says("Nothing was deleted.")
        check(not any(c.startswith(("APOP", "PASS")) for c in server.commands), f"{server.commands}")


def test_version():
    said = subprocess.run([PROGRAM, "--version"], env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}, capture_output=True, text=True, check=True, timeout=60)
    check(said.stdout.startswith("posthorn-desktop "), said.stdout)


def test_silence_and_cancel():
    with fake({"LIST": client.silence}) as (window, server):
        window.open()
        e2e.until(lambda: "UIDL" in server.commands or "LIST" in server.commands, "the server is asked")
        window.press("Cancel")
        check("cancelled" in window.says("Nothing was deleted."), "what is said")
        e2e.until(lambda: window.can("Open mailbox"), "the window goes on")


def test_hostile_subject():
    hostile = [("a", b"Subject: =?utf-8?b?4oCuZXZpbBtbMko=?= \x07\x00 end\r\nFrom: \xff\xfe\r\n\r\n")]
    with fake(mails=hostile) as (window, _):
        window.open()
        name = window.find("Delete: ", "check box", starts=True).name
        check(not any(c in name for c in "\u202e\x1b\x07\x00"), repr(name))


class Halting(client.Pop3):
    """Stops in the middle of the headers until its gate is opened."""

    def __init__(self, *arguments, **options):
        self.gate = threading.Event()
        super().__init__(*arguments, **options)

    def __exit__(self, *what):
        self.gate.set()
        super().__exit__(*what)

    def on_top(self, argument):
        if argument == f"{MANY - 1000} 0":
            self.gate.wait(e2e.TIMEOUT * 2)
        return super().on_top(argument)


def test_many():
    """50,000 mails: the first rows come at once, the window answers meanwhile, memory is bounded."""
    listed = [(f"u{i}", b"From: Somebody <s%d@example.test>\r\nSubject: number %d\r\n\r\n" % (i, i)) for i in range(MANY)]
    with fake(kind=Halting, mails=listed) as (window, server):
        window.open()
        window.find(f"Delete: number {MANY - 1}", "check box")
        window.write("Filter", f"number {MANY - 7}")
        e2e.until(lambda: not window.look(f"Delete: number {MANY - 1}", "check box"), "the window answers while the list is loaded")
        window.write("Filter", "")
        server.gate.set()
        e2e.until(lambda: window.can("Close mailbox"), "the list is complete", 90)
        window.says(f"{MANY} mails")
        with open(f"/proc/{window.process.pid}/status", encoding="utf-8") as status:
            peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
        with open(f"/proc/{window.process.pid}/maps", encoding="utf-8") as maps:
            sanitized = "libasan" in maps.read()
        print(f"# memory for {MANY} mails: {peak // 1024} MB{' with a sanitizer' if sanitized else ''}", flush=True)
        check(peak < (SANITIZED_MEMORY_MAX_KB if sanitized else MEMORY_MAX_KB), f"{peak} kB of memory")


def run(program, prefix, functions, before=()):
    """The tests among the functions, in a display and on a session bus of their own; before: what the command begins with."""
    tests = [(f"{prefix}: {name[5:].replace('_', ' ')}", function) for name, function in functions.items() if name.startswith("test_")]
    why = missing()
    if why:
        e2e.run([(name, lambda: skip(why)) for name, _ in tests])
    if not os.environ.get(INSIDE):
        os.environ[INSIDE] = "1"
        sys.stdout.flush()
        # without -noreset the server begins anew when the bus of accessibility was its only client, and refuses windows meanwhile
        shutil.rmtree(client.PLACE)  # the program that follows has one of its own
        command = [*before, "xvfb-run", "-a", "-s", "-screen 0 1280x1024x24 -noreset", "dbus-run-session", "--", PYTHON, program, *sys.argv[1:]]
        os.execvp(command[0], command)
    wanted = sys.argv[1:]
    try:
        e2e.run([t for t in tests if not wanted or any(w in t[0].replace(" ", "_") for w in wanted)])
    finally:
        if client.Office.instance:
            client.Office.instance.stop()
            shutil.rmtree(client.Office.instance.directory, ignore_errors=True)
        shutil.rmtree(client.PLACE, ignore_errors=True)


if __name__ == "__main__":
    run(__file__, "desktop", globals())
