#!/usr/bin/env python3
"""Milters: a fake one that does what a test tells it, in every way that a filter may answer, be silent or break the protocol; and rspamd."""
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import e2e
import ports
from e2e import check, equal

CONTINUE, VERSION = b"c", 6
ALL_ACTIONS, CHOOSE_MACROS = 0xff, 0x100
NO_CONNECT, NO_BODY, SILENT_HEADER, SKIP, LEADING_SPACE = 0x1, 0x10, 0x80, 0x400, 0x100000


def packet(kind, data=b""):
    return struct.pack(">I", len(data) + 1) + kind + data


def header(kind, name, value, index=None):
    return packet(kind, (b"" if index is None else struct.pack(">I", index)) + name + b"\0" + value + b"\0")


class Milter:
    """A filter on a port of loopback or a path. answers: command → what is sent instead of CONTINUE (bytes; None: nothing; or a function of the
    packet's data). Everything that came is in seen: (command, data)."""

    def __init__(self, path=None, protocol=0, actions=ALL_ACTIONS):
        self.path, self.protocol, self.actions, self.macros_wanted = path, protocol, actions, b""
        self.answers, self.seen, self.connections = {}, [], 0
        self.lock = threading.Lock()

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        self.listener.bind(self.path or ("127.0.0.1", 0))
        if self.path:
            os.chmod(self.path, 0o777)
        self.listener.listen(20)
        self.address = f"unix:{self.path}" if self.path else f"inet:127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while len(size := stream.read(4)) == 4:
                content = stream.read(struct.unpack(">I", size)[0])
                self.answer(connection, content[:1], content[1:])

    def answer(self, connection, command, data):
        with self.lock:
            self.seen.append((command, data))
            answer = self.answers.get(command, packet(CONTINUE))
        if command in (b"D", b"A", b"Q") and command not in self.answers:
            return
        if command == b"O" and command not in self.answers:
            answer = packet(b"O", struct.pack(">III", VERSION, self.actions, self.protocol) + self.macros_wanted)
        if command == b"L" and self.protocol & SILENT_HEADER:
            return
        if callable(answer):
            answer = answer(data)
        if answer is not None:
            connection.sendall(answer)
        if answer == b"":
            connection.shutdown(socket.SHUT_RDWR)

    def set(self, **answers):
        """Forgets what was seen; A="…" sets the answer to the command of that letter."""
        with self.lock:
            self.answers = {name.encode(): answer for name, answer in answers.items()}
            self.seen = []

    def got(self, command):
        with self.lock:
            return [data for one, data in self.seen if one == command]

    def macros(self):
        """Stage and name → value."""
        found = {}
        for data in self.got(b"D"):
            words = data[1:].split(b"\0")[:-1]
            found.update({(data[:1], name): value for name, value in zip(words[::2], words[1::2])})
        return found

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


MAIL = b"Subject: one\r\nX-Twice: a\r\nX-Twice: b\r\nX-Long: folded\r\n\tvalue\r\n\r\nbody\r\n..dots\r\n"


