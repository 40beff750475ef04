"""What the end-to-end tests share: an instance of the whole system, TAP output, and small clients.

A test is a function that returns (passed) or raises (failed); `skip(reason)` skips it. Ports come from
tools/instance; nothing here sleeps to wait for an event.
"""
import base64
import collections
import contextlib
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))  # for what tools and tests share
SHARED = os.environ.get("POSTHORN_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
PASSWORD = "secret"
DOMAIN = "example.test"
TIMEOUT = 30
LONG = os.environ.get("POSTHORN_TEST_LONG") == "1"
COMPLAINT = re.compile(r"Sanitizer|runtime error:|must hold|process-killed .*signal=(?!9\b)|malformed|not\\x20permitted|version-differs")
QUEUED = re.compile(r"queued as ([0-9a-f]{16})")


class Skipped(Exception):
    pass


def skip(reason):
    raise Skipped(reason)


def long_only(what):
    """Names on the TAP line what only ./test --long runs."""
    if not LONG:
        skip(f"only with ./test --long: {what}")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: expected {short(wanted)}, got {short(got)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:300]} … {text[-200:]} ({len(text)} characters)"


def crlf(data):
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def stuffed(mail):
    """A mail as DATA carries it, with the final dot."""
    mail = mail if mail.endswith(b"\r\n") or not mail else mail + b"\r\n"
    return (b"\r\n" + mail).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


def plain(user, password=PASSWORD):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


instances = []


