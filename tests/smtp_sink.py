"""A mail server for tests that does as it is told: it takes mail, refuses, delays, lies, breaks off and talks for ever.

    with Sink("127.0.0.2", port, {"RCPT": "451 4.2.0 later", "END": CLOSE}) as sink: … sink.mails, sink.sessions

What it does stands in a table: step → action. Steps: CONNECT, EHLO, STARTTLS, TLS (the handshake), AUTH, MAIL, RCPT, DATA, BDAT, END (the
answer to the content), QUIT. An action is a reply, or one of CLOSE, SILENT, ENDLESS and DRIP, or a function of (session, line) that gives one of
these; a list is used up one by one, the last one stays. What has no action is done as it should be.
"""
import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time

CLOSE, SILENT, ENDLESS, DRIP = "close", "silent", "endless", "drip"
OFFERS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN")
USUAL = {"CONNECT": "220 sink ESMTP", "STARTTLS": "220 2.0.0 go ahead", "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok", "DATA": "354 go ahead",
         "BDAT": "250 2.0.0 ok", "END": "250 2.0.0 taken", "QUIT": "221 2.0.0 bye", "RSET": "250 2.0.0 ok", "NOOP": "250 2.0.0 ok",
         "AUTH": "235 2.7.0 welcome"}


class Gone(Exception):
    pass


class Mail:
    def __init__(self, session):
        self.session, self.sender, self.parameters = session, None, ""
        self.recipients, self.recipient_parameters, self.data = [], [], b""


class Session:
    def __init__(self, sink, connection, peer):
        self.sink, self.connection, self.peer = sink, connection, peer
        self.buffer, self.lines, self.mails, self.tls, self.login = b"", [], 0, False, None
        self.ahead = []  # commands that came with more behind them, before they were answered
        self.mail = Mail(self)

    # ---- octets ----

    def receive(self):
        try:
            piece = self.connection.recv(1 << 18)
        except OSError:
            piece = b""
        if not piece:
            raise Gone
        self.buffer += piece

    def line(self):
        while b"\n" not in self.buffer:
            self.receive()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def send(self, data):
        try:
            self.connection.sendall(data)
        except OSError:
            raise Gone from None

    def hang(self):
        """Says nothing until the other side has gone, or the test is over."""
        self.connection.settimeout(0.2)
        while not self.sink.stopping.is_set():
            try:
                if not self.connection.recv(1 << 16):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        raise Gone

    def act(self, action, usual=None):
        """Does what the table says; True when it was a reply that says yes."""
        if callable(action):
            action = action(self, self.lines[-1] if self.lines else "")
        action = action or usual
        if action == CLOSE:
            raise Gone
        if action == SILENT:
            self.hang()
        if action == ENDLESS:
            while not self.sink.stopping.is_set():
                self.send(b"250-and on it goes\r\n" * 1000)
            raise Gone
        if action == DRIP:
            for _ in range(100000):
                self.send(b"2")
                if self.sink.stopping.wait(0.05):
                    raise Gone
        self.send(action.encode() + b"\r\n")
        return action[0] in "23"

    def step(self, name):
        return self.act(self.sink.action(name), USUAL.get(name, "250 2.0.0 ok"))

    # ---- the dialogue ----

    def hello(self, verb):
        offers = [o for o in self.sink.offers if not (o == "STARTTLS" and self.tls)]
        if verb == "HELO":
            self.send(b"250 sink\r\n")
            return
        lines = ["sink"] + offers
        usual = "\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{line}" for i, line in enumerate(lines))
        self.act(self.sink.action("EHLO"), usual)

    def start_tls(self):
        if not self.step("STARTTLS"):
            return
        self.handshake()

    def handshake(self):
        action = self.sink.action("TLS")
        if action == CLOSE:
            raise Gone
        if action == SILENT:
            self.hang()
        try:
            self.connection = self.sink.context.wrap_socket(self.connection, server_side=True)
        except (OSError, ssl.SSLError) as failure:
            self.sink.tls_failures.append(str(failure))
            raise Gone from None
        self.tls, self.buffer = True, b""

    def log_in(self, line):
        words = line.split()
        if words[1].upper() == "PLAIN":
            text = words[2] if len(words) > 2 else self.challenge("")
            self.login = tuple(base64.b64decode(text).decode().split("\0")[1:])
        elif words[1].upper() == "SCRAM-SHA-256":
            if not self.scram(base64.b64decode(words[2]).decode()):
                self.send(b"535 5.7.8 wrong\r\n")
                return
        else:
            self.login = tuple(base64.b64decode(self.challenge(q)).decode() for q in ("User Name", "Password"))
        self.step("AUTH")

    def scram(self, first):
        """RFC 5802, with the sink's own password; False when the client's is another one."""
        bare = first.split(",", 2)[2]
        user, nonce = (part[2:] for part in bare.split(",")[:2])
        salted = hashlib.pbkdf2_hmac("sha256", self.sink.password.encode(), b"salt", 4096)
        def mac(key, text):
            return hmac.digest(key, text, "sha256")
        server_first = f"r={nonce}sink,s={base64.b64encode(b'salt').decode()},i=4096"
        final = base64.b64decode(self.challenge(server_first)).decode()
        without_proof, _, proof = final.rpartition(",p=")
        signed = ",".join((bare, server_first, without_proof)).encode()
        client_key = mac(salted, b"Client Key")
        signature = mac(hashlib.sha256(client_key).digest(), signed)
        if bytes(a ^ b for a, b in zip(client_key, signature)) != base64.b64decode(proof):
            return False
        self.login = (user, self.sink.password)
        if self.sink.proves:
            self.challenge("v=" + base64.b64encode(mac(mac(salted, b"Server Key"), signed)).decode())
        return True

    def challenge(self, text):
        self.send(b"334 " + base64.b64encode(text.encode()) + b"\r\n")
        return self.line()

    def begin(self, line):
        self.mail = Mail(self)
        path, _, self.mail.parameters = line[10:].partition(" ")
        if self.step("MAIL"):
            self.mail.sender = path.strip("<>")

    def recipient(self, line):
        path, _, parameters = line[8:].partition(" ")
        if self.mail.sender is None:
            self.send(b"503 5.5.1 MAIL first\r\n")
        elif self.step("RCPT"):
            self.mail.recipients.append(path.strip("<>"))
            self.mail.recipient_parameters.append(parameters)

    def data(self):
        if not self.mail.recipients:
            self.send(b"554 5.5.1 nobody to send it to\r\n")
            return
        if not self.step("DATA"):
            return
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.receive()
        if self.buffer.startswith(b".\r\n"):
            body, self.buffer = b"", self.buffer[3:]
        else:
            end = self.buffer.index(b"\r\n.\r\n")
            body, self.buffer = self.buffer[:end + 2], self.buffer[end + 5:]
        self.mail.data = (b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:]
        self.take()

    def chunk(self, line):
        words = line.split()
        size, last = int(words[1]), len(words) > 2 and words[2].upper() == "LAST"
        while len(self.buffer) < size:
            self.receive()
        self.mail.data += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if not self.mail.recipients:
            self.send(b"554 5.5.1 nobody to send it to\r\n")
        elif last:
            self.take()
        else:
            self.step("BDAT")

    def take(self):
        mail, self.mail = self.mail, Mail(self)
        answers = len(mail.recipients) if self.sink.lmtp else 1
        if self.sink.keep_before_answer:
            self.sink.mails.append(mail)
        taken = [self.step("END") for _ in range(answers)]
        self.mails += 1
        if any(taken) and not self.sink.keep_before_answer:
            self.sink.mails.append(mail)

    def serve(self):
        if self.sink.tls_first:
            self.handshake()
        self.step("CONNECT")
        while True:
            line = self.line()
            self.lines.append(line)
            verb = line.split(" ")[0].upper()
            if self.buffer and verb != "BDAT":
                self.ahead.append(verb)
            if verb in ("EHLO", "HELO", "LHLO"):
                self.hello(verb)
            elif verb == "STARTTLS":
                self.start_tls()
            elif verb == "AUTH":
                self.log_in(line)
            elif verb == "MAIL":
                self.begin(line)
            elif verb == "RCPT":
                self.recipient(line)
            elif verb == "DATA":
                self.data()
            elif verb == "BDAT":
                self.chunk(line)
            elif verb == "QUIT":
                self.step("QUIT")
                raise Gone
            else:
                self.step(verb)


