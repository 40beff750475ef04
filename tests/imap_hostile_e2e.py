#!/usr/bin/env python3
"""What a hostile IMAP client sends: a clear answer, bounded memory, and another session of the account that goes on undisturbed.

tests/imap_hostile_e2e.py [NAME…]
"""
import base64
import contextlib
import os
import socket
import sys

import e2e
import imap_transcript
from e2e import check, equal

# Of a process that holds a line, its literals and an answer; with sanitizers a program alone takes some 100 MB.
GROWTH_MAX_KB = 80 << 10
PIECE = 1 << 20
HELPERS = ("session", "good", "refused", "flood", "pair", "many_mails", "others_get_in")


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


class Tests:
    growth_max_kb = GROWTH_MAX_KB

    def __init__(self, instance):
        self.instance = instance

    @contextlib.contextmanager
    def session(self, mailbox="INBOX", mails=0):
        """A hostile session, while another one of the same account is asked again and again; memory is looked at in the end."""
        user = self.instance.fresh_user()
        with imap_transcript.log_in(self.instance, user) as watcher, imap_transcript.log_in(self.instance, user) as client:
            for number in range(mails):
                mail = f"Subject: mail {number}\r\nFrom: a@example.test\r\n\r\nbody\r\n"
                self.good(client, f"APPEND INBOX {{{len(mail)}+}}\r\n{mail}")
            self.good(client, f"SELECT {mailbox}")
            self.good(watcher, f"SELECT {mailbox}")
            pids = self.instance.pids("mailbox") + self.instance.pids("porter")
            before = {pid: resident_kb(pid) for pid in pids}
            client.watcher = watcher
            yield client
            self.good(watcher, "NOOP")
            self.good(watcher, "STATUS INBOX (MESSAGES)")
            for pid, then in before.items():
                if e2e.is_alive(pid):
                    check(resident_kb(pid) - then < self.growth_max_kb, f"process {pid} grew by {resident_kb(pid) - then} KB")

    def good(self, client, command):
        untagged, answer = client.command(command)
        check(answer is not None and answer.startswith("OK "), f"{e2e.short(command)}: {answer}")
        return untagged

    def refused(self, client, command, *beginnings):
        _, answer = client.command(command)
        check(answer is not None and answer.startswith(beginnings), f"{e2e.short(command)}: {answer}")
        self.good(client, "NOOP")

    def flood(self, client, front, piece, count):
        """Sends front and then so many pieces, or as many as the server takes."""
        client.send(front)
        for number in range(count):
            try:
                client.connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError, socket.timeout):
                return False
            if number % 16 == 0 and hasattr(client, "watcher"):
                self.good(client.watcher, "NOOP")
        return True

    # ---- literals and lines --------------------------------------------------------------------------

    def literals(self):
        with self.session() as client:
            for size in ("4294967295", "99999999999999999999", "18446744073709551616"):
                self.refused(client, f"SELECT {{{size}}}", "NO [TOOBIG]")
                self.refused(client, f"APPEND INBOX {{{size}}}", "NO [TOOBIG]")
            self.refused(client, "SELECT {-1}", "BAD ")
            self.refused(client, "SELECT {+}", "BAD ")
            self.refused(client, "APPEND INBOX {0}\r\n", "NO ", "BAD ")

    def gigabyte_before_login(self):
        with imap_transcript.connect(self.instance) as client:
            client.response()
            self.flood(client, b"a LOGIN {1073741824+}\r\n", b"x" * PIECE, 8)
            rest = client.rest()
            check(rest.startswith(b"* BYE [TOOBIG] "), f"got {rest!r}")

    def gigabyte_after_login(self):
        with self.session() as client:
            self.flood(client, b"A9 APPEND INBOX {1073741824+}\r\n", b"x" * PIECE, 8)
            rest = client.rest()
            check(b"* BYE" in rest, f"got {rest!r}")

    def large_literal_is_passed_over(self):
        """RFC 7888 §4: what came unasked is read and dropped, and the connection goes on."""
        with self.session() as client:
            check(self.flood(client, b"A9 APPEND INBOX {104857600+}\r\n", b"x" * PIECE, 100), "the literal is taken")
            client.send(b"\r\n")
            answer = client.response()
            check(answer.startswith("A9 BAD [TOOBIG]"), answer)
            self.good(client, "NOOP")
            equal(self.good(client, "STATUS INBOX (MESSAGES)")[0], "* STATUS INBOX (MESSAGES 0)", "nothing is stored")

    def long_line(self):
        with self.session() as client:
            check(self.flood(client, b"A9 SEARCH SUBJECT ", b"x" * PIECE, 100), "the line is taken")
            client.send(b"\r\n")
            check(client.response().startswith("A9 BAD [TOOBIG]"), "the answer")
            self.good(client, "NOOP")

    def endless_line(self):
        with self.session() as client:
            check(not self.flood(client, b"A9 SEARCH SUBJECT ", b"x" * PIECE, 2000), "an endless line ends the connection")

    # ---- grammar ----------------------------------------------------------------------------------------

    def parentheses(self):
        with self.session() as client:
            for command in ("FETCH 1 ", "STORE 1 FLAGS ", "SEARCH ", "LIST ", "STATUS INBOX ", "ID "):
                self.refused(client, command + "(" * 1000000, "BAD ", "NO [LIMIT]")

    def nested_search_keys(self):
        with self.session(mails=3) as client:
            self.refused(client, "SEARCH " + "NOT " * 100000 + "ALL", "BAD ", "NO [LIMIT]", "OK ")
            self.refused(client, "SEARCH " + "OR ALL " * 100000 + "ALL", "BAD ", "NO [LIMIT]", "OK ")
            self.refused(client, "SEARCH " + "(" * 40 + "NOT " * 100 + "ALL" + ")" * 40, "BAD ", "NO [LIMIT]", "OK ")

    def number_sets(self):
        with self.session(mails=3) as client:
            equal(len([one for one in self.good(client, "UID FETCH 1:4294967295 FLAGS") if "FETCH" in one]), 3, "a set of all numbers")
            equal(self.good(client, "UID FETCH 4294967295 FLAGS"), [], "the largest number is no star")
            self.refused(client, "FETCH 1:4294967296 FLAGS", "BAD ")
            self.refused(client, "FETCH 0 FLAGS", "BAD ")
            many = ",".join(str(2 * number + 1) for number in range(100000))
            equal(len([one for one in self.good(client, f"UID FETCH {many} FLAGS") if "FETCH" in one]), 2, "many ranges")
            self.refused(client, "UID FETCH " + "1," * 400000 + "1 FLAGS", "BAD ", "NO [LIMIT]")
            equal(len(self.good(client, "UID FETCH " + "1:*,*:1," * 50000 + "3 FLAGS")), 3, "the same again and again")

    def list_patterns(self):
        with self.session() as client:
            for number in range(50):
                self.good(client, f"CREATE {'a' * 60}/{'b' * 60}{number}")
            for pattern in ("%*" * 2000, "*%a" * 1000 + "b", "%" * 4000, "*a" * 2000, "a*" * 2000):
                untagged, answer = client.command(f'LIST "" "{pattern}"')
                check(answer.startswith("OK "), f"{pattern[:10]}: {answer}")
                check(len(untagged) <= 60, "answers")
            self.refused(client, 'LIST "" ' + "%*" * 400000, "BAD ", "NO [LIMIT]")

    def mailbox_names(self):
        with self.session() as client:
            for name in ('"a\0b"', "{3}\r\na\0b", '"\xc0\xaf"', '"&AAo-"', '"&"', '"&AGE-"', '"&2D0-"', '"a\tb"', '"/a"', '"a//b"'):
                client.send(f"{client.tag()} CREATE ".encode() + name.split("\r\n")[0].encode("latin-1") + b"\r\n")
                answer = client.response()
                if answer.startswith("+"):
                    client.send(name.split("\r\n")[1].encode("latin-1") + b"\r\n")
                    answer = client.response()
                check(answer.startswith(f"{client.waiting[-1]} "), answer)
                check(answer.split(" ")[1] in ("BAD", "NO"), f"{name!r}: {answer}")
                client.waiting.pop()
            for name in ("/".join("x" * 1000), "x" * 100000, "{100000+}\r\n" + "x" * 100000):
                self.refused(client, f"CREATE {name}", "BAD ", "NO ")
            for name in ("../../etc", "..", "/etc/passwd", "a/../../b"):
                _, answer = client.command(f'CREATE "{name}"')
                check(answer.startswith(("OK ", "NO ", "BAD ")), answer)
            self.good(client, "LIST \"\" *")

    def forged_responses(self):
        """What comes from mail, flags or names never looks like a response of its own."""
        with self.session() as client:
            mail = "Subject: =?utf-8?B?eA0KKiBCWUUgZm9yZ2Vk?=\r\nFrom: \"x\\\r\n * BYE forged\" <a@b.c>\r\n\r\nbody\r\n* BYE forged\r\n"
            self.good(client, f"APPEND INBOX {{{len(mail)}+}}\r\n{mail}")
            for command in ("FETCH 1 (ENVELOPE BODYSTRUCTURE)", "FETCH 1 BODY[]", "FETCH 1 BODY[HEADER.FIELDS (\"From\" {3}\r\nX\r\n)]"):
                with contextlib.suppress(AssertionError):
                    untagged, answer = client.command(command)
                    check(answer is not None, "the connection goes on")
                    check(all(not one.startswith("* BYE") for one in untagged), f"forged: {untagged}")
            for flag in ("{4+}\r\na\r\nb", "a\rb", "\"a\"", "\\*"):
                self.refused(client, f"STORE 1 +FLAGS ({flag})", "BAD ", "NO ")

    def many_commands_at_once(self):
        with self.session(mails=3) as client:
            count = 20000
            client.send(b"".join(b"T%d NOOP\r\n" % number for number in range(count)))
            for number in range(count):
                equal(client.response()[:len(f"T{number} OK")], f"T{number} OK", "answers in order")

    def many_mails(self, client, count):
        mail = "Subject: one of many\r\n\r\nx\r\n"
        there = 500
        self.good(client, "APPEND INBOX" + f" {{{len(mail)}+}}\r\n{mail}" * there)
        while there < count:
            self.good(client, f"COPY 1:{min(there, count - there)} INBOX")
            there += min(there, count - there)

    def others_get_in(self, client, command):
        """While the command runs another session stores mails in its target: not all of them behind it."""
        mail = "Subject: between\r\n\r\nx\r\n"
        client.send(f"A9 {command} Trash\r\n".encode())
        for _ in range(60):
            self.good(client.watcher, f"APPEND Trash {{{len(mail)}+}}\r\n{mail}")
        responses = []
        while not responses or not responses[-1].startswith("A9 "):
            responses.append(client.response())
        check(responses[-1].startswith("A9 OK"), responses[-1])
        code = next(one for one in responses if "[COPYUID " in one).split("[COPYUID ")[1].split("]")[0]
        check("," in code.split()[2], f"{command} let nobody in: {code}")

    def compressed_lengths_tell_nothing_of_other_mails(self):
        """RFC 4978 §5: who can send a mail and see how long answers are must not learn whether another mail has the same in it."""
        secret = base64.b64encode(os.urandom(6000)).decode()
        with self.session() as client:
            for subject in "abc":
                mail = f"Subject: {subject}\r\n\r\n{secret}\r\n"
                self.good(client, f"APPEND INBOX {{{len(mail)}+}}\r\n{mail}")
            self.good(client, "COMPRESS DEFLATE")
            client.connection = imap_transcript.Deflated(client.connection)
            lengths = []
            for command in ("FETCH 1 BODY.PEEK[]", "FETCH 1:3 BODY.PEEK[]", "FETCH 3 BODY.PEEK[]"):
                before = client.connection.received
                self.good(client, command)
                lengths.append(client.connection.received - before)
            check(lengths[1] > 2.9 * lengths[0] and lengths[2] > 0.99 * lengths[0], f"octets on the wire: {lengths}")

    @contextlib.contextmanager
    def pair(self):
        user = self.instance.fresh_user()
        with imap_transcript.log_in(self.instance, user) as watcher, imap_transcript.log_in(self.instance, user) as client:
            self.good(client, "SELECT INBOX")
            client.watcher = watcher
            yield client

    def large_sets_let_others_in(self):
        with self.pair() as client:
            self.many_mails(client, 45000)
            self.others_get_in(client, "MOVE 1:*")
            self.good(client, "SELECT Trash")
            self.good(client, "STORE 1:* +FLAGS.SILENT (\\Deleted)")
            equal(sum(one.endswith(" EXPUNGE") for one in self.good(client, "EXPUNGE")), 45060, "what EXPUNGE told")

    def very_large_copies_let_others_in(self):
        e2e.long_only("more than a hundred thousand mails")
        with self.pair() as client:
            self.many_mails(client, 210000)
            self.others_get_in(client, "COPY 1:*")

    def a_very_large_copy_that_fails_leaves_nothing(self):
        """RFC 9051 §6.4.7: the quota ends in its second part."""
        e2e.long_only("more than a hundred thousand mails")
        with self.pair() as client:
            self.many_mails(client, 105000)
            root = self.good(client, "GETQUOTAROOT INBOX")[0].split()[-1]
            self.good(client, f"SETQUOTA {root} (MESSAGE 207000)")
            self.refused(client, "COPY 1:* Trash", "NO [OVERQUOTA]")
            equal(self.good(client, "STATUS Trash (MESSAGES)")[-1], "* STATUS Trash (MESSAGES 0)", "what the copy left")


def main(kind):
    wanted = sys.argv[1:]
    with e2e.Instance(accounts=("user%d:30",)) as instance:
        tests = kind(instance)
        names = [name for name, one in vars(kind).items() if name[0] != "_" and name not in HELPERS and callable(one)]
        e2e.run([(name.replace("_", " "), getattr(tests, name)) for name in names if not wanted or name in wanted])


if __name__ == "__main__":
    main(Tests)
