#!/usr/bin/env python3
"""Runs the transcripts below tests/scripts against one instance, each with accounts of its own.

A transcript is lines of `N VERB …`, N the number of a connection:

    1 open pop3            connects (smtp submission submissions lmtp pop3 pop3s imap imaps)
    1 > USER {user}        sends a line; {user}, {user2}, {user3}: addresses; {password}; {base64:text};
                           {apop:1}: the digest of connection 1's greeting and the password
    1 >raw a\\r\\nb         sends bytes, Python escapes, no line end added
    1 < +OK *              expects a line; * stands for anything
    1 <- 250-*             expects lines like it, any number of them
    1 <listing             expects the lines written below with `|`, in order, up to the dot; `| *` stands for any lines
    1 tls                  the TLS handshake
    1 closed               expects the end of the connection
    1 close                closes it
    deliver {user}         delivers the lines written below with `|` by LMTP and waits until they are in the account
    ask {user} STAT = +OK 1 *    a further POP3 session, when all mail is delivered: log in, one command, its answer

Lines with # are comments. Each command of the tables in lib/smtp and lib/pop3 must stand in some transcript with an
answer that is a success and with one that is not.
"""
import base64
import codecs
import glob
import hashlib
import os
import re
import sys

import e2e


class Transcript:
    def __init__(self, instance, path):
        self.instance = instance
        self.path = path
        self.connections = {}
        self.queued = {}
        self.values = {"password": e2e.PASSWORD, "domain": e2e.DOMAIN}
        for name in ("user", "user2", "user3"):
            self.values[name] = instance.fresh_user()
            self.values[name + ".name"] = self.values[name].split("@")[0]

    def fill(self, text):
        def value(match):
            name = match.group(1)
            if name.startswith("apop:"):
                timestamp = re.search("<.*>", self.connections[name[5:]].first)[0]
                return hashlib.md5((timestamp + e2e.PASSWORD).encode()).hexdigest()
            if name.startswith("base64:"):
                inner = re.sub(r"\[([a-z0-9.]+)\]", lambda m: self.values[m.group(1)], name[7:])
                return base64.b64encode(codecs.decode(inner, "unicode_escape").encode("latin-1")).decode()
            return self.values[name]
        return re.sub(r"\{([^{}]+)\}", value, text)

    def matches(self, pattern, line):
        return line is not None and re.fullmatch(".*".join(re.escape(p) for p in self.fill(pattern).split("*")), line) is not None

    def expect(self, pattern, line):
        if not self.matches(pattern, line):
            raise AssertionError(f"{self.where}: expected {self.fill(pattern)!r}, got {line!r}")

    def run(self):
        with open(self.path, encoding="utf-8") as script:
            lines = [line.rstrip("\n") for line in script]
        position = 0
        while position < len(lines):
            line = lines[position]
            position += 1
            if not line.strip() or line.startswith("#"):
                continue
            self.where = f"{os.path.relpath(self.path, e2e.ROOT)}:{position}"
            block = []
            while position < len(lines) and (lines[position].startswith("| ") or lines[position] == "|"):
                block.append(lines[position][2:])
                position += 1
            self.step(line, block)
        for connection in self.connections.values():
            connection.hang_up()

    def step(self, line, block):
        first, _, rest = line.partition(" ")
        if first == "deliver":
            self.instance.deliver(self.fill(rest).split(), "\n".join(self.fill(b) for b in block) + "\n")
        elif first == "ask":
            self.ask(rest)
        else:
            verb, _, argument = rest.partition(" ")
            self.talk(first, verb, argument, block)

    def ask(self, rest):
        self.instance.wait_all_delivered(self.queued)
        user, _, rest = rest.partition(" ")
        command, _, expected = rest.partition(" = ")
        with self.instance.connect("pop3") as client:
            client.line()
            client.ask(f"USER {self.fill(user)}")
            self.expect("+OK*", client.ask(f"PASS {e2e.PASSWORD}"))
            self.expect(expected, client.ask(self.fill(command)))
            client.ask("QUIT")

    def note_queued(self, line):
        """A mail that was accepted is on its way until queue says that it was delivered."""
        found = e2e.QUEUED.search(line or "")
        if found:
            self.queued[found[1]] = 1

    def talk(self, number, verb, argument, block):
        if verb == "open":
            self.connections[number] = self.instance.connect(argument)
            self.connections[number].first = None
            return
        connection = self.connections[number]
        if verb == ">":
            connection.send(self.fill(argument).encode("utf-8") + b"\r\n")
        elif verb == ">raw":
            connection.send(codecs.decode(self.fill(argument), "unicode_escape").encode("latin-1"))
        elif verb == "<":
            line = connection.line()
            self.note_queued(line)
            connection.first = connection.first or line
            self.expect(argument, line)
        elif verb == "<-":
            self.expect_several(connection, argument)
        elif verb == "<listing":
            self.expect_listing(connection, block)
        elif verb == "tls":
            connection.start_tls(self.instance.tls())
        elif verb == "closed":
            if (rest := connection.line()) is not None:
                raise AssertionError(f"{self.where}: expected the end of the connection, got {rest!r}")
        elif verb == "close":
            connection.hang_up()
        else:
            raise AssertionError(f"{self.where}: no such verb: {verb}")

    def expect_several(self, connection, pattern):
        while True:
            line = connection.line()
            if not self.matches(pattern, line):
                connection.buffer = (line or "").encode() + b"\r\n" + connection.buffer
                return

    def expect_listing(self, connection, block):
        lines = connection.listing()
        for pattern in block:
            if pattern == "*":
                return
            self.expect(pattern, lines.pop(0) if lines else None)
        if lines:
            raise AssertionError(f"{self.where}: further lines: {lines!r}")