class Tests:
    def __init__(self, instance, milter):
        self.instance, self.milter = instance, milter

    def send(self, mail=MAIL, service="smtp", sender="a@elsewhere.test", recipients=None):
        """The reply to the final dot, and the mail as it was stored (None: it was not)."""
        user = recipients or [self.instance.fresh_user()]
        with self.instance.smtp(service) as client:
            client.envelope(sender, user)
            reply = client.data(mail)[0]
        found = e2e.QUEUED.search(reply)
        if not found:
            return reply, None
        self.instance.wait_all_delivered({found.group(1): len(user)})
        return reply, self.instance.mails(user[0])[0]

    def refused_at(self, command):
        """The answers to MAIL and RCPT."""
        user = self.instance.fresh_user()
        with self.instance.smtp() as client:
            client.send("MAIL FROM:<a@elsewhere.test>")
            mail = client.expect("")
            if command == "MAIL":
                return mail
            client.send(f"RCPT TO:<{user}>")
            return client.expect("")

    # ---- what it is told ----

    def dialogue(self):
        self.milter.set()
        user = self.instance.fresh_user()
        _, stored = self.send(recipients=[user])
        check(stored.endswith(MAIL.replace(b"\r\n..", b"\r\n..")), "the message is as it was")
        commands = [c for c, _ in self.milter.seen if c not in (b"D", b"Q")]
        equal(commands, [b"O", b"C", b"H", b"M", b"R", b"T"] + [b"L"] * 4 + [b"N", b"B", b"E"], "commands")
        connect, = self.milter.got(b"C")
        check(connect.endswith(b"4\0\x00127.0.0.1\0"), f"CONNECT: {connect}")
        equal(self.milter.got(b"H"), [b"client.test\0"], "HELO")
        equal(self.milter.got(b"M"), [b"<a@elsewhere.test>\0"], "MAIL")
        equal(self.milter.got(b"R"), [f"<{user}>\0".encode()], "RCPT")
        equal(self.milter.got(b"L")[0], b"Subject\0one\0", "a header")
        equal(self.milter.got(b"L")[3], b"X-Long\0folded\n\tvalue\0", "a folded header")
        equal(self.milter.got(b"B"), [MAIL.split(b"\r\n\r\n", 1)[1]], "the body")
        macros = self.milter.macros()
        equal(macros[b"C", b"{client_addr}"], b"127.0.0.1", "client_addr")
        equal(macros[b"C", b"j"], f"mail.{e2e.DOMAIN}".encode(), "j")
        equal(macros[b"M", b"{mail_addr}"], b"a@elsewhere.test", "mail_addr")
        equal(len(macros[b"M", b"i"]), 16, "i")

    def two_transactions(self):
        self.milter.set()
        user = self.instance.fresh_user()
        with self.instance.smtp() as client:
            client.say("MAIL FROM:<a@elsewhere.test>", "250")
            client.say("RSET", "250")
            client.say("EHLO other.test", "250")
            client.transact("b@elsewhere.test", [user], MAIL)
        commands = b"".join(c for c, _ in self.milter.seen if c not in b"DLQ")
        equal(commands, b"OCHMAHMRTNBE", "commands")

    def unknown_commands(self):
        """Shown as they came, once there is a connection; the filter may have another answer, and the mail goes on."""
        self.milter.set(U=lambda data: packet(b"y", b"504 5.5.9 not that\0") if b"NO" in data else packet(b"c"))
        user = self.instance.fresh_user()
        with self.instance.smtp() as client:
            client.say("FIRST", "500")
            client.say("MAIL FROM:<a@elsewhere.test>", "250")
            client.say("XYZ  a b", "500 5.5.1")
            client.say("NOSUCH", "504 5.5.9 not that")
            client.say(f"RCPT TO:<{user}>", "250")
            client.say("RCPT nonsense", "501")
            check(client.data(MAIL)[0].startswith("250"), "the mail")
        equal(self.milter.got(b"U"), [b"XYZ  a b\0", b"NOSUCH\0"], "unknown commands")

    def wishes(self):
        """What was agreed to be left out, or not to be answered."""
        self.milter.set()
        self.milter.protocol = NO_CONNECT | NO_BODY | SILENT_HEADER | LEADING_SPACE
        try:
            check(self.send()[1], "it was refused")
        finally:
            self.milter.protocol = 0
        equal((self.milter.got(b"C"), self.milter.got(b"B")), ([], []), "CONNECT and BODY")
        equal(self.milter.got(b"L")[0], b"Subject\0 one\0", "a header with its blank")

    def macros_chosen(self):
        """SMFIF_SETSYMLIST: it says which macros it wants at which command, and gets no others there."""
        self.milter.set()
        self.milter.actions |= CHOOSE_MACROS
        self.milter.macros_wanted = b"".join(struct.pack(">I", stage) + names + b"\0" for stage, names in ((2, b"{client_addr} {nothing} j"), (3, b""),
                                                                                                        (5, b"{mail_addr}")))
        try:
            check(self.send()[1], "it was refused")
        finally:
            self.milter.actions, self.milter.macros_wanted = ALL_ACTIONS, b""
        got = {(stage, name) for stage, name in self.milter.macros() if stage in b"MRE"}
        equal(got, {(b"M", b"{client_addr}"), (b"M", b"j"), (b"E", b"{mail_addr}")}, "macros")
        check((b"C", b"j") in self.milter.macros(), "the usual ones elsewhere")

    # ---- what it says ----

    def refusals(self):
        answers = {"r": "550 5.7.1", "t": "451 4.7.1", "y": "554 5.9.9"}
        for kind, reply in answers.items():
            answer = packet(kind.encode(), b"554 5.9.9 go away\0" if kind == "y" else b"")
            for command, stage in (("C", "MAIL"), ("H", "MAIL"), ("M", "MAIL"), ("R", "RCPT")):
                self.milter.set(**{command: answer})
                got = self.refused_at(stage)
                check(got.startswith(reply), f"{kind} to {command}: {got}")
            for command in "TLNBE":
                self.milter.set(**{command: answer})
                got, _ = self.send()
                check(got.startswith(reply), f"{kind} to {command}: {got}")

    def refused_connection_stays(self):
        self.milter.set(C=packet(b"r"))
        with self.instance.smtp() as client:
            for _ in range(2):
                client.say("MAIL FROM:<a@elsewhere.test>", "550 5.7.1")
        equal(len(self.milter.got(b"C")), 1, "CONNECT")

    def one_recipient(self):
        """Refusing a recipient leaves the others."""
        one, two = self.instance.fresh_user(), self.instance.fresh_user()
        self.milter.set(R=lambda data: packet(b"r" if one.encode() in data else b"c"))
        with self.instance.smtp() as client:
            client.say("MAIL FROM:<a@elsewhere.test>", "250")
            client.say(f"RCPT TO:<{one}>", "550 5.7.1")
            client.say(f"RCPT TO:<{two}>", "250")
            reply = client.data(MAIL)[0]
        self.instance.wait_delivered(reply)
        equal(len(self.instance.mails(one)), 0, "mails of the refused one")
        equal(len(self.instance.mails(two)), 1, "mails of the other")

    def accepted(self):
        """ACCEPT ends the talk about this message, at CONNECT about all of the connection."""
        for command in "CHMRTLNBE":
            self.milter.set(**{command: packet(b"a")})
            check(self.send()[1], f"ACCEPT to {command}")
            rest = [c for c, _ in self.milter.seen if c not in (b"D", b"A", b"Q")]
            equal(rest[-1], command.encode(), f"the last command, after ACCEPT to {command}")

    def discarded(self):
        for command in "MRTLNBE":
            self.milter.set(**{command: packet(b"d")})
            user = self.instance.fresh_user()
            reply, stored = self.send(recipients=[user])
            check(reply.startswith("250 2.0.0") and stored is None, f"DISCARD to {command}: {reply}")
            equal(self.instance.mails(user), [], "mails")

    def quarantined(self):
        self.milter.set(E=packet(b"q", b"looks bad\0") + packet(b"c"))
        user = self.instance.fresh_user()
        with self.instance.smtp() as client:
            client.envelope("a@elsewhere.test", [user])
            reply = client.data(MAIL)[0]
        self.instance.wait_delivered(reply)
        equal(self.instance.mails(user), [], "mails in INBOX")

    def skipped(self):
        """SKIP: no more of the body, but the end."""
        self.milter.protocol = SKIP
        self.milter.set(B=packet(b"s"))
        try:
            check(self.send(b"Subject: x\r\n\r\n" + b"line of a body\r\n" * 20000)[1], "it was refused")
        finally:
            self.milter.protocol = 0
        equal((len(self.milter.got(b"B")), len(self.milter.got(b"E"))), (1, 1), "BODY and END")

    # ---- what it changes ----

    def headers(self):
        changes = (header(b"h", b"X-Added", b"at the end") + header(b"i", b"X-First", b"folded\n\tvalue", 0) +
                   header(b"m", b"Subject", b"another", 1) + header(b"m", b"x-twice", b"", 1) + header(b"m", b"X-Twice", b"B", 2) +
                   header(b"m", b"X-New", b"made", 1) + header(b"m", b"X-Absent", b"", 1))
        self.milter.set(E=changes + packet(b"c"))
        _, stored = self.send()
        wanted = (b"X-First: folded\r\n\tvalue\r\nSubject: another\r\nX-Twice: B\r\nX-Long: folded\r\n\tvalue\r\nX-Added: at the end\r\n"
                  b"X-New: made\r\n\r\nbody\r\n..dots\r\n")
        check(stored.endswith(wanted), f"stored: {stored}")
        check(stored.index(b"Received:") < stored.index(b"X-First"), "Received stays first")

    def no_smuggling(self):
        """A value is one field, whatever is in it."""
        self.milter.set(E=header(b"h", b"X-A", b"a\r\n\r\nbody\nBcc: x\n\n y") + packet(b"c"))
        _, stored = self.send()
        check(b"X-A: a\r\n\tbody\r\n\tBcc: x\r\n y\r\n\r\nbody\r\n" in stored, f"stored: {stored}")

    def bodies(self):
        """Small and large, replaced by small and large."""
        for size in (100, 2_000_000):
            for fresh in (50, 3_000_000):
                body = b"old line of text\r\n" * (size // 18)
                new = b"new line of it\r\n" * (fresh // 16)
                pieces = [new[i:i + 60000] for i in range(0, len(new), 60000)]
                self.milter.set(E=b"".join(packet(b"b", piece) for piece in pieces) + header(b"h", b"X-A", b"b") + packet(b"c"))
                _, stored = self.send(b"Subject: one\r\n\r\n" + body)
                equal(b"".join(self.milter.got(b"B")), body, "the body as it was shown")
                check(stored.endswith(b"Subject: one\r\nX-A: b\r\n\r\n" + new), f"{size} octets replaced by {fresh}")
                check(stored.startswith(b"Return-Path:") or stored.startswith(b"Received:"), stored[:60])

    def large_headers(self):
        """A message in a file whose header gets shorter and longer."""
        body = b"line of text\r\n" * 150_000
        for change in (header(b"m", b"X-Big", b"", 1), header(b"h", b"X-Other", b"y" * 5000), header(b"m", b"X-Big", b"z", 1)):
            self.milter.set(E=change + packet(b"a"))
            _, stored = self.send(b"X-Big: " + b"x" * 900 + b"\r\nSubject: one\r\n\r\n" + body)
            check(stored.endswith(b"\r\n\r\n" + body), "the body is whole")
            equal(stored.count(b"X-Big: x"), int(b"X-Other" in change), "the large field")

    def transact(self, recipients, mail=MAIL, service="smtp", sender="a@elsewhere.test", user=None):
        """All replies to the content, and its queue id."""
        with self.instance.smtp(service, user=user) as client:
            client.envelope(sender, recipients)
            replies = client.data(mail, len(recipients) if service == "lmtp" else 1)
        found = [e2e.QUEUED.search(reply) for reply in replies]
        return replies, next((f[1] for f in found if f), None)

    def recipients_changed(self):
        """Added and deleted, for small mail and for mail in a file; who is nobody here, or elsewhere, is not added."""
        for body in (b"small\r\n", b"line of a large body\r\n" * 100_000):
            first, second, third, fourth = (self.instance.fresh_user() for _ in range(4))
            changes = (packet(b"+", f"<{third}>".encode() + b"\0") + packet(b"2", fourth.encode() + b"\0NOTIFY=NEVER\0") +
                       packet(b"+", b"<nobody@%s>\0" % e2e.DOMAIN.encode()) + packet(b"+", b"<x@elsewhere.test>\0") + packet(b"+", b"rubbish\0") +
                       packet(b"-", f"<{first}>".encode() + b"\0") + packet(b"-", b"<stranger@elsewhere.test>\0") +
                       packet(b"+", f"<{second}>".encode() + b"\0"))
            self.milter.set(E=changes + packet(b"c"))
            _, name = self.transact([first, second], b"Subject: one\r\n\r\n" + body)
            self.instance.wait_all_delivered({name: 3})
            for user in (second, third, fourth):
                mail, = self.instance.mails(user)
                check(mail.endswith(b"\r\n\r\n" + body), f"{user}: another message")
            equal(self.instance.mails(first), [], "who was deleted")

    def recipients_and_header_changed(self):
        """Both in one message, and again in the next transaction of the session."""
        first, second = self.instance.fresh_user(), self.instance.fresh_user()
        self.milter.set(E=packet(b"+", f"<{second}>".encode() + b"\0") + header(b"h", b"X-Added", b"yes") + packet(b"b", b"new\r\n") + packet(b"c"))
        with self.instance.smtp() as client:
            for _ in range(2):
                client.envelope("a@elsewhere.test", [first])
                check(client.data(MAIL)[0].startswith("250"), "it was refused")
        for user in (first, second):
            e2e.until(lambda u=user: len(self.instance.mails(u)) == 2, f"two mails of {user}")
            check(all(b"X-Added: yes\r\n\r\nnew\r\n" in mail for mail in self.instance.mails(user)), "the other changes")

    def nobody_left(self):
        user = self.instance.fresh_user()
        self.milter.set(E=packet(b"-", f"<{user}>".encode() + b"\0") + packet(b"c"))
        replies, name = self.transact([user])
        check(replies[0].startswith("250") and name is None, f"all recipients deleted: {replies}")
        equal(self.instance.mails(user), [], "mails")

    def recipients_of_lmtp(self):
        """An answer for each that the client named, whatever became of it."""
        first, second, third = (self.instance.fresh_user() for _ in range(3))
        self.milter.set(E=packet(b"-", f"<{first}>".encode() + b"\0") + packet(b"+", f"<{third}>".encode() + b"\0") + packet(b"c"))
        replies, name = self.transact([first, second], service="lmtp")
        equal([reply[:3] for reply in replies], ["250", "250"], "replies")
        self.instance.wait_all_delivered({name: 2})
        equal([len(self.instance.mails(u)) for u in (first, second, third)], [0, 1, 1], "mails")

    def sender_changed(self):
        user, other = self.instance.fresh_user(), self.instance.fresh_user()
        self.milter.set(E=packet(b"e", b"<b@new.test>\0ENVID=x RET=HDRS\0") + packet(b"c"))
        _, stored = self.send()
        check(b"b@new.test" in stored.split(b"\r\n")[0], stored.split(b"\r\n")[0])
        self.milter.set(E=packet(b"e", b"<>\0") + packet(b"c"))
        check(self.send()[1].startswith(b"Return-Path: <>\r\n"), "the null sender")
        self.milter.set(E=packet(b"e", b"<b@new.test>\0") + packet(b"c"))
        mail = f"From: {user}\r\nSubject: x\r\n\r\nhello\r\n".encode()
        _, name = self.transact([other], mail, service="submission", sender=user, user=user)
        self.instance.wait_all_delivered({name: 1})
        stored, = self.instance.mails(other)
        check(stored.startswith(f"Return-Path: <{user}>".encode()), "a user's sender stays one that he may use")

    def submission(self):
        """What we add at submission is shown; LMTP is a milter's business too."""
        user = self.instance.fresh_user()
        self.milter.set()
        with self.instance.smtp("submission", user=user) as client:
            client.transact(user, [user], b"From: " + user.encode() + b"\r\nSubject: x\r\n\r\nhello\r\n")
        names = [data.split(b"\0")[0] for data in self.milter.got(b"L")]
        check(b"Date" in names and b"Message-ID" in names and b"Received" not in names, f"{names}")
        equal(self.milter.macros()[b"M", b"{auth_authen}"], user.encode(), "auth_authen")
        check(self.milter.macros()[b"M", b"{auth_type}"], "auth_type: who signs for users looks at it")
        self.milter.set(E=packet(b"r"))
        check(self.send(service="lmtp")[0].startswith("550"), "LMTP")
        self.milter.set()
        self.send()
        check((b"M", b"{auth_type}") not in self.milter.macros(), "auth_type of a stranger")

    # ---- when it is away or mad ----

    def broken(self):
        """451, and the next message goes to it again."""
        cases = [dict(M=packet(b"Z")), dict(M=header(b"h", b"A", b"b")), dict(E=struct.pack(">I", 1 << 30)), dict(E=b""), dict(O=b""),
                 dict(E=packet(b"y", b"hello\0")), dict(O=packet(b"O", struct.pack(">III", 99, 0, 0))), dict(R=packet(b"O", bytes(12))),
                 dict(E=header(b"h", b"A", b"b") * 1001 + packet(b"c")), dict(E=header(b"h", b"a b", b"c") + packet(b"c"))]
        for answers in cases:
            self.milter.set(**answers)
            with self.instance.smtp() as client:
                user = self.instance.fresh_user()
                client.send(f"MAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<{user}>\r\n".encode())
                replies = [client.expect(""), client.expect("")]
                if replies[1].startswith("250"):
                    replies += client.data(MAIL)
            check(any(reply.startswith("451 4.7.1") for reply in replies), f"{answers}: {replies}")
        self.milter.set()
        check(self.send()[1], "it is not asked again")

    def half_changed(self):
        """Half of the changes, and gone: never half a message, whatever the default is."""
        self.milter.set(E=packet(b"b", b"half of the body"), Q=None)
        reply, _ = self.send()
        check(reply.startswith("451"), reply)

    def progress(self):
        """Progress keeps a slow filter alive."""
        def slow(_):
            return packet(b"p") * 1000 + packet(b"c")
        self.milter.set(E=slow)
        check(self.send()[1], "it was refused")


def defaults():
    """A filter that is not there: default=tempfail, accept, reject; and one after the other."""
    with Milter() as other:
        gone = socket.socket()
        gone.bind(("127.0.0.1", 0))
        dead = f"inet:127.0.0.1:{gone.getsockname()[1]}"
        for option, reply in ((" default=tempfail", "451 4.7.1"), (" default=reject", "550 5.7.1"), (" default=accept", "250"), ("", "451 4.7.1")):
            other.set(E=header(b"h", b"X-A", b"b") + packet(b"c"))
            with e2e.Instance("--set", f"milters={dead}{option},{other.address} for=smtp", accounts=("user%d:4",)) as instance:
                tests = Tests(instance, other)
                check(tests.refused_at("MAIL").startswith(reply), option)
                if option == " default=accept":
                    check(b"X-A: b" in tests.send()[1], "the second filter's field")
                    other.set()
                    user = instance.fresh_user()
                    with instance.smtp("submission", user=user) as client:
                        client.transact(user, [user], b"Subject: x\r\n\r\nhello\r\n")
                    equal(other.seen, [], "what a filter for=smtp hears of submission")
        gone.close()


def unix_socket():
    folder = tempfile.mkdtemp(prefix="posthorn-milter-")
    os.chmod(folder, 0o755)
    try:
        with Milter(path=os.path.join(folder, "m")) as milter, e2e.Instance("--set", f"milters={milter.address}", accounts=("user%d:4",)) as instance:
            check(Tests(instance, milter).send()[1], "it was refused")
            equal(len(milter.got(b"E")), 1, "END")
    finally:
        shutil.rmtree(folder)


PLAIN = b"From: a@elsewhere.test\r\nTo: b@example.test\r\nSubject: hello\r\nMessage-ID: <1@elsewhere.test>\r\n" \
        b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nGood morning\r\n"


@contextlib.contextmanager
def folder_for(*programs):
    """For the files of filters that are programs of others."""
    for program in programs:
        if not shutil.which(program):
            e2e.skip(f"{program} is not installed")
    folder = tempfile.mkdtemp(prefix="posthorn-filter-")
    os.chmod(folder, 0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(command, address, end=signal.SIGTERM):
    """A filter, from when it can be reached at the address (a path, or a port of loopback)."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def answers():
        if process.poll() is not None:
            raise AssertionError(f"{command[0]} ended: {process.stdout.read().decode(errors='replace')[-800:]}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
            probe.connect(address if isinstance(address, str) else ("127.0.0.1", address))
            return True
        return False
    try:
        e2e.until(answers, command[0], 60)
        yield
    finally:
        process.send_signal(end)
        process.wait(30)
        process.stdout.close()


def rspamd():
    """Debian's rspamd: a plain mail passes with its field, GTUBE is refused."""
    with folder_for("rspamd") as folder:
        [port] = ports.take(folder, 1)
        write_rspamd(folder, port)
        user = ["-u", "_rspamd", "-g", "_rspamd"] if os.getuid() == 0 else ["-i"]
        with running(["rspamd", "-f", *user, "-c", f"{folder}/rspamd.conf"], port), \
                e2e.Instance("--set", f"milters=inet:127.0.0.1:{port}", accounts=("user%d:4",)) as instance:
            tests = Tests(instance, None)
            reply, stored = tests.send(PLAIN)
            check(stored and stored.endswith(b"\r\n\r\nGood morning\r\n"), reply)
            spam = PLAIN.replace(b"Good morning", b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X")
            reply, stored = tests.send(spam)
            check(reply.startswith(("5", "4")) and stored is None, f"GTUBE: {reply}")


def write_rspamd(folder, port):
    with open(f"{folder}/rspamd.conf", "w", encoding="ascii") as file:
        file.write(f"""
options {{ pidfile = "{folder}/pid"; rundir = "{folder}"; dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }} filters = ""; }}
logging {{ type = "file"; filename = "{folder}/log"; level = "notice"; }}
actions {{ reject = 15; add_header = 6; greylist = null; }}
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 20s; count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }} }}
worker "normal" {{ enabled = false; }}
worker "controller" {{ enabled = false; }}
worker "fuzzy" {{ enabled = false; }}
""")

def clamav():
    """Debian's ClamAV with one signature of our own: what it finds is refused, or put into Junk, as clamav-milter is told; all else passes with its field."""
    with folder_for("clamd", "clamav-milter") as folder:
        os.mkdir(f"{folder}/signatures")
        with open(f"{folder}/signatures/test.ndb", "w", encoding="ascii") as file:
            file.write(f"Test.Horn:0:*:{b'THE-HORN-IS-INFECTED'.hex()}\n")
        user = "User clamav\n" if os.getuid() == 0 else ""
        with open(f"{folder}/clamd.conf", "w", encoding="ascii") as file:
            file.write(f"Foreground yes\nLocalSocket {folder}/clamd\nDatabaseDirectory {folder}/signatures\nTemporaryDirectory {folder}\n{user}")
        for action in ("Reject", "Quarantine"):
            with open(f"{folder}/{action}.conf", "w", encoding="ascii") as file:
                file.write(f"Foreground yes\nMilterSocket unix:{folder}/{action}\nMilterSocketMode 666\nClamdSocket unix:{folder}/clamd\n"
                           f"TemporaryDirectory {folder}\nOnInfected {action}\nRejectMsg Found %v\nAddHeader Add\n{user}")
        with running(["clamd", "-c", f"{folder}/clamd.conf"], f"{folder}/clamd"), \
                running(["clamav-milter", "-c", f"{folder}/Reject.conf"], f"{folder}/Reject", signal.SIGKILL), \
                running(["clamav-milter", "-c", f"{folder}/Quarantine.conf"], f"{folder}/Quarantine", signal.SIGKILL), \
                e2e.Instance("--set", f"milters=unix:{folder}/Reject for=smtp,unix:{folder}/Quarantine for=submission", accounts=("user%d:5",)) as instance:
            look_for_infection(Tests(instance, None))


def look_for_infection(tests):
    for size in (1, 100_000):
        reply, stored = tests.send(PLAIN + b"a line of text\r\n" * size)
        check(stored and b"\r\nX-Virus-Status: Clean\r\n" in stored and stored.endswith(b"a line of text\r\n"), reply)
    sender, user = tests.instance.fresh_user(), tests.instance.fresh_user()
    infected = PLAIN.replace(b"Good morning", b"THE-HORN-IS-INFECTED")
    equal(tests.transact([user], infected), (["550 5.7.1 Found Test.Horn.UNOFFICIAL"], None), "the infected mail")
    _, name = tests.transact([user], infected.replace(b"a@elsewhere.test", sender.encode()), service="submission", sender=sender, user=sender)
    tests.instance.wait_all_delivered({name: 1})
    equal(tests.instance.mails(user), [], "mails in INBOX")


def main():
    with Milter() as milter, e2e.Instance("--set", f"milters={milter.address}", "--set", "milter_timeout_seconds=2",
                                          accounts=("user%d:150",)) as instance:
        tests = Tests(instance, milter)
        e2e.run([("the dialogue", tests.dialogue), ("two transactions", tests.two_transactions), ("unknown commands", tests.unknown_commands),
                 ("wishes", tests.wishes), ("macros of its choice", tests.macros_chosen),
                 ("refusals", tests.refusals), ("a refused connection", tests.refused_connection_stays), ("one recipient", tests.one_recipient),
                 ("ACCEPT", tests.accepted), ("DISCARD", tests.discarded), ("QUARANTINE", tests.quarantined), ("SKIP", tests.skipped),
                 ("changes of the header", tests.headers), ("one value, one field", tests.no_smuggling), ("replaced bodies", tests.bodies),
                 ("header of a large message", tests.large_headers),
                 ("changed recipients", tests.recipients_changed), ("changed recipients and header", tests.recipients_and_header_changed),
                 ("no recipient left", tests.nobody_left), ("changed recipients of LMTP", tests.recipients_of_lmtp),
                 ("changed sender", tests.sender_changed), ("submission and LMTP", tests.submission),
                 ("broken protocol", tests.broken), ("half of the changes", tests.half_changed), ("progress", tests.progress),
                 ("a filter that is away", defaults), ("a Unix socket", unix_socket), ("rspamd", rspamd), ("ClamAV", clamav)])


if __name__ == "__main__":
    main()
