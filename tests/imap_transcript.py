"""The runner of tests/imap/*.txt; tests/imap/README has the format."""
import base64
import codecs
import contextlib
import os
import re
import socket
import zlib

import e2e

FOLDER = os.path.join(e2e.ROOT, "tests", "imap")
USERS = ("user", "user2", "user3")
LITERAL = re.compile(rb"~?\{(\d+)\+?\}$")
STEP = re.compile(r"(\d+)(>>|>raw|>|<<|<|~|=|\+|!)(?: (.*))?$")
VALUE = r'[^ ()\[\]"]+'
PLAIN_STEP = re.compile(r"(\d+) (login|open|tls|deflate|closed|close)(?: (.*))?$")


class Deflated:
    """A connection behind COMPRESS DEFLATE, RFC 4978."""

    def __init__(self, connection):
        self.connection = connection
        self.packer = zlib.compressobj(wbits=-15)
        self.unpacker = zlib.decompressobj(wbits=-15)
        self.received = 0

    def recv(self, size):
        while True:
            piece = self.connection.recv(size)
            self.received += len(piece)
            data = self.unpacker.decompress(piece)
            if data or not piece:
                return data

    def sendall(self, data):
        self.connection.sendall(self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH))

    def __getattr__(self, name):
        return getattr(self.connection, name)


class Imap(e2e.Line):
    """A connection whose responses have literals: each is a str of latin-1, so that octets stay what they are."""

    def __init__(self, connection):
        super().__init__(connection)
        self.tags = 0
        self.waiting = []
        self.put_back = []
        self.untagged = []
        self.earlier = []

    def need(self, enough):
        while not enough():
            try:
                piece = self.connection.recv(1 << 16)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return False
            self.buffer += piece
        return True

    def response(self):
        """The next one without its CRLF; None at the end of the connection."""
        if self.put_back:
            return self.put_back.pop()
        whole = b""
        while True:
            if not self.need(lambda: b"\r\n" in self.buffer):
                if whole or self.buffer:
                    raise AssertionError(f"connection ended within a response: {whole + self.buffer!r}")
                return None
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            whole += line
            literal = LITERAL.search(line)
            if not literal:
                return whole.decode("latin-1")
            size = int(literal[1])
            if not self.need(lambda: len(self.buffer) >= size):
                raise AssertionError("connection ended within a literal")
            whole += b"\r\n" + self.buffer[:size]
            self.buffer = self.buffer[size:]

    def tag(self):
        self.tags += 1
        self.waiting.append(f"A{self.tags}")
        return self.waiting[-1]

    def command(self, text):
        """Sends a command and returns its untagged responses and the tagged one, without tag."""
        tag = self.tag()
        self.send(f"{tag} {text}\r\n".encode())
        untagged = []
        while True:
            response = self.response()
            if response is None or response.startswith(tag + " "):
                self.waiting.remove(tag)
                return untagged, response and response[len(tag) + 1:]
            untagged.append(response)


def connect(instance, service="imap"):
    client = Imap(socket.create_connection(("127.0.0.1", instance.port(service)), timeout=e2e.TIMEOUT))
    if service == "imaps":
        client.start_tls(instance.tls())
    return client


def log_in(instance, user, service="imap"):
    client = connect(instance, service)
    e2e.check((client.response() or "").startswith("* OK "), "greeting")
    _, answer = client.command(f"LOGIN {user} {e2e.PASSWORD}")
    e2e.check(answer is not None and answer.startswith("OK "), f"log-in of {user}: {answer}")
    return client


def shown(response):
    """As people read it."""
    with contextlib.suppress(AttributeError, UnicodeDecodeError):
        response = response.encode("latin-1").decode()
    return e2e.short(response)


class Step:
    """One line of a transcript with the block of | lines below it."""

    def __init__(self, where, line):
        self.where = where
        self.line = line
        self.block = None
        found = STEP.fullmatch(line) or PLAIN_STEP.fullmatch(line)
        self.number, self.verb, self.text = (found[1], found[2], found[3] or "") if found else (None, line.split(" ")[0], line)


def read_steps(path):
    steps, name = [], os.path.relpath(path, e2e.ROOT)
    with open(path, encoding="utf-8") as script:
        for number, line in enumerate(script, 1):
            line = line.rstrip("\n")
            if line.startswith("| ") or line == "|":
                if not steps:
                    raise AssertionError(f"{name}:{number}: a block without a line above it")
                steps[-1].block = (steps[-1].block or []) + [line[2:]]
            elif line.strip() and not line.startswith("#"):
                steps.append(Step(f"{name}:{number}", line))
    return steps


def settings_of(path):
    """What "# config:" at the top asks for."""
    with open(path, encoding="utf-8") as script:
        for line in script:
            if not line.startswith("#"):
                return ()
            if line.startswith("# config:"):
                return tuple(line[9:].split())
    return ()