def outcomes(path):
    """The commands that a transcript sends, each with the first character of its answer."""
    sent = {}
    with open(path, encoding="utf-8") as script:
        for line in script:
            number, _, rest = line.strip().partition(" ")
            verb, _, argument = rest.partition(" ")
            if verb == ">":
                sent[number] = argument.split(" ")[0].upper()
            elif verb in ("<", "<-") and number in sent:
                yield sent.pop(number), argument[:1]


def commands_are_covered(protocols, table, never_right=(), never_wrong=()):
    with open(os.path.join(e2e.ROOT, table), encoding="utf-8") as source:
        names = set(re.findall(r'\{ "([A-Z0-9]+)",', source.read()))
    e2e.check(len(names) > 10, f"{table} has only {names}")
    seen = {outcome for p in protocols for path in glob.glob(os.path.join(e2e.ROOT, f"tests/scripts/{p}/*.txt")) for outcome in outcomes(path)}
    right = {name for name, first in seen if first in "23+"}
    wrong = {name for name, first in seen if first in "45-"}
    e2e.equal(sorted(names - right - set(never_right)), [], "commands of which no transcript shows a success")
    e2e.equal(sorted(names - wrong - set(never_wrong)), [], "commands of which no transcript shows a refusal")


COVERAGE = (("every command of SMTP and LMTP has transcripts",
             lambda: commands_are_covered(("smtp", "lmtp"), "lib/smtp/smtp_command.c", never_right=("EXPN",), never_wrong=("HELP", "NOOP"))),
            ("every command of POP3 has transcripts", lambda: commands_are_covered(("pop3",), "lib/pop3/command.c")))


def main():
    wanted = sys.argv[1:] or sorted(glob.glob(os.path.join(e2e.ROOT, "tests/scripts/*/*.txt")))
    with e2e.Instance(accounts=(f"user%d:{3 * len(wanted) + 3}",)) as instance:
        def test(path):
            return lambda: Transcript(instance, path).run()
        e2e.run([(os.path.relpath(path, os.path.join(e2e.ROOT, "tests/scripts")), test(path)) for path in wanted] + list(COVERAGE))


main()