class Sink:
    """address: an IP address, or the path of a Unix socket. context: an ssl context makes it offer STARTTLS, or begin with TLS with tls_first."""

    def __init__(self, address, port, actions=None, offers=OFFERS, context=None, tls_first=False, lmtp=False, keep_before_answer=False,
                 password="s3cret word", proves=True):
        self.password, self.proves = password, proves
        self.address, self.port, self.actions = address, port, dict(actions or {})
        self.context, self.tls_first, self.lmtp, self.keep_before_answer = context, tls_first, lmtp, keep_before_answer
        self.offers = tuple(offers) + (("STARTTLS",) if context and not tls_first else ())
        self.mails, self.sessions, self.tls_failures, self.lock = [], [], [], threading.Lock()
        self.open_now = self.open_most = 0
        self.stopping = threading.Event()

    def action(self, step):
        with self.lock:
            action = self.actions.get(step)
            if isinstance(action, list):
                return action.pop(0) if len(action) > 1 else action[0]
            return action

    def __enter__(self):
        if self.address.startswith("/"):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.address)
            self.listener.listen(512)
        else:
            family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
            self.listener = socket.create_server((self.address, self.port), family=family, backlog=512)
            self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while not self.stopping.is_set():
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection, peer), daemon=True).start()

    def serve(self, connection, peer):
        if not self.address.startswith("/"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(self, connection, peer)
        with self.lock:
            self.sessions.append(session)
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
        try:
            session.serve()
        except Gone:
            pass
        finally:
            with self.lock:
                self.open_now -= 1
            session.connection.close()

    def __exit__(self, *_):
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def wait_mails(self, count, seconds=30):
        until = time.monotonic() + seconds
        while len(self.mails) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.mails