class Instance:
    """tools/instance start … stop, as a context manager."""

    def __init__(self, *arguments, accounts=("user%d:40",)):
        self.directory = tempfile.mkdtemp(prefix="posthorn-e2e-")
        os.chmod(self.directory, 0o755)
        self.arguments = [a for pattern in accounts for a in ("--accounts", pattern)] + list(arguments)
        self.next_user = 0
        self.log_seen = 0
        self.log_lock = threading.Lock()
        self.delivered = collections.Counter()

    def start(self):
        command = [os.path.join(ROOT, "tools", "instance"), "start", self.directory, *self.arguments]
        started = subprocess.run(command, capture_output=True, check=False, text=True, timeout=300)
        check(started.returncode == 0, f"{' '.join(command)}: status {started.returncode}\n{started.stderr}")
        if self not in instances:
            instances.append(self)
        self.facts = dict(line.split("=", 1) for line in started.stdout.split())
        return self

    def stop(self):
        subprocess.run([os.path.join(ROOT, "tools", "instance"), "stop", self.directory], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)

    def count_earlier(self, kind, days):
        """What queue has counted for reports of this kind it counted so many days ago: each key begins with the day."""
        self.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(self.directory, "data", "spool", "state.db"))) as state, state:
            for (key,) in state.execute("SELECT key FROM state WHERE kind=?", (kind,)).fetchall():
                earlier = (int.from_bytes(key[:8], sys.byteorder) - days).to_bytes(8, sys.byteorder) + key[8:]
                state.execute("UPDATE state SET key=? WHERE kind=? AND key=?", (earlier, kind, key))
        self.start()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        problems = self.problems()
        if self in instances:
            instances.remove(self)
        if not os.environ.get("POSTHORN_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)
        check(not problems, "a program crashed or complained: " + problems)

    def problems(self):
        """What no program may do: crash, break its sandbox, displease a sanitizer, send what a peer does not expect."""
        found = [line for line in self.log().splitlines() if COMPLAINT.search(line)]
        return "\n".join(found[:20])

    def port(self, service):
        if service not in self.facts:
            skip(f"no port for {service}")
        return int(self.facts[service].rsplit(":", 1)[-1])

    def fresh_user(self):
        """The address of an account that no test has used before."""
        self.next_user += 1
        return f"user{self.next_user - 1}@{DOMAIN}"

    def ctl(self, *words, check=True, text_input=None):
        environment = dict(os.environ, POSTHORN_DIR=self.directory)
        return subprocess.run([self.facts["ctl"], *words], env=environment, check=check, text=True, timeout=60, input=text_input,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def log(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as log:
            return log.read()

    def tls(self):
        return ssl.create_default_context(cafile=self.facts["ca"])

    def lmtp(self):
        return smtplib.LMTP("127.0.0.1", self.port("lmtp"), timeout=TIMEOUT)

    def deliver(self, recipient, message, sender="sender@elsewhere.test"):
        """A mail by LMTP; returns when it lies in the accounts, and not only in the queue."""
        if isinstance(message, str):
            message = message.encode()
        recipients = [recipient] if isinstance(recipient, str) else recipient
        with self.smtp("lmtp") as client:
            client.envelope(sender, recipients)
            replies = client.data(crlf(message), len(recipients))
        for reply in replies:
            check(reply.startswith("250"), f"refused: {reply}")
        self.wait_delivered(replies[0], len(recipients))

    def wait_delivered(self, reply, recipients=1):
        """Waits for the queue's word that the mail of a 250 lies in so many accounts."""
        self.wait_all_delivered({QUEUED.search(reply).group(1): recipients})

    def wait_all_delivered(self, wanted, seconds=TIMEOUT):
        """The same for several: queue id → recipients."""
        def arrived():
            with self.log_lock:
                self.read_log()
                return all(self.delivered[name] >= count for name, count in wanted.items())
        until(arrived, f"delivery of {short(list(wanted))}", seconds)

    def read_log(self):
        """Counts what queue has logged as delivered since the last call."""
        with open(os.path.join(self.directory, "log"), "rb") as log:
            log.seek(self.log_seen)
            news = log.read()
        news = news[:news.rfind(b"\n") + 1]
        self.log_seen += len(news)
        for found in re.finditer(rb" delivered queue-id=\"?([0-9a-f]{16})", news):
            self.delivered[found[1].decode()] += 1

    def connect(self, service):
        return Line(socket.create_connection(("127.0.0.1", self.port(service)), timeout=TIMEOUT))

    def smtp(self, service="smtp", hello="client.test", user=None):
        """A greeted SMTP or LMTP session; with a user inside TLS and logged in."""
        client = Smtp(socket.create_connection(("127.0.0.1", self.port(service)), timeout=TIMEOUT))
        if service == "submissions":
            client.start_tls(self.tls())
        client.expect("220")
        client.say(f"{'LHLO' if service == 'lmtp' else 'EHLO'} {hello}", "250")
        if user and service != "submissions":
            client.say("STARTTLS", "220")
            client.start_tls(self.tls())
            client.say(f"EHLO {hello}", "250")
        if user:
            client.say(f"AUTH PLAIN {plain(user)}", "235")
        return client

    def pop3(self, user, service="pop3", password=PASSWORD, utf8=False):
        """A POP3 session in the TRANSACTION state."""
        client = Pop3(socket.create_connection(("127.0.0.1", self.port(service)), timeout=TIMEOUT))
        if service == "pop3s":
            client.start_tls(self.tls())
        client.ok(None)
        if utf8:
            client.ok("UTF8")
        client.ok(f"USER {user}")
        client.ok(f"PASS {password}")
        return client

    def mails(self, user):
        """All mails of an account, as RETR gives them."""
        with self.pop3(user) as client:
            mails = client.all()
            client.ok("QUIT")
        return mails

    def processes(self):
        """What posthornctl status lists: program, kind, pid, account, state. One that is being forked has no pid yet."""
        return [p for p in json.loads(self.ctl("--json", "status").stdout) if int(p["pid"])]

    def pids(self, program, kind=None):
        return [int(p["pid"]) for p in self.processes() if p["program"] == program and kind in (None, p["kind"])]

    def master(self):
        with open(os.path.join(self.directory, "pid"), encoding="ascii") as file:
            return int(file.read().split()[0])

    def children(self):
        """Every process of this instance but master: they are in the session that master began."""
        return [pid for pid in session_members(self.master()) if pid != self.master()]


class Line:
    """A connection that speaks in lines."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""

    def send(self, data):
        self.connection.sendall(data if isinstance(data, bytes) else data.encode() + b"\r\n")

    def line(self):
        """The next line without its CRLF; None at the end of the connection."""
        while b"\r\n" not in self.buffer:
            try:
                piece = self.connection.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                piece = b""
            if not piece:
                if self.buffer:
                    raise AssertionError(f"connection ended within a line: {self.buffer!r}")
                return None
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def listing(self):
        """Lines up to the one with a dot, unstuffed."""
        lines = []
        while (line := self.line()) != ".":
            if line is None:
                raise AssertionError("connection ended within a listing")
            lines.append(line[1:] if line.startswith(".") else line)
        return lines

    def reply(self):
        """An SMTP reply as a list of its lines."""
        lines = [self.line()]
        while lines[-1] is not None and lines[-1][3:4] == "-":
            lines.append(self.line())
        return lines

    def ask(self, command):
        self.send(command)
        return self.line()

    def start_tls(self, context, name="localhost"):
        if self.buffer:
            raise AssertionError(f"data before TLS: {self.buffer!r}")
        self.connection = context.wrap_socket(self.connection, server_hostname=name)

    def rest(self):
        """All bytes up to the end of the connection."""
        while True:
            try:
                piece = self.connection.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                piece = b""
            if not piece:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += piece

    def ended(self):
        equal(self.line(), None, "the end of the connection")

    def close(self):
        self.connection.close()

    def hang_up(self):
        """Ends the connection without QUIT; returns when the server has noticed, and let go of a maildrop."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.rest()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Smtp(Line):
    def expect(self, beginning):
        """A reply whose last line begins so; returns it as one string."""
        lines = self.reply()
        check(lines[-1] is not None and lines[-1].startswith(beginning), f"expected {beginning}, got {short(lines)}")
        return "\n".join(lines)

    def say(self, command, beginning):
        self.send(command)
        try:
            return self.expect(beginning)
        except AssertionError as failure:
            raise AssertionError(f"{short(command)}: {failure}") from None

    def envelope(self, sender, recipients):
        self.send(b"".join([f"MAIL FROM:<{sender}>\r\n".encode()] + [f"RCPT TO:<{r}>\r\n".encode() for r in recipients]))
        self.expect("250 2.1.0")
        for _ in recipients:
            self.expect("250 2.1.5")

    def data(self, mail, replies=1):
        """DATA with a mail; returns the replies to its end, which may be refusals."""
        self.say("DATA", "354")
        self.send(stuffed(mail))
        return [self.expect("") for _ in range(replies)]

    def transact(self, sender, recipients, mail, beginning="250 2.0.0"):
        """A whole transaction; the answer to its end."""
        self.envelope(sender, recipients)
        reply, = self.data(mail)
        check(reply.startswith(beginning), f"expected {beginning}, got {reply}")
        return reply


class Pop3(Line):
    def close(self):
        self.hang_up()

    def ok(self, command):
        """Sends a command (None: sends nothing) that is to succeed."""
        line = self.line() if command is None else self.ask(command)
        check(line is not None and line.startswith("+OK"), f"{command}: {line}")
        return line

    def err(self, command, text=""):
        line = self.ask(command)
        check(line is not None and line.startswith("-ERR") and text in line, f"{command}: expected -ERR … {text}, got {line}")
        return line

    def block(self):
        """Bytes up to the dot, unstuffed."""
        while not self.buffer.startswith(b".\r\n") and b"\r\n.\r\n" not in self.buffer:
            piece = self.connection.recv(1 << 18)
            check(piece, "connection ended within a mail")
            self.buffer += piece
        if self.buffer.startswith(b".\r\n"):
            body, self.buffer = b"", self.buffer[3:]
        else:
            end = self.buffer.index(b"\r\n.\r\n") + 2
            body, self.buffer = self.buffer[:end], self.buffer[end + 3:]
        return (b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:]

    def retr(self, number):
        self.ok(f"RETR {number}")
        return self.block()

    def count(self):
        return int(self.ok("STAT").split()[1])

    def all(self):
        count = self.count()
        return [self.retr(number) for number in range(1, count + 1)]

    def uids(self):
        self.ok("UIDL")
        return [line.split()[1] for line in self.listing()]


def process_facts(pid):
    """The fields of /proc/PID/stat behind the name; None for a process that ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields


def session_members(session):
    """The processes of a session."""
    facts = ((int(entry), process_facts(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return [pid for pid, fields in facts if fields and int(fields[3]) == session]


def is_alive(pid):
    return process_facts(pid) is not None


def kill(pid, number=signal.SIGKILL):
    check(pid > 0, "0 would be everybody of this test's own group")
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def body_of(mail):
    """What was sent: the mail behind the trace header that the server put before it."""
    trace = re.match(rb"Return-Path: [^\r]*\r\nDelivered-To: [^\r]*\r\nReceived: .*?;\s+\w{3}, \d\d? \w{3} \d{4} [\d:]{8} [+-]\d{4}\r\n",
                     mail, re.DOTALL)
    check(trace, f"trace header: {short(mail[:300])}")
    return mail[trace.end():]


def until(condition, what, seconds=TIMEOUT):
    """Asks again and again; for effects that no answer announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        time.sleep(0.02)


def all_is_well():
    for instance in instances:
        problems = instance.problems()
        check(not problems, problems)


def run(tests):
    """Runs (name, function) pairs and prints TAP; the exit status says whether all passed."""
    failed = 0
    tests = [*tests, ("no program crashed or complained", all_is_well)]
    print(f"1..{len(tests)}", flush=True)
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skipped as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)


