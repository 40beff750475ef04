#!/usr/bin/env python3
"""posthorn(1) against servers that lie, break off and inject, made here, and against a real post office."""
import base64
import contextlib
import json
import mailbox
import os
import pty
import re
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import e2e
from e2e import check, equal, skip

DONE, FAILED, USAGE, NOT_FOUND, UNAVAILABLE, DENIED, EXISTS, DISTRUSTED = range(8)
PASSWORD = "tanstaaf"
PLACE = tempfile.mkdtemp(prefix="posthorn-client-")
BUILD = os.environ.get("POSTHORN_BUILD", os.path.join(e2e.ROOT, "build", "gcc"))
POSTHORN = os.path.join(BUILD, "clients", "cli", "posthorn")
MEMORY_MAX_KB = 1 << 20  # a sanitizer multiplies what is used

MAILS = [
    ("uid-1", b"From: =?utf-8?q?J=C3=A1n?= <jan@example.test>\r\nSubject: =?utf-8?b?xb5sdMO9?=\r\n"
              b"Date: Sat, 5 Jan 2002 10:11:12 +0100\r\n\r\nFirst.\r\n.dot\r\nFrom here\r\n"),
    ("uid-2", b"From: b@example.test\r\nSubject: two\r\n\r\nSecond.\r\n"),
    ("uid-3", b"Subject: three\r\n\r\nThird.\r\n"),
]


