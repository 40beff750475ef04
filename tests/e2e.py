"""What the end-to-end tests share: an instance of the whole system, TAP output, and small clients.

A test is a function that returns (passed) or raises (failed); `skip(reason)` skips it. Ports come from
tools/instance; nothing here sleeps to wait for an event.
"""
import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("POSTHORN_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
PASSWORD = "secret"
DOMAIN = "example.test"
TIMEOUT = 30


class Skipped(Exception):
    pass


def skip(reason):
    raise Skipped(reason)


class Instance:
    """tools/instance start … stop, as a context manager."""

    def __init__(self, *arguments, accounts=("user%d:40",)):
        self.directory = tempfile.mkdtemp(prefix="posthorn-e2e-")
        os.chmod(self.directory, 0o755)
        self.arguments = [a for pattern in accounts for a in ("--accounts", pattern)] + list(arguments)
        self.next_user = 0

    def start(self):
        command = [os.path.join(ROOT, "tools", "instance"), "start", self.directory, *self.arguments]
        started = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=300)
        self.facts = dict(line.split("=", 1) for line in started.stdout.split())
        return self

    def stop(self):
        subprocess.run([os.path.join(ROOT, "tools", "instance"), "stop", self.directory], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

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
        """A mail by LMTP; returns when the server has said 250."""
        if isinstance(message, str):
            message = message.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        with self.lmtp() as client:
            refused = client.sendmail(sender, [recipient] if isinstance(recipient, str) else recipient, message)
        if refused:
            raise AssertionError(f"refused: {refused}")

    def connect(self, service):
        return Line(socket.create_connection(("127.0.0.1", self.port(service)), timeout=TIMEOUT))


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

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def until(condition, what, seconds=TIMEOUT):
    """Asks again and again; for effects that no answer announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        time.sleep(0.02)


def run(tests):
    """Runs (name, function) pairs and prints TAP; the exit status says whether all passed."""
    failed = 0
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