def users_of(path):
    """How many accounts a transcript needs."""
    with open(path, encoding="utf-8") as script:
        text = script.read()
    return max(i + 1 for i, name in enumerate(USERS) if i == 0 or re.search(rf"\b{name}\b", text))


def latin(text):
    """As responses are kept: one character per octet."""
    return text.encode("utf-8").decode("latin-1")


class Transcript:
    def __init__(self, instance, path):
        self.instance = instance
        self.steps = read_steps(path)
        self.at = 0
        self.connections = {}
        self.values = {"password": e2e.PASSWORD, "domain": e2e.DOMAIN}
        for name in USERS[:users_of(path)]:
            self.values[name] = instance.fresh_user()

    def run(self):
        try:
            while self.at < len(self.steps):
                step = self.steps[self.at]
                self.at += 1
                try:
                    self.take(step)
                except (AssertionError, OSError, KeyError) as failure:
                    raise AssertionError(f"{step.where}: {step.line}\n    {type(failure).__name__}: {failure}") from None
        finally:
            for connection in self.connections.values():
                connection.close()

    # ---- values and patterns ----

    def value(self, name):
        found = re.fullmatch(r"(\w+)([+-]\d+)", name)
        if found:
            return str(int(self.values[found[1]]) + int(found[2]))
        if name.startswith("base64:"):
            inner = re.sub(r"\[(\w+)\]", lambda m: self.values[m[1]], name[7:])
            return base64.b64encode(codecs.decode(inner, "unicode_escape").encode("latin-1")).decode()
        if name.startswith("letters:"):
            return "x" * int(name[8:])
        return self.values[name]

    def fill(self, text):
        return re.sub(r"@\{([^{}]+)\}", lambda m: self.value(m[1]), text)

    def match(self, pattern, text):
        """Whether the text looks so; values that were unknown are taken from it then."""
        expression, fresh = "", {}
        for part in re.split(r"(\.\.\.|@\{[^{}]+\})", latin(pattern)):
            if part == "...":
                expression += ".*"
            elif part.startswith("@{"):
                name, _, form = part[2:-1].partition(":")
                if name in fresh:
                    expression += f"(?P={fresh[name]})"
                elif name in self.values or re.search(r"[+-]\d+$", name):
                    expression += re.escape(latin(self.value(name)))
                else:
                    fresh[name] = f"v{len(fresh)}"
                    expression += f"(?P<{fresh[name]}>{form or VALUE})"
            else:
                expression += re.escape(part)
        found = text is not None and re.fullmatch(expression, text, re.DOTALL)
        for name, group in fresh.items() if found else ():
            self.values[name] = found[group]
        return bool(found)

    def expected(self, step):
        """The pattern of a response, with its literals and what follows them."""
        pattern = step.text
        while pattern.endswith("{|}"):
            content = "\r\n".join(step.block or [])
            length = "..." if "..." in content or "@{" in content else str(len(self.fill(content).encode()))
            pattern = f"{pattern[:-2]}{length}}}\r\n{content}"
            if not (self.at < len(self.steps) and self.steps[self.at].verb == "<<" and self.steps[self.at].number == step.number):
                break
            step = self.steps[self.at]
            self.at += 1
            pattern += step.text
        return pattern

    # ---- steps ----

    def take(self, step):
        if step.number is None:
            return self.outside(step)
        if step.verb == "open":
            self.connections[step.number] = Imap(socket.create_connection(("127.0.0.1", self.instance.port(step.text)), timeout=e2e.TIMEOUT))
            return None
        if step.verb == "login":
            self.connections[step.number] = log_in(self.instance, self.values[step.text or "user"])
            return None
        connection = self.connections[step.number]
        handler = {">": self.command, ">>": self.line, ">raw": self.raw, "<": self.untagged, "~": self.any_order, "=": self.tagged,
                   "+": self.continuation, "!": self.absent, "tls": self.tls, "deflate": self.deflate, "close": self.close, "closed": self.closed}[step.verb]
        return handler(connection, step)

    def outside(self, step):
        words = step.text.split()
        if words[0] == "deliver":
            e2e.check(step.block, "no mail below")
            self.instance.deliver([self.values[word] for word in words[1:]], "\n".join(self.fill(line) for line in step.block) + "\n")
        elif words[0] == "fill":
            self.append_mails(self.values[words[1]], words[2], int(words[3]))
        else:
            raise AssertionError("no such step")

    def append_mails(self, user, mailbox, count):
        with log_in(self.instance, user) as client:
            for number in range(1, count + 1):
                mail = (f"From: Alice <alice@example.test>\r\nTo: {user}\r\nSubject: mail {number}\r\n"
                        f"Date: Mon, {number % 28 + 1:02} Jan 2024 10:00:00 +0000\r\nMessage-ID: <{number}@fill.example.test>\r\n\r\nThis is mail {number}.\r\n")
                _, answer = client.command(f"APPEND {mailbox} {{{len(mail)}+}}\r\n{mail}")
                e2e.check(answer is not None and answer.startswith("OK "), f"APPEND: {answer}")

    def send_text(self, connection, step, front=""):
        """A line with its literal, if it has one; what follows stands in the next step."""
        text = front + self.fill(step.text)
        if not re.search(r"\{\|\+?\}$", text):
            connection.send(text.encode() + b"\r\n")
            return
        content = self.fill("\r\n".join(step.block or [])).encode()
        waits = not text.endswith("+}")
        text = text[:text.rindex("{|")] + f"{{{len(content)}{'' if waits else '+'}}}"
        connection.send(text.encode() + b"\r\n")
        if waits and not self.may_go_on(connection):
            return
        following = self.steps[self.at] if self.at < len(self.steps) else None
        more = following and following.verb == ">>" and following.number == step.number
        connection.send(content if more else content + b"\r\n")

    def may_go_on(self, connection):
        """Waits for the continuation request, behind what answers earlier commands; false for an answer in its place."""
        earlier = []
        while True:
            answer = connection.response()
            asked = answer is not None and answer.startswith("+")
            if not asked:
                earlier.append(answer)
            if asked or answer is None or (connection.waiting and answer.startswith(connection.waiting[-1] + " ")):
                connection.put_back.extend(reversed(earlier))
                return asked

    def command(self, connection, step):
        self.send_text(connection, step, connection.tag() + " ")

    def line(self, connection, step):
        self.send_text(connection, step)

    def raw(self, connection, step):
        connection.send(codecs.decode(latin(self.fill(step.text)).replace("\\\\", "\\x5c"), "unicode_escape").encode("latin-1"))

    def next_untagged(self, connection):
        response = connection.response()
        if response is not None and response.startswith("* "):
            connection.untagged.append(response)
        return response

    def untagged(self, connection, step):
        pattern = self.expected(step)
        if pattern == "...":
            self.skip(connection)
            return
        response = self.next_untagged(connection)
        if not self.match(pattern, response):
            raise AssertionError(f"got {shown(response)}")

    def skip(self, connection):
        """Takes responses until the next expectation of this connection would be met."""
        following = self.steps[self.at]
        e2e.check(following.number and following.verb in "<~=+", "what comes behind ... must say what ends it")
        mark = self.at
        self.at += 1
        pattern = self.expected(following)
        self.at = mark
        known = dict(self.values)
        while True:
            response = self.next_untagged(connection)
            if following.verb in "<~":
                met = self.match(pattern, response)
            else:
                met = response is not None and not response.startswith("* ")
            self.values = dict(known)
            if met:
                if response.startswith("* "):
                    connection.untagged.pop()
                connection.put_back.append(response)
                return
            if response is None or not response.startswith("* "):
                raise AssertionError(f"looked for {pattern!r}, got {shown(response)}")

    def any_order(self, connection, step):
        wanted = [self.expected(step)]
        while self.at < len(self.steps) and self.steps[self.at].verb == "~" and self.steps[self.at].number == step.number:
            following = self.steps[self.at]
            self.at += 1
            wanted.append(self.expected(following))
        while wanted:
            response = self.next_untagged(connection)
            # the most exact first: "..." may look like everything
            found = next((p for p in sorted(wanted, key=lambda p: p.count("...")) if self.match(p, response)), None)
            if found is None:
                raise AssertionError(f"got {shown(response)}, wanted one of {wanted!r}")
            wanted.remove(found)

    def tagged(self, connection, step):
        e2e.check(connection.waiting, "no command waits for its answer")
        tag = connection.waiting.pop(0)
        response = connection.response()
        pattern = self.expected(step)
        connection.earlier, connection.untagged = connection.untagged, []
        if response is None or not response.startswith(tag + " ") or not self.match(pattern, response[len(tag) + 1:]):
            raise AssertionError(f"got {shown(response)} (tag {tag})")

    def continuation(self, connection, step):
        response = connection.response()
        if response is None or not response.startswith("+") or not self.match(step.text, response[1:].removeprefix(" ")):
            raise AssertionError(f"got {shown(response)}")

    def absent(self, connection, step):
        for response in connection.earlier + connection.untagged:
            e2e.check(not self.match(step.text, response), f"got {shown(response)}")

    def tls(self, connection, step):
        connection.start_tls(self.instance.tls())

    def deflate(self, connection, step):
        connection.connection = Deflated(connection.connection)

    def close(self, connection, step):
        connection.close()

    def closed(self, connection, step):
        response = connection.response()
        e2e.check(response is None, f"got {shown(response)}")


def outcomes(path):
    """The commands that a transcript sends, each with OK, NO or BAD."""
    sent = {}
    for step in read_steps(path):
        if step.verb == ">":
            words = step.text.upper().split(" ")
            sent.setdefault(step.number, []).append(words[1] if words[0] == "UID" and len(words) > 1 else words[0])
        elif step.verb == "=" and sent.get(step.number):
            yield sent[step.number].pop(0), step.text.split(" ")[0]