def file(name, content=""):
    path = os.path.join(PLACE, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(content)
    return path


def folder():
    return tempfile.mkdtemp(dir=PLACE)


PASSWORD_FILE = file("password", PASSWORD + "\n")


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout.decode("utf-8", "surrogateescape")
        self.raw = process.stdout
        self.err = process.stderr.decode("utf-8", "surrogateescape")

    def expect(self, code, *said):
        check(self.code == code and all(s in self.err for s in said), f"expected {code} and {said}, got {self.code}: {self.err}\n{self.out[-500:]}")
        return self


def posthorn(*words, text=b"", environment=None):
    if not os.access(POSTHORN, os.X_OK):
        skip(f"no {POSTHORN}")
    process = subprocess.run([POSTHORN, *map(str, words)], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                             env=os.environ | {"XDG_DATA_HOME": PLACE} | (environment or {}), check=False)
    check(process.returncode >= 0 and b"Sanitizer" not in process.stderr and b"runtime error" not in process.stderr,
          process.stderr.decode(errors="replace"))
    return Result(process)


# ---- fake servers -----------------------------------------------------------------------------------


class Fake:
    """A server on a port, of its own where none is given. Each connection is served by `serve` in a thread of its own."""

    def __init__(self, context=None, implicit=False, port=0, host="127.0.0.1"):
        self.listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        self.own = threading.local()
        self.context = context
        self.implicit = implicit
        self.commands = []
        self.sent = 0
        self.threads = []

    def __enter__(self):
        self.accepting = threading.Thread(target=self.accept)
        self.accepting.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.accepting.join()
        for thread in self.threads:
            thread.join()

    @property
    def connection(self):
        """The thread's: the next client may come before the last one's thread has ended."""
        return self.own.connection

    @connection.setter
    def connection(self, connection):
        self.own.connection = connection

    @property
    def buffer(self):
        return self.own.buffer

    @buffer.setter
    def buffer(self, buffer):
        self.own.buffer = buffer

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                thread = threading.Thread(target=self.one, args=(connection,))
                thread.start()
                self.threads.append(thread)

    def one(self, connection):
        connection.settimeout(60)
        self.connection = connection
        with contextlib.suppress(OSError, StopIteration):
            if self.implicit:
                self.wrap()
            self.serve()
        with contextlib.suppress(OSError):
            self.connection.close()

    def wrap(self):
        self.connection = self.context.wrap_socket(self.connection, server_side=True)

    def say(self, data):
        self.connection.sendall(data)
        self.sent += len(data)

    def lines(self):
        self.buffer = b""
        while True:
            piece = self.connection.recv(65536)
            if not piece:
                return
            self.buffer += piece
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                self.commands.append(line.rstrip(b"\r").decode("utf-8", "replace"))
                yield self.commands[-1]

    def wait_for_close(self):
        while self.connection.recv(65536):
            pass
        raise StopIteration


class Pop3(Fake):
    """Answers as RFC 1939 wants it, but for what `answers` has: keyword → bytes, or a function of the server."""

    def __init__(self, answers=None, mails=None, capabilities=(b"TOP", b"UIDL", b"USER", b"PIPELINING"), **options):
        super().__init__(**options)
        self.answers = answers or {}
        self.mails = MAILS if mails is None else mails
        self.capabilities = capabilities
        self.marked = set()
        self.deleted = None

    def url(self, scheme="pop3", host="127.0.0.1"):
        return f"{scheme}://tim@{host}:{self.port}"

    def run(self, verb, *operands, options=("--tls", "none")):
        return posthorn("pop3", verb, self.url(), "--password-file", PASSWORD_FILE, *options, *operands)

    def serve(self):
        self.answer("GREETING", "")
        for line in self.lines():
            keyword, _, argument = line.partition(" ")
            self.answer(keyword.upper(), argument)
            if keyword.upper() == "QUIT":
                return

    def answer(self, keyword, argument):
        special = self.answers.get(keyword)
        if special is None:
            self.say(getattr(self, "on_" + keyword.lower(), lambda _: b"-ERR unknown\r\n")(argument))
        elif callable(special):
            special(self)
        else:
            self.say(special)

    @staticmethod
    def listing(lines):
        return b"+OK\r\n" + b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"

    def on_greeting(self, _):
        return b"+OK ready\r\n"

    def on_capa(self, _):
        return self.listing(self.capabilities)

    def on_user(self, _):
        return b"+OK\r\n"

    on_noop = on_user

    def on_pass(self, argument):
        return b"+OK\r\n" if argument == PASSWORD else b"-ERR [AUTH] wrong\r\n"

    def on_stat(self, _):
        return b"+OK %d %d\r\n" % (len(self.mails), sum(len(m[1]) for m in self.mails))

    def on_list(self, _):
        return self.listing(b"%d %d" % (i, len(m[1])) for i, m in enumerate(self.mails, 1))

    def on_uidl(self, _):
        return self.listing(b"%d %s" % (i, m[0].encode()) for i, m in enumerate(self.mails, 1))

    def on_top(self, argument):
        number, lines = map(int, argument.split())
        header, _, body = self.mails[number - 1][1].partition(b"\r\n\r\n")
        return self.listing([*header.split(b"\r\n"), b"", *body.split(b"\r\n")[:-1][:lines]])

    def on_retr(self, argument):
        return self.listing(self.mails[int(argument) - 1][1].split(b"\r\n")[:-1])

    def on_dele(self, argument):
        self.marked.add(self.mails[int(argument) - 1][0])
        return b"+OK\r\n"

    def on_rset(self, _):
        self.marked.clear()
        return b"+OK\r\n"

    def on_quit(self, _):
        self.deleted = set(self.marked)
        return b"+OK bye\r\n"


class Smtp(Fake):
    """Takes one mail after another; `answers`: keyword → list of replies, used in turn, the last one again and again."""

    def __init__(self, answers=None, extensions=(b"PIPELINING", b"SIZE 100000", b"8BITMIME"), **options):
        super().__init__(**options)
        self.answers = {keyword: list(replies) for keyword, replies in (answers or {}).items()}
        self.extensions = extensions
        self.mail = b""

    def send(self, *words, text=b"To: a@example.test\n\nHello\n", options=("--tls", "none"), user=""):
        return posthorn("send", f"smtp://{user}127.0.0.1:{self.port}", "-f", "me@example.test", "--password-file", PASSWORD_FILE, *options,
                        *words, text=text)

    def take(self, keyword, usual):
        replies = self.answers.get(keyword, [usual])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if callable(reply):
            reply(self)
        else:
            self.say(reply + b"\r\n")
        return reply

    def serve(self):
        self.take("GREETING", b"220 ready")
        lines = self.lines()
        for line in lines:
            keyword = line.partition(" ")[0].upper()
            if keyword == "EHLO":
                self.take(keyword, b"".join(b"250-%s\r\n" % e for e in (b"hello", *self.extensions)) + b"250 HELP")
            elif keyword == "DATA":
                if not self.take(keyword, b"354 go").startswith(b"354"):
                    continue
                self.mail = b"".join(line.encode() + b"\r\n" for line in iter(lambda: next(lines), "."))
                self.take("CONTENT", b"250 taken")
            else:
                self.take(keyword, b"221 bye" if keyword == "QUIT" else b"250 ok")
            if keyword == "QUIT":
                return


def close(server):
    server.connection.shutdown(socket.SHUT_RDWR)
    raise StopIteration


def silence(server):
    server.wait_for_close()


def endless(line):
    """The line again and again, %d being a number that grows, until the client has had enough."""
    def say(server):
        number = 0
        while True:
            block = line * 1000 if b"%d" not in line else b"".join(line % (number + i) for i in range(1, 1001))
            number += 1000
            server.say(block)
    return say


def after(data, then):
    def say(server):
        server.say(data)
        then(server)
    return say


# ---- plain use --------------------------------------------------------------------------------------


def test_list():
    with Pop3() as server:
        listed = json.loads(server.run("list", "--json").expect(DONE).out)
    equal([sorted(o) for o in listed], [sorted(["uidl", "number", "size", "from", "subject", "date"])] * 3, "the keys")
    equal(listed[0], {"uidl": "uid-1", "number": 1, "size": len(MAILS[0][1]), "from": "Ján <jan@example.test>", "subject": "žltý",
                      "date": "2002-01-05T10:11:12+01:00"}, "the first mail")
    equal([o["date"] for o in listed], ["2002-01-05T10:11:12+01:00", None, None], "dates")
    equal([c.split()[0] for c in server.commands], ["CAPA", "USER", "PASS", "STAT", "LIST", "UIDL", "TOP", "TOP", "TOP", "QUIT"], "commands")
    with Pop3() as server:
        rows = server.run("list").expect(DONE, "not encrypted").out.splitlines()
    equal(rows[1], f"uid-2\t{len(MAILS[1][1])}\t\tb@example.test\ttwo", "a row")
    with Pop3(mails=[]) as server:
        equal(server.run("list", "--json").expect(DONE).out, "[]\n", "an empty maildrop")
        equal(server.run("list").expect(DONE).out, "", "an empty maildrop")


def test_many():
    mails = [(f"u{i}", b"Subject: %d\r\n\r\n" % i) for i in range(5000)]
    for capabilities in ((b"TOP", b"UIDL", b"USER", b"PIPELINING"), (b"USER",)):
        with Pop3(mails=mails, capabilities=capabilities) as server:
            listed = json.loads(server.run("list", "--json").expect(DONE).out)
        equal([(o["uidl"], o["subject"]) for o in listed], [(f"u{i}", str(i)) for i in range(5000)], "the listing")


def test_pipelining():
    """With PIPELINING the questions come together; without it each waits for the answer to the one before."""
    for capabilities, behind in (((b"USER", b"PIPELINING"), b"LIST\r\nUIDL\r\n"), ((b"USER",), b"")):
        seen = []

        def stat(server):
            seen.append(server.buffer)
            server.say(b"+OK 0 0\r\n")
        with Pop3({"STAT": stat}, mails=[], capabilities=capabilities) as server:
            server.run("list").expect(DONE)
        equal(seen, [behind], "what came with STAT")
        equal(server.commands[-4:], ["STAT", "LIST", "UIDL", "QUIT"], "the questions")


def test_old_server():
    """Neither CAPA nor UIDL nor TOP."""
    no = b"-ERR unknown\r\n"
    with Pop3({"CAPA": no, "UIDL": no, "TOP": no}) as server:
        listed = json.loads(server.run("list", "--json").expect(DONE, "did not show the headers of 3").out)
        equal([(o["uidl"], o["subject"], o["size"]) for o in listed], [(None, "", len(m[1])) for m in MAILS], "the listing")
        server.run("delete", "uid-1").expect(NOT_FOUND, "nothing was deleted")
        place = folder()
        server.run("fetch", "--dir", place).expect(DONE)
    saved = sorted(f for f in os.listdir(place) if f.endswith(".eml"))
    equal(len(saved), 3, "saved mails")
    equal(sorted(content(place, f) for f in saved), sorted(m[1] for m in MAILS), "their octets")


def content(*path):
    with open(os.path.join(*path), "rb") as saved:
        return saved.read()


def test_url_forms():
    """An IPv6 address, and users that are addresses or have to be escaped, come to the server as they are meant."""
    with contextlib.suppress(OSError), Pop3(host="::1") as server:
        for user, sent in (("tim", "tim"), ("tim@example.test", "tim@example.test"), ("tim%40example.test", "tim@example.test"), ("t%2Fi%3Am", "t/i:m")):
            posthorn("pop3", "list", f"POP3://{user}@[::1]:{server.port}/", "--tls", "none", "--password-file", PASSWORD_FILE).expect(DONE)
            equal([c for c in server.commands if c.startswith("USER")][-1], f"USER {sent}", user)


def test_json():
    """Valid whatever the server says, and whatever becomes of the listing."""
    dripping = []

    def top(server):
        dripping.append(server.commands[-1])
        if len(dripping) == 2:
            close(server)
        server.say(server.on_top("1 0"))
    last = 2 ** 64 - 1
    for answers, code, count in (({"TOP": b"-ERR no\r\n"}, DONE, 3), ({"UIDL": b"-ERR no\r\n"}, DONE, 3), ({"TOP": top}, UNAVAILABLE, 1),
                                 ({"TOP": b"+OK\r\nSubject: \xff\"\\ \x01\r\n\r\n.\r\n"}, DONE, 3),
                                 ({"STAT": b"+OK 1 1\r\n", "LIST": b"+OK\r\n%d %d\r\n.\r\n" % (last, last), "UIDL": b"+OK\r\n.\r\n",
                                   "TOP": b"+OK\r\n\r\n.\r\n"}, DONE, 1)):
        with Pop3(answers, capabilities=(b"USER",)) as server:
            listed = json.loads(server.run("list", "--json").expect(code).out)
        equal(len(listed), count, f"objects after {answers}")
        equal([o for o in listed if o["number"] < 1 or o["size"] < 0 or not isinstance(o["subject"], str)], [], "objects")


def test_show():
    with Pop3() as server:
        shown = server.run("show", "uid-1").expect(DONE).out
        equal(shown, "From: Ján <jan@example.test>\nDate: 2002-01-05T10:11:12+01:00\nSubject: žltý\n\nFirst.\n.dot\nFrom here\n", "the mail")
        equal(server.run("show", "--lines", "1", "uid-1").expect(DONE).out.splitlines()[-1], "First.", "one line")
        equal(server.run("show", "--raw", "uid-2").expect(DONE).raw, MAILS[1][1], "the raw mail")
        server.run("show", "nosuch").expect(NOT_FOUND, "nosuch")


def test_show_formats():
    mail = (b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>bold</b>\r\n"
            b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 =1B[2J\r\n--b--\r\n")
    html = b"Content-Type: text/html\r\n\r\n<html><body><p>only <i>html</i></p></body></html>\r\n"
    with Pop3(mails=[("a", mail), ("h", html)]) as server:
        check("café \ufffd[2J" in server.run("show", "a").expect(DONE).out, "the text part")
        check("only html" in server.run("show", "h").expect(DONE).out, "text of HTML")


def test_fetch_eml():
    place = folder()
    with Pop3() as server:
        result = server.run("fetch", "--dir", place).expect(DONE, "saved: 3, there already: 0")
        equal(result.out.splitlines()[0], f"uid-1\t{place}/uid-1.eml", "what is printed")
        equal({u: content(place, u + ".eml") for u, _ in MAILS}, dict(MAILS), "the files")
        server.run("fetch", "--dir", place).expect(DONE, "saved: 0, there already: 3")
        equal([c for c in server.commands if c.startswith("RETR")], ["RETR 1", "RETR 2", "RETR 3"], "what was fetched")
        server.run("fetch", "--dir", place, "--again", "uid-2").expect(DONE, "saved: 1")
        equal(content(place, "uid-2.2.eml"), MAILS[1][1], "the second copy")
        equal(content(place, "uid-2.eml"), MAILS[1][1], "the first copy")
        check(server.deleted == set() and "DELE" not in " ".join(server.commands), "nothing is deleted")


def test_fetch_maildir():
    place = folder()
    with Pop3() as server:
        server.run("fetch", "--dir", place, "--format", "maildir", "uid-1", "uid-3").expect(DONE, "saved: 2")
    equal(os.listdir(os.path.join(place, "tmp")), [], "tmp")
    box = mailbox.Maildir(place, create=False)
    equal(sorted(box.get_bytes(k) for k in box.keys()), sorted(MAILS[i][1].replace(b"\r\n", b"\n") for i in (0, 2)), "the mails")


def test_fetch_mbox():
    place = folder()
    with Pop3() as server:
        server.run("fetch", "--dir", place, "--format", "mbox", "uid-2").expect(DONE)
        server.run("fetch", "--dir", place, "--format", "mbox").expect(DONE, "saved: 2, there already: 1")
        text = content(place, "mbox")
        box = mailbox.mbox(os.path.join(place, "mbox"), create=False)
        quoted = [m[1].replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ") for m in (MAILS[1], MAILS[0], MAILS[2])]
        equal([box.get_bytes(k) for k in box.keys()], quoted, "the mails")
        os.close(os.open(os.path.join(place, "mbox.lock"), os.O_CREAT | os.O_EXCL))
        server.run("fetch", "--dir", place, "--format", "mbox", "--again").expect(UNAVAILABLE, "mbox.lock")
    equal(content(place, "mbox"), text, "a locked mbox")


def test_delete():
    with Pop3() as server:
        server.run("delete", "uid-3", "uid-1", "uid-1").expect(DONE, "deleted: 2")
    equal(server.deleted, {"uid-1", "uid-3"}, "what is deleted")
    with Pop3() as server:
        server.run("delete", "uid-1", "nosuch").expect(NOT_FOUND, "nosuch", "nothing was deleted")
    check(server.deleted is None and not server.marked, "nothing is deleted")


def test_wrong_password():
    with Pop3({"PASS": b"-ERR [AUTH] no\r\n"}) as server:
        server.run("list").expect(DENIED, "log-in")
    with Pop3({"PASS": b"-ERR [IN-USE] locked\r\n"}) as server:
        server.run("list").expect(UNAVAILABLE, "locked")
    with Pop3({"PASS": b"-ERR [SYS/TEMP] later\r\n"}) as server:
        server.run("list").expect(UNAVAILABLE, "later")


def test_usage():
    for words in ([], ["pop3"], ["pop3", "list"], ["pop3", "steal", "x"], ["pop3", "list", "a", "b"], ["pop3", "list", "a", "--format", "eml"],
                  ["pop3", "delete", "pop3s://a@h"], ["pop3", "fetch", "a", "--format", "mh"], ["pop3", "list", "http://h"],
                  ["pop3", "list", "pop3s://h"], ["pop3", "list", "pop3s://a:secret@h"], ["pop3", "list", "smtps://a@h"],
                  ["pop3", "list", "pop3s://a@h", "--tls", "none"], ["pop3", "list", "--timeout", "0", "pop3s://a@h"], ["--nonsense"],
                  ["pop3", "list", "--tls"], ["talk", "gopher", "h"], ["pop3", "list", "pop3s://a@h", "--password-file", "/nonexistent"]):
        result = posthorn(*words).expect(USAGE, "posthorn: ")
        check("secret" not in result.err, "a password is repeated")
    posthorn("--version").expect(DONE)
    text = posthorn("--help").expect(DONE).out
    for line in re.findall(r"^  posthorn (\w+(?: \w+)?)", text, re.M):
        words = line.split()[:2] if line.split()[0] in ("pop3", "account") else line.split()[:1]
        check(posthorn(*words, "--help").expect(DONE).out.startswith(f"Usage: posthorn {' '.join(words)}"), f"the help of {line}")


def test_manual():
    """Manual and completion have each command and option that --help has."""
    manual = content(e2e.ROOT, "man", "posthorn.1").decode()
    completion = content(e2e.ROOT, "clients", "cli", "posthorn.bash").decode()
    for line in re.findall(r"^  posthorn (\w+(?: \w+)?) ", posthorn("--help").expect(DONE).out, re.M):
        words = line.split()[:2] if line.split()[0] in ("pop3", "account") else line.split()[:1]
        check(f".Cm {' '.join(words)}\n" in manual, f"{line} is not in the manual")
        for option in re.findall(r"^  (?:-\w, )?--(\S+)", posthorn(*words, "--help").expect(DONE).out, re.M):
            check(re.search(rf"^\.It .*Fl -{option}( |$)", manual, re.M), f"--{option} is not in the manual")
            check(f"--{option}" in completion, f"--{option} is not completed")


def test_exit_codes():
    """The manual tells each, and no other."""
    manual = content(e2e.ROOT, "man", "posthorn.1").decode().split(".Sh EXIT STATUS")[1].split(".Sh ")[0]
    equal(re.findall(r"^\.It (.*)$", manual, re.M), [str(code) for code in range(DISTRUSTED + 1)], "exit codes")


def complete(*words):
    typed = " ".join(f"'{w}'" for w in words)
    script = (r"posthorn() { printf 'home\tx\ntwo words\ty\n'; }; "
              f"source {e2e.ROOT}/clients/cli/posthorn.bash; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _posthorn; "
              r"""printf '%s\n' "${COMPREPLY[@]}" """)
    result = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True, timeout=30)
    equal(result.stderr, "", f"completing {words}")
    return result.stdout.split("\n")[:-1]


def test_completion():
    equal(complete("posthorn", "p"), ["pop3"], "a command")
    equal(complete("posthorn", "pop3", ""), ["list", "show", "fetch", "delete"], "a second word")
    equal(complete("posthorn", "pop3", "list", ""), ["home", "two words"], "accounts")
    equal(complete("posthorn", "pop3", "fetch", "--f"), ["--format"], "an option")
    equal(complete("posthorn", "pop3", "fetch", "--format", "m"), ["maildir", "mbox"], "a value")
    equal(complete("posthorn", "talk", ""), ["pop3", "imap", "smtp"], "a protocol")
    equal(complete("posthorn", "account", "remove", "ho"), ["home"], "an account")


# ---- bad servers ------------------------------------------------------------------------------------


def test_endless_list():
    for answers in ({"LIST": after(b"+OK\r\n", endless(b"%d 100\r\n"))}, {"UIDL": after(b"+OK\r\n", endless(b"%d u\r\n"))},
                    {"CAPA": after(b"+OK\r\n", endless(b"SASL X\r\n"))}, {"UIDL": after(b"+OK\r\n", endless(b"1 u\r\n"))}):
        with Pop3(answers) as server:
            server.run("list").expect(DISTRUSTED)
    check(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < MEMORY_MAX_KB, "memory")


def test_endless_line():
    flood = endless(b"x" * 1000)
    for answers in ({"GREETING": after(b"+OK ", flood)}, {"GREETING": flood}, {"CAPA": after(b"+OK\r\n", flood)}, {"LIST": after(b"+OK\r\n1 ", flood)},
                    {"UIDL": after(b"+OK\r\n1 ", flood)}, {"STAT": after(b"+OK 1 ", flood)}, {"TOP": after(b"+OK\r\n", flood)}):
        with Pop3(answers) as server:
            server.run("list").expect(DISTRUSTED)
        check(server.sent < 100 << 20, f"{server.sent} octets were taken")
    place = folder()
    with Pop3({"RETR": after(b"+OK\r\n", flood)}) as server:
        server.run("fetch", "--dir", place).expect(DISTRUSTED)
    check(server.sent < 100 << 20, f"{server.sent} octets were taken")
    equal([f for f in os.listdir(place) if f != ".posthorn-eml"], [], "nothing half-made is left")
    check(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < MEMORY_MAX_KB, "memory")


def test_nonsense():
    for answers in ({"GREETING": b"220 mail ESMTP\r\n"}, {"GREETING": b"\0\0\0\0\r\n"}, {"STAT": b"+OK many\r\n"}, {"STAT": b"+OK -1 5\r\n"},
                    {"STAT": b"+OK 99999999999999999999 1\r\n"}, {"LIST": b"+OK\r\n1\r\n.\r\n"}, {"LIST": b"+OK\r\n1 2\0\r\n.\r\n"},
                    {"LIST": b"+OK\r\n0 5\r\n.\r\n"}, {"LIST": b"+OK\r\n1 5\r\n1 5\r\n.\r\n"}, {"LIST": b"+OK\r\n2 5\r\n1 5\r\n2 5\r\n.\r\n"},
                    {"UIDL": b"+OK\r\n1 a\0b\r\n.\r\n"}, {"UIDL": b"+OK\r\n1 " + b"u" * 71 + b"\r\n.\r\n"}, {"UIDL": b"+OK\r\n1 a\r\n1 b\r\n.\r\n"},
                    {"UIDL": b"+OK\r\n1 a\x1bb\r\n.\r\n"}, {"TOP": b"HTTP/1.1 200 OK\r\n"}):
        with Pop3(answers) as server:
            server.run("delete" if "TOP" not in answers else "list", *([] if "TOP" in answers else ["uid-1"])).expect(DISTRUSTED)
        check(not server.deleted, f"{answers}: deleted")


def test_lies():
    with Pop3({"STAT": b"+OK 4000000000 1\r\n"}) as server:
        server.run("list").expect(DONE, "says that there are 4000000000 mails, but lists 3")
    with Pop3({"UIDL": b"+OK\r\n1 uid-1\r\n7 x\r\n.\r\n"}) as server:
        server.run("list").expect(DONE, "don't fit together")
        server.run("delete", "x").expect(NOT_FOUND)
        server.run("delete", "uid-1").expect(DONE)
    equal(server.deleted, {"uid-1"}, "what is deleted")
    with Pop3({"LIST": b"+OK\r\n3 18446744073709551615\r\n2 0\r\n1 7\r\n.\r\n"}) as server:
        place = folder()
        server.run("fetch", "--dir", place).expect(DONE, "announced with 7 octets")
        equal({u: content(place, u + ".eml") for u, _ in MAILS}, dict(MAILS), "the files")
        check(json.loads(server.run("list", "--json").expect(DONE).out)[2]["size"] >= 2 ** 62, "the size")


def test_repeated_uids():
    mails = [("same", MAILS[0][1]), ("other", MAILS[1][1]), ("same", MAILS[2][1])]
    with Pop3(mails=mails) as server:
        equal([o["uidl"] for o in json.loads(server.run("list", "--json").expect(DONE, "unique id of another").out)], ["same", "other", "same"], "ids")
        place = folder()
        server.run("fetch", "--dir", place, "same").expect(DONE, "saved: 2")
        equal((content(place, "same.eml"), content(place, "same.2.eml")), (mails[0][1], mails[2][1]), "both mails")
        server.run("fetch", "--dir", place).expect(DONE, "saved: 1, there already: 2")
        server.run("delete", "same").expect(NOT_FOUND, "several mails", "nothing was deleted")
        check(not server.marked, "nothing is marked")
        server.run("delete", "other").expect(DONE)
    equal(server.deleted, {"other"}, "what is deleted")


def test_refusals():
    steps = ["GREETING", "USER", "PASS", "STAT", "LIST", "DELE", "QUIT"]
    for keyword in steps:
        with Pop3({keyword: b"-ERR \x1b[31mno\r\n"}) as server:
            result = server.run("delete", "uid-1", "uid-2")
            check(result.code in (UNAVAILABLE, DENIED) and "\x1b" not in result.err, f"{keyword}: {result.code} {result.err}")
            check(("nothing was deleted" in result.err) == (keyword != "QUIT"), f"{keyword}: {result.err}")
        check(not server.deleted, f"{keyword}: deleted")
    with Pop3({"RETR": b"-ERR no\r\n"}) as server:
        server.run("fetch", "--dir", folder()).expect(FAILED, "saved: 0")
    with Pop3({"TOP": b"-ERR no\r\n"}) as server:
        server.run("show", "uid-1").expect(DENIED)


def test_one_refused_deletion():
    """All or none: what was marked before is taken back."""
    refused = []

    def dele(server):
        refused.append(server.commands[-1])
        server.say(b"-ERR no\r\n" if len(refused) == 2 else server.on_dele(server.commands[-1].split()[1]))
    with Pop3({"DELE": dele}) as server:
        server.run("delete", "uid-1", "uid-2", "uid-3").expect(DENIED, "nothing was deleted")
    check("RSET" in server.commands and not server.deleted, "the marks are taken back")


def test_broken_off():
    steps = ["GREETING", "CAPA", "USER", "PASS", "STAT", "LIST", "UIDL", "DELE", "QUIT"]
    halves = {"CAPA": b"+OK\r\nTOP\r\n", "LIST": b"+OK\r\n1 5\r\n", "UIDL": b"+OK\r\n1 uid-1\r\n"}
    for keyword in steps:
        for begun in {b"", b"+O", halves.get(keyword, b"+OK")}:
            with Pop3({keyword: after(begun, close)}) as server:
                result = server.run("delete", "uid-1").expect(UNAVAILABLE)
                fate = "may be deleted" if keyword == "QUIT" else "nothing was deleted"
                check(fate in result.err, f"{keyword}: {result.err}")
            check(server.deleted is None, f"{keyword}: deleted")


def test_silence():
    for keyword in ("GREETING", "CAPA", "PASS", "LIST", "DELE", "QUIT"):
        with Pop3({keyword: silence}) as server:
            result = server.run("delete", "uid-1", options=("--tls", "none", "--timeout", "1")).expect(UNAVAILABLE, "silent for 1 seconds")
            check(("nothing was deleted" in result.err) == (keyword != "QUIT"), f"{keyword}: {result.err}")


def test_resumed():
    """What was fetched before the connection broke is not fetched again."""
    retrieved = []

    def retr(server):
        number = int(server.commands[-1].split()[1])
        if len(retrieved) == 1:
            server.say(b"+OK\r\nhalf")
            close(server)
        retrieved.append(number)
        server.say(server.on_retr(str(number)))
    place = folder()
    with Pop3({"RETR": retr}, capabilities=(b"USER", b"UIDL")) as server:
        server.run("fetch", "--dir", place).expect(UNAVAILABLE, "saved: 1")
        equal(sorted(f for f in os.listdir(place) if f.endswith(".eml")), ["uid-1.eml"], "after the first time")
        retrieved.append("again")
        server.run("fetch", "--dir", place).expect(DONE, "saved: 2, there already: 1")
    equal(retrieved, [1, "again", 2, 3], "what was fetched")
    equal({u: content(place, u + ".eml") for u, _ in MAILS}, dict(MAILS), "the files")


def test_hostile_uids():
    names = ["../../../tmp/escaped", "..", ".posthorn-eml", "a/b", "/etc/passwd", "$(touch_x)", "-rf", "%2e%2e"]
    place = os.path.join(folder(), "inner")
    with Pop3(mails=[(name, b"Subject: x\r\n\r\n%d\r\n" % i) for i, name in enumerate(names)]) as server:
        server.run("fetch", "--dir", place).expect(DONE, f"saved: {len(names)}")
        server.run("fetch", "--dir", place).expect(DONE, f"there already: {len(names)}")
    equal(os.listdir(os.path.dirname(place)), ["inner"], "beside the folder")
    saved = [f for f in os.listdir(place) if f.endswith(".eml") and os.path.isfile(os.path.join(place, f))]
    equal(len(saved), len(names), "files in the folder")


def test_hostile_headers():
    subjects = [b"\x1b]0;title\x07\x1b[2J", "\u202egnp.exe".encode(), b"=?utf-8?q?=E2=80=AE=1B[31m?=", b"=?utf-8?b?" + b"A" * 5000 + b"?=",
                b"=?utf-8?q?a=0D=0A=0D=0Ab?=", b"\xff\xfe\x80", b"a\0b", b"x" * 200000, b"\xc2\x9b31m"]
    mails = [(f"u{i}", b"From: " + s + b" <\"" + s[:100] + b"\"@x>\r\nSubject: " + s + b"\r\nDate: " + s + b"\r\n\r\nbody\r\n")
             for i, s in enumerate(subjects)]
    mails += [("empty", b"\r\n"), ("bare", b"no header at all\r\n\r\n"), ("nocolon", b"Subject\r\n folded\r\n\r\n"), ("commas", b"From: " + b"," * 60000 + b"\r\n\r\n")]
    with Pop3(mails=mails) as server:
        for words in (["list", "--json"], ["list"], ["show", *(m[0] for m in mails)]):
            result = server.run(*words).expect(DONE)
            bad = re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", result.out)
            equal(bad, [], f"{words[0]}: harmful characters")
            check(result.raw.decode("utf-8") is not None, "valid UTF-8")
        rows = server.run("list").out.splitlines()
        equal([row.count("\t") for row in rows], [4] * len(mails), "columns of each row")


def test_odd_bodies():
    """NUL, bare line ends, dots, 8-bit: octet for octet."""
    bodies = [b"a\0b\r\n", b"bare\nlf\rcr\r\n", b".\n.\r\n..\r\n", bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n", b"long" * 500000 + b"\r\n"]
    mails = [(f"u{i}", b"Subject: x\r\n\r\n" + b) for i, b in enumerate(bodies)]

    def retr(server):
        text = mails[int(server.commands[-1].split()[1]) - 1][1]
        server.say(b"+OK\r\n" + e2e.stuffed(text))
    place = folder()
    with Pop3({"RETR": retr}, mails=mails) as server:
        server.run("fetch", "--dir", place).expect(DONE, f"saved: {len(mails)}")
    for uid, text in mails:
        equal(content(place, uid + ".eml"), text, uid)


# ---- log-in and TLS ---------------------------------------------------------------------------------


def certificate(names, days=2):
    """Signed by itself; ended already where days is negative."""
    place = folder()
    key, request, chain, extensions = (os.path.join(place, name) for name in ("key.pem", "request.pem", "chain.pem", "extensions"))
    if not shutil.which("openssl"):
        skip("openssl is not installed")
    with open(extensions, "w", encoding="ascii") as out:
        out.write(f"subjectAltName={names}\n")
    for command in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                     "-subj", f"/CN={os.path.basename(place)}"],
                    ["x509", "-req", "-in", request, "-signkey", key, "-days", str(days), "-extfile", extensions, "-out", chain]):
        subprocess.run(["openssl", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context, chain


def starttls(server):
    server.say(b"+OK go\r\n")
    server.wrap()


STLS = (b"TOP", b"UIDL", b"USER", b"STLS", b"PIPELINING")


def test_tls():
    context, ca = certificate("DNS:localhost,IP:127.0.0.1")
    with Pop3(context=context, implicit=True) as server:
        posthorn("pop3", "list", server.url("pop3s", "localhost"), "--ca", ca, "--password-file", PASSWORD_FILE).expect(DONE)
        posthorn("pop3", "list", server.url("pop3s"), "--ca", ca, "--password-file", PASSWORD_FILE).expect(DONE)
    with Pop3({"STLS": starttls}, context=context, capabilities=STLS) as server:
        posthorn("pop3", "list", server.url(), "--ca", ca, "--password-file", PASSWORD_FILE).expect(DONE)
        equal(server.commands[:3], ["CAPA", "STLS", "CAPA"], "capabilities are asked for again")


def test_distrust():
    """Nothing of the log-in is sent to a server that can't prove who it is."""
    good, ca = certificate("IP:127.0.0.1")
    other, _ = certificate("DNS:elsewhere.test")
    cases = [dict(context=other, implicit=True), dict(answers={"STLS": starttls}, context=other, capabilities=STLS),
             dict(context=good, implicit=True, trust="/nonexistent")]
    for case in cases:
        trust = case.pop("trust", ca)
        with Pop3(**case) as server:
            result = posthorn("pop3", "delete", server.url("pop3s" if case.get("implicit") else "pop3"), "uid-1", "--ca", trust, "--password-file", PASSWORD_FILE)
            check(result.code != DONE and "nothing was deleted" in result.err, f"{result.code} {result.err}")
        check(not any(PASSWORD in c or c.startswith("USER") for c in server.commands), f"sent: {server.commands}")


def test_no_stls():
    for answers, capabilities in (({}, (b"USER",)), ({"STLS": b"-ERR no\r\n"}, STLS), ({"CAPA": b"-ERR no\r\n"}, STLS)):
        with Pop3(answers, capabilities=capabilities) as server:
            result = posthorn("pop3", "list", server.url(), "--password-file", PASSWORD_FILE)
            check(result.code in (DISTRUSTED, DENIED), f"{result.code} {result.err}")
        check("USER tim" not in server.commands, f"sent: {server.commands}")


def test_injection_before_tls():
    """What comes in the clear behind the agreement is not taken for what comes inside TLS."""
    context, ca = certificate("IP:127.0.0.1")
    for more in (b"+OK\r\n.\r\n", b"x"):
        def inject(server, more=more):
            server.say(b"+OK go\r\n" + more)
            server.wait_for_close()
        with Pop3({"STLS": inject}, context=context, capabilities=STLS) as server:
            posthorn("pop3", "list", server.url(), "--ca", ca, "--password-file", PASSWORD_FILE).expect(DISTRUSTED)
        check("USER tim" not in server.commands, f"sent: {server.commands}")


def test_apop():
    digest = "APOP tim c4c9334bac560ecc979e58001b3e22fb"
    with Pop3({"GREETING": b"+OK <1896.697170952@dbc.mtview.ca.us>\r\n", "APOP": b"+OK\r\n"}) as server:
        server.run("list").expect(DONE)
    check(digest in server.commands and "USER tim" not in server.commands, f"sent: {server.commands}")
    for stamp in (b"<no-at-sign>", b"<a@b@c>", b"<a\x01@b>", b"<a @b>", b"<@b>", b"<a@b"):
        with Pop3({"GREETING": b"+OK " + stamp + b"\r\n", "APOP": b"+OK\r\n"}) as server:
            server.run("list", "--login", "apop").expect(DENIED)
            server.run("list").expect(DONE, "the password travels unprotected")
        check(not any(c.startswith("APOP") for c in server.commands), f"{stamp}: {server.commands}")


def test_no_downgrade():
    """Without TLS a challenge that is refused is not followed by the password."""
    for answers, capabilities in (({"GREETING": b"+OK <1@h>\r\n", "APOP": b"-ERR no\r\n"}, (b"USER", b"SASL PLAIN")),
                                  ({"AUTH": b"-ERR no\r\n"}, (b"USER", b"SASL CRAM-MD5 PLAIN LOGIN")),
                                  ({"AUTH": b"-ERR no\r\n"}, (b"USER", b"SASL SCRAM-SHA-256 PLAIN LOGIN"))):
        with Pop3(answers, capabilities=capabilities) as server:
            server.run("list").expect(DENIED)
        tried = [c for c in server.commands if c != "CAPA"]
        check(len(tried) == 1 and PASSWORD not in tried[0] and "PLAIN" not in tried[0], f"sent: {server.commands}")


def test_second_try():
    """Inside TLS an account without what a challenge needs can still log in."""
    context, ca = certificate("IP:127.0.0.1")
    with Pop3({"GREETING": b"+OK <1@h>\r\n", "APOP": b"-ERR no\r\n"}, context=context, implicit=True) as server:
        posthorn("pop3", "list", server.url("pop3s"), "--ca", ca, "--password-file", PASSWORD_FILE).expect(DONE)
    check("USER tim" in server.commands, f"sent: {server.commands}")


def test_unproved_server():
    """SCRAM proves the server too: +OK without the proof is a lie."""
    with Pop3({"AUTH": b"+OK welcome\r\n"}, capabilities=(b"SASL SCRAM-SHA-256",)) as server:
        server.run("list").expect(DISTRUSTED, "without proving")
    with Pop3({"AUTH": b"+ !!!\r\n"}, capabilities=(b"SASL SCRAM-SHA-256",)) as server:
        server.run("list").expect(DISTRUSTED)


def test_password_prompt():
    """Asked for on the terminal, and not echoed."""
    if not os.access(POSTHORN, os.X_OK):
        skip(f"no {POSTHORN}")
    with Pop3() as server:
        child, terminal = pty.fork()
        if child == 0:
            os.execv(POSTHORN, [POSTHORN, "pop3", "list", server.url(), "--tls", "none"])
        shown = b""
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 1000):
                shown += piece
                if shown.endswith(b": ") and b"Password for" in shown and PASSWORD.encode() not in shown:
                    os.write(terminal, PASSWORD.encode() + b"\n")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(terminal)
    equal(status, DONE, f"the status; shown: {shown}")
    check(PASSWORD.encode() not in shown and b"SUBJECT" in shown, f"shown: {shown}")


# ---- sending ----------------------------------------------------------------------------------------


def test_send():
    with Smtp() as server:
        server.send("a@example.test", "B <b@example.test>", text=b"Subject: x\n\n.dot\n..\nbare\rcr\n").expect(DONE)
    equal([c for c in server.commands if c.startswith(("MAIL", "RCPT"))][1:], ["RCPT TO:<a@example.test>", "RCPT TO:<b@example.test>"], "recipients")
    check(server.mail.startswith(b"Date: ") and b"\r\nMessage-ID: <" in server.mail and b"From: <me@example.test>\r\n" in server.mail, f"{server.mail}")
    check(server.mail.endswith(b"\r\n\r\n..dot\r\n...\r\nbare\rcr\r\n"), f"{server.mail}")


def test_send_header_recipients():
    with Smtp() as server:
        server.send("-t", "-oi", "-i", text=b"To: a@example.test\nBcc: hidden@example.test\nDate: x\nMessage-ID: <1@h>\nFrom: me@h\n\nHello\n").expect(DONE)
    equal([c for c in server.commands if c.startswith("RCPT")], ["RCPT TO:<a@example.test>", "RCPT TO:<hidden@example.test>"], "recipients")
    check(b"hidden" not in server.mail and server.mail.startswith(b"To:"), f"{server.mail}")
    with Smtp() as server:
        server.send().expect(USAGE, "no recipient")
        server.send("a@example.test", text=b"").expect(USAGE, "no mail")
    check(not any(c.startswith("MAIL") for c in server.commands), f"sent: {server.commands}")


def test_send_refused_recipients():
    replies = {"RCPT": [b"250 ok", b"550 5.1.1 \x1b[31mno such user", b"250 ok"]}
    with Smtp(replies) as server:
        result = server.send("a@x.test", "b@x.test", "c@x.test").expect(NOT_FOUND, "b@x.test was refused: 550", "nothing was sent")
        check("\x1b" not in result.err and not server.mail and "DATA" not in server.commands, "nothing is sent")
    with Smtp(replies) as server:
        server.send("--partial", "a@x.test", "b@x.test", "c@x.test").expect(NOT_FOUND, "b@x.test was refused", "sent to the other")
        check(server.mail, "it is sent")
    with Smtp({"RCPT": [b"451 later"]}) as server:
        server.send("--partial", "a@x.test").expect(UNAVAILABLE, "nothing was sent")


def test_send_refused():
    for answers, code in (({"GREETING": [b"554 no"]}, DENIED), ({"GREETING": [b"421 later"]}, UNAVAILABLE), ({"EHLO": [b"502 no"]}, DENIED),
                          ({"MAIL": [b"550 no"]}, DENIED), ({"MAIL": [b"451 later"]}, UNAVAILABLE), ({"DATA": [b"554 no"]}, DENIED),
                          ({"DATA": [b"250 what"]}, DISTRUSTED), ({"CONTENT": [b"550 no"]}, DENIED), ({"CONTENT": [b"452 full"]}, UNAVAILABLE),
                          ({"CONTENT": [b"552 big"]}, FAILED), ({"GREETING": [b"+OK pop3"]}, DISTRUSTED), ({"MAIL": [b"250-a\r\n550 b"]}, DENIED)):
        with Smtp(answers) as server:
            server.send("a@x.test").expect(code)
    with Smtp(extensions=(b"SIZE 10",)) as server:
        server.send("a@x.test").expect(FAILED, "the server takes 10")
        check(not any(c.startswith("MAIL") for c in server.commands), "nothing is sent")
    with Smtp() as server:
        server.send("é@x.test").expect(DENIED, "beyond ASCII")


def test_send_bad_server():
    for answers in ({"GREETING": [endless(b"220-x\r\n")]}, {"GREETING": [endless(b"x" * 1000)]}, {"EHLO": [endless(b"250-AUTH X\r\n")]}):
        with Smtp(answers) as server:
            server.send("a@x.test").expect(DISTRUSTED)
        check(server.sent < 100 << 20, f"{server.sent} octets were taken")
    for keyword in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA"):
        with Smtp({keyword: [close]}) as server:
            server.send("a@x.test").expect(UNAVAILABLE)
    with Smtp({"CONTENT": [close]}) as server:
        server.send("a@x.test").expect(UNAVAILABLE, "may or may not have been sent")


def test_send_tls():
    """Without what was demanded nothing is sent."""
    context, ca = certificate("IP:127.0.0.1")

    def begin(server):
        server.say(b"220 go\r\n")
        server.wrap()

    def inject(server):
        server.say(b"220 go\r\n250 injected\r\n")
        server.wait_for_close()
    with Smtp({"STARTTLS": [begin]}, extensions=(b"STARTTLS", b"SIZE"), context=context) as server:
        server.send("a@x.test", options=("--ca", ca)).expect(DONE)
        equal([c.split(" ")[0] for c in server.commands][:3], ["EHLO", "STARTTLS", "EHLO"], "EHLO is said again")
    for answers, extensions in (({}, (b"SIZE",)), ({"STARTTLS": [inject]}, (b"STARTTLS",)), ({"STARTTLS": [b"454 no"]}, (b"STARTTLS",))):
        with Smtp(answers, extensions=extensions, context=context) as server:
            result = server.send("a@x.test", options=("--ca", ca))
            check(result.code in (DISTRUSTED, UNAVAILABLE), f"{result.code} {result.err}")
        check(not any(c.startswith(("MAIL", "AUTH")) for c in server.commands), f"sent: {server.commands}")


def test_send_login():
    with Smtp({"AUTH": [b"235 in"]}, extensions=(b"AUTH PLAIN",)) as server:
        server.send("a@x.test", user="tim@").expect(DONE, "the password travels unprotected")
        check(f"AUTH PLAIN {e2e.plain('tim', PASSWORD)}" in server.commands, f"sent: {server.commands}")
    with Smtp({"AUTH": [b"535 no"]}, extensions=(b"AUTH CRAM-MD5 PLAIN",)) as server:
        server.send("a@x.test", user="tim@").expect(DENIED, "log-in")
        equal([c for c in server.commands if c.startswith("AUTH")], ["AUTH CRAM-MD5"], "no second try without TLS")
    with Smtp(extensions=()) as server:
        server.send("a@x.test", user="tim@").expect(DENIED, "no log-in")


# ---- accounts ---------------------------------------------------------------------------------------


def test_accounts():
    def account(*words):
        return posthorn("account", *words, environment={"XDG_DATA_HOME": place})
    place = folder()
    with Pop3() as server:
        account("add", "work", server.url(), "--tls", "none", "--send", "smtps://tim@h", "--from", "tim@example.test").expect(DONE)
        account("add", "Work", "pop3s://a@h").expect(EXISTS)
        account("add", "home", "pop3s://a%40b@h:1995").expect(DONE)
        equal(json.loads(account("list", "--json").expect(DONE).out)[0],
              {"name": "home", "pop3": {"host": "h", "port": 1995, "tls": "implicit", "user": "a@b"}, "send": None, "login": "best", "from": ""}, "home")
        check("work\tpop3://tim@127.0.0.1" in account("list").expect(DONE).out, "the table")
        listed = posthorn("pop3", "list", "work", "--json", "--password-file", PASSWORD_FILE, environment={"XDG_DATA_HOME": place}).expect(DONE)
        equal(len(json.loads(listed.out)), 3, "mails by the account's name")
        account("change", "home", "--rename", "house", "--login", "apop", "--url", "pop3s://c@h").expect(DONE)
        changed = {o["name"]: o for o in json.loads(account("list", "--json").out)}["house"]
        equal((changed["pop3"]["user"], changed["login"]), ("c", "apop"), "what was changed")
        account("change", "work", "--send", "").expect(DONE)
        posthorn("send", "work", "a@b", environment={"XDG_DATA_HOME": place}, text=b"x\n").expect(NOT_FOUND, "no server to send by")
        account("remove", "house").expect(DONE)
        account("remove", "house").expect(NOT_FOUND)
        posthorn("pop3", "list", "house", environment={"XDG_DATA_HOME": place}).expect(NOT_FOUND)
    for root, _, names in os.walk(place):
        for name in names:
            check(PASSWORD.encode() not in content(root, name), f"{name} has the password")
            equal(os.stat(os.path.join(root, name)).st_mode & 0o077, 0, f"the mode of {name}")
    account("add", "x", "pop3s://h").expect(USAGE)
    account("add", "x", "smtps://a@h").expect(USAGE)


# ---- the exerciser ----------------------------------------------------------------------------------


def talk(server, text, *options, protocol="pop3", host="127.0.0.1"):
    return posthorn("talk", protocol, f"{host}:{server.port}", *options, text=text)


def test_talk():
    with Pop3() as server:
        out = talk(server, f"CAPA\nUSER tim\nPASS {PASSWORD}\nNOOP\r\nSTAT\nRETR 1\nWRONG\nQUIT".encode()).expect(DONE).out
    check(PASSWORD not in out and "C PASS ***" in out, "the password is masked")
    check(PASSWORD in " ".join(server.commands) and server.commands[3] == "NOOP", f"what was sent: {server.commands}")
    for part in ("= AUTHORIZATION", "= TRANSACTION", "= UPDATE", "(RFC 1939 §7)", "(RFC 2449 §6.6)", "S ..dot", "C WRONG", "S -ERR unknown"):
        check(part in out, f"{part} is missing in {out}")
    check(re.match(r"\d\d:\d\d:\d\d\.\d{3} S \+OK ready", [line for line in out.splitlines() if " S " in line][0]), "the time stamp")


def test_talk_ends():
    with Pop3() as server:
        out = talk(server, f"USER tim\nPASS {PASSWORD}\nDELE 1\n:quit\nSTAT\n".encode()).expect(DONE).out
        check("nothing that was marked is deleted" in out and server.commands[-1] == "DELE 1", f"{server.commands}")
        talk(server, f"USER tim\nPASS {PASSWORD}\nDELE 1\n".encode()).expect(DONE)
        check(server.commands[-1] == "DELE 1", f"the end of the input is no QUIT: {server.commands}")
    check(server.deleted is None, "nothing is deleted")
    with Pop3({"STAT": silence}) as server:
        talk(server, b"STAT\n", "--timeout", "1").expect(UNAVAILABLE, "no answer for 1 seconds")
    with Pop3({"STAT": close}) as server:
        talk(server, b"STAT\nLIST\n").expect(UNAVAILABLE, "the server closed the connection")


def test_talk_bad_server():
    with Pop3({"STAT": after(b"+OK " + b"x" * (20 << 20) + b"\r\n", lambda s: None), "LIST": b"+OK \x1b[2J\0\xff\r\n.\r\n"}) as server:
        result = talk(server, b"STAT\nLIST\nQUIT\n").expect(DONE)
    check("octets more" in result.out and len(result.out) < 100000, "a long line is cut")
    check("\x1b" not in result.out and "\\x1b[2J\\x00\\xff" in result.out, "control characters are shown, not sent")


def test_talk_tls():
    context, ca = certificate("IP:127.0.0.1")
    with Pop3({"STLS": starttls}, context=context, capabilities=STLS) as server:
        out = talk(server, b":starttls\nCAPA\nQUIT\n", "--ca", ca).expect(DONE).out
        check("C STLS" in out and "# TLSv1." in out, out)
        out = talk(server, b"QUIT\n", "--ca", ca, "--tls", "starttls").expect(DONE).out
        check("# TLSv1." in out, out)
        talk(server, b":starttls\nCAPA\n").expect(DISTRUSTED)
    with Pop3({"STLS": after(b"+OK\r\n+OK injected\r\n", silence)}, context=context) as server:
        talk(server, b":starttls\nUSER tim\n", "--ca", ca).expect(DISTRUSTED)
        check("USER tim" not in server.commands, f"{server.commands}")
    with Pop3() as server:
        talk(server, b"USER tim\n", "--tls", "starttls").expect(DISTRUSTED)
        check("USER tim" not in server.commands, f"{server.commands}")


def test_talk_smtp():
    with Smtp({"AUTH": [b"334 "], "LOGIN-DATA": [b"235 in"]}, extensions=(b"SIZE 1",)) as server:
        out = talk(server, b"EHLO me\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nSubject: x\n\n..\n.\nQUIT\n", protocol="smtp").expect(DONE).out
        equal(server.mail, b"Subject: x\r\n\r\n..\r\n", "the mail")
        for part in ("= READY", "= MAIL", "= RCPT", "= DATA", "= closed", "(RFC 1870 §4)", "(RFC 5321 §4.2.5)"):
            check(part in out, f"{part} is missing in {out}")
        secret = e2e.plain("tim", PASSWORD)
        out = talk(server, f"EHLO me\nAUTH PLAIN\n{secret}\nAUTH PLAIN {secret}\n*\nQUIT\n".encode(), protocol="smtp").out
        check(secret not in out and out.count("***") == 2, out)


def test_talk_on_a_terminal():
    """What was typed is written over, so that a password does not stay on the screen."""
    with Pop3() as server:
        child, terminal = pty.fork()
        if child == 0:
            os.execv(POSTHORN, [POSTHORN, "talk", "pop3", f"127.0.0.1:{server.port}"])
        shown, typed = b"", [b"USER tim\n", f"PASS {PASSWORD}\n".encode(), b":help\n", b":quit\n"]
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 1000):
                shown += piece
                if typed and shown.endswith(b"\r\n") and shown.count(b"#") > 5 - len(typed):
                    os.write(terminal, typed.pop(0))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(terminal)
    equal(status, DONE, f"the status; shown: {shown}")
    check(f"PASS {PASSWORD}\r\n\x1b[1A\x1b[2K".encode() in shown and b"C PASS ***" in shown, f"shown: {shown}")
    check(b":starttls begins TLS" in shown and b"without QUIT" in shown, f"shown: {shown}")


class Imap(Fake):
    def __init__(self, greeting=b"* OK ready\r\n"):
        super().__init__()
        self.greeting = greeting

    def serve(self):
        self.say(self.greeting)
        for line in self.lines():
            tag, _, command = line.partition(" ")
            verb = command.split(" ")[0].upper()
            if verb == "SELECT":
                self.say(b"* 2 EXISTS\r\n")
            if verb == "FETCH":
                self.say(b"* 1 FETCH (BODY[] {8}\r\nx1 OK\n\r\n)\r\n")
            if verb == "LOGOUT":
                self.say(b"* BYE\r\n")
            self.say(f"{tag} {'BAD' if verb == 'STARTTLS' else 'OK'} done\r\n".encode())
            if verb == "LOGOUT":
                return


def test_talk_imap():
    with Imap() as server:
        out = talk(server, f"a CAPABILITY\nb LOGIN tim {PASSWORD}\nc SELECT inbox\nd FETCH 1 BODY[]\ne LOGOUT\n".encode(), protocol="imap").expect(DONE).out
        check(PASSWORD not in out, out)
        for part in ("= NOT AUTHENTICATED", "= AUTHENTICATED", "= SELECTED", "= LOGOUT", "(RFC 9051 §7.4.1)"):
            check(part in out, f"{part} is missing in {out}")
    with Imap(b"* PREAUTH welcome\r\n") as server:
        result = talk(server, f"b LOGIN tim {PASSWORD}\n".encode(), "--tls", "starttls", protocol="imap").expect(DISTRUSTED)
        check("TLS can't begin any more" in result.out and not any("LOGIN" in c for c in server.commands), result.out)


class Refusing(Fake):
    """Asks for more where a log-in has more to say, and refuses everything."""

    def __init__(self, greeting, more, refusal):
        super().__init__()
        self.greeting, self.more, self.refusal = greeting, more, refusal

    def serve(self):
        self.say(self.greeting + b"\r\n")
        begun = None
        for line in self.lines():
            asks = re.search(r"\{\d+\}$", line) or re.search(r"AUTH(ENTICATE)? (PLAIN|LOGIN)$", line)
            goes_on = re.search(r"\{\d+\+\}$", line)
            tag = begun or line.split(" ")[0]
            begun = tag if asks or goes_on else None
            if not goes_on:
                self.say(self.more if asks else self.refusal.replace(b"TAG", tag.encode()))


def test_talk_hides_passwords():
    """However a password travels, rightly or wrongly, it is seen in nothing that is printed."""
    password = 'tan "st\\aaf\' \u00e9'
    quoted = '"' + password.replace("\\", "\\\\").replace('"', '\\"') + '"'
    plain, alone = e2e.plain("tim", password), base64.b64encode(password.encode()).decode()
    octets = len(password.encode())
    cases = {
        "pop3": (Refusing(b"+OK", b"+ \r\n", b"-ERR no\r\n"),
                 [f"PASS {password}", f"pass\t{password}", f"PASS:{password}", f"AUTH PLAIN {plain}", "AUTH PLAIN", plain, "AUTH LOGIN", alone, alone, plain]),
        "smtp": (Refusing(b"220 hello", b"334 \r\n", b"500 no\r\n"),
                 ["EHLO me", f"AUTH PLAIN {plain}", "AUTH PLAIN", plain, plain, "AUTH LOGIN", alone, alone, f"auth\tPLAIN\t{plain}", f"AUHT PLAIN {plain}"]),
        "imap": (Refusing(b"* OK", b"+ go\r\n", b"TAG NO no\r\n"),
                 [f"a LOGIN tim {quoted}", f"a LOGIN tim {password}", f"a LOGIN tim {{{octets}}}", password, f"a LOGIN tim {{{octets}+}}", password,
                  f"LOGIN tim {quoted}", f"a LOGIM tim {quoted}", f"a AUTHENTICATE PLAIN {plain}", "a AUTHENTICATE PLAIN", plain, plain]),
    }
    for protocol, (server, lines) in cases.items():
        with server:
            result = talk(server, ("\n".join(lines) + "\n").encode(), "--timeout", "20", protocol=protocol)
            sent = "\n".join(server.commands)
            check(password in sent or plain in sent, f"{protocol}: what was sent: {server.commands}")
            for secret in (password, quoted, plain, alone, "aaf", "st\\"):
                check(secret not in result.out + result.err, f"{protocol}: {secret} in {result.out}{result.err}")
            check(result.out.count("***") >= len(lines) - 6, f"{protocol}: {result.out}")


# ---- a real post office -----------------------------------------------------------------------------


class Office:
    """One instance for all tests that need one."""
    instance = None
    password = None


def office():
    if not os.path.exists(os.path.join(e2e.ROOT, "tools", "instance")):
        skip("no tools/instance")
    if not Office.instance:
        Office.instance = e2e.Instance().start()
        Office.password = file("office-password", e2e.PASSWORD + "\n")
    return Office.instance


def real(user, *words, service="pop3s", **more):
    instance = office()
    scheme = "pop3s" if service == "pop3s" else "pop3"
    url = f"{scheme}://{user}@localhost:{instance.port(service)}"
    return posthorn("pop3", words[0], url, "--ca", instance.facts["ca"], "--password-file", Office.password, *words[1:], **more)


def test_real_pop3():
    instance = office()
    user = instance.fresh_user()
    texts = [b"Subject: =?utf-8?q?=C5=BElt=C3=BD?=\r\nFrom: a@elsewhere.test\r\n\r\nFrom one\r\n.\r\n", b"Subject: two\r\n\r\n" + b"2" * 3000 + b"\r\n"]
    for text in texts:
        instance.deliver(user, text)
    for options in ([], ["--login", "scram-sha-256"], ["--login", "scram-sha-1"], ["--login", "cram-md5"], ["--login", "plain"], ["--login", "login"],
                    ["--login", "user"], ["--login", "apop"]):
        listed = json.loads(real(user, "list", "--json", *options).expect(DONE).out)
        equal([o["subject"] for o in listed], ["žltý", "two"], f"the listing with {options}")
    equal(json.loads(real(user, "list", "--json", service="pop3").expect(DONE).out), listed, "the listing with STLS")
    check("\nFrom one\n" in real(user, "show", listed[0]["uidl"]).expect(DONE).out, "show")
    mails = instance.mails(user)
    for form in ("eml", "maildir", "mbox"):
        place = folder()
        real(user, "fetch", "--dir", place, "--format", form).expect(DONE, "saved: 2")
        if form == "eml":
            equal([content(place, o["uidl"] + ".eml") for o in listed], mails, form)
        else:
            box = mailbox.Maildir(place, create=False) if form == "maildir" else mailbox.mbox(os.path.join(place, "mbox"), create=False)
            wanted = sorted(m.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From " if form == "mbox" else b"\nFrom ") for m in mails)
            equal(sorted(box.get_bytes(k) for k in box.keys()), wanted, form)
    real(user, "delete", listed[0]["uidl"]).expect(DONE, "deleted: 1")
    equal([o["uidl"] for o in json.loads(real(user, "list", "--json").out)], [listed[1]["uidl"]], "what is left")
    with instance.pop3(user):
        real(user, "list").expect(UNAVAILABLE)


def test_real_denied():
    instance = office()
    user = instance.fresh_user()
    wrong = file("wrong", "wrong\n")
    url = f"pop3s://{user}@localhost:{instance.port('pop3s')}"
    posthorn("pop3", "list", url, "--ca", instance.facts["ca"], "--password-file", wrong).expect(DENIED)
    posthorn("pop3", "list", url, "--password-file", Office.password).expect(DISTRUSTED, "TLS")


def test_real_send():
    instance = office()
    sender, recipient = instance.fresh_user(), instance.fresh_user()
    for service, scheme in (("submissions", "smtps"), ("submission", "smtp")):
        posthorn("send", f"{scheme}://{sender}@localhost:{instance.port(service)}", "--ca", instance.facts["ca"], "--password-file", Office.password,
                 recipient, text=f"Subject: by {service}\n\nžltý\n.\n.dot\n".encode()).expect(DONE)
    e2e.until(lambda: len(instance.mails(recipient)) == 2, "delivery")
    for mail in instance.mails(recipient):
        check(mail.endswith("\r\n\r\nžltý\r\n.\r\n.dot\r\n".encode()) and b"\r\nMessage-ID: <" in mail, f"{mail}")
    posthorn("send", f"smtps://{sender}@localhost:{instance.port('submissions')}", "--ca", instance.facts["ca"], "--password-file", Office.password,
             recipient, f"nobody@{e2e.DOMAIN}", text=b"x: y\n\n\n").expect(NOT_FOUND, "nobody@", "nothing was sent")


def test_real_talk():
    instance = office()
    user = instance.fresh_user()
    script = f"EHLO me\n:starttls\nEHLO me\nAUTH PLAIN {e2e.plain(user)}\nMAIL FROM:<{user}>\nRCPT TO:<{user}>\nBDAT 12 LAST\nA: b\n\nx\nQUIT\n"
    out = posthorn("talk", "smtp", f"localhost:{instance.port('submission')}", "--ca", instance.facts["ca"], text=script.encode()).expect(DONE).out
    check("(RFC 3030 §2)" in out and e2e.plain(user) not in out, out)
    e2e.until(lambda: len(instance.mails(user)) == 1, "delivery")
    script = f"USER {user}\nPASS {e2e.PASSWORD}\nRETR 1\nDELE 1\nQUIT\n"
    out = posthorn("talk", "pop3", f"localhost:{instance.port('pop3s')}", "--tls", "implicit", "--ca", instance.facts["ca"], text=script.encode()).expect(DONE).out
    check("= UPDATE" in out and "S A: b" in out, out)
    equal(instance.mails(user), [], "what is left")


def main():
    tests = [(f"client: {name[5:].replace('_', ' ')}", function) for name, function in globals().items() if name.startswith("test_")]
    try:
        e2e.run(tests)
    finally:
        if Office.instance:
            Office.instance.stop()
            shutil.rmtree(Office.instance.directory, ignore_errors=True)
        shutil.rmtree(PLACE, ignore_errors=True)


if __name__ == "__main__":
    main()
