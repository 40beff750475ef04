#!/usr/bin/env python3
"""SMTP, submission and LMTP under other settings: small pools, short patience, limits per address, networks, line ends made good."""
import contextlib
import os
import re
import sys

import e2e
from e2e import check, equal

SENDER = "sender@elsewhere.test"


def memory_of(pids):
    """Private memory in KiB."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    return total


class Tests:
    """Tests that fill an instance: small pools, short time-outs, loopback not exempt from anything."""

    settings = ("exempt_networks=", "allow_plaintext_login=no", "smtp_processes_max=4", "command_timeout_seconds=4",
                "message_size_max=1000000", "connections_per_address_max=1500", "connections_max=6000", "pregreet_wait_ms=300", "recipients_max=100",
                "normalise_line_ends=submission,lmtp")

    def __init__(self, instance):
        self.instance = instance

    def pregreet(self):
        with e2e.Smtp(self.instance.connect("smtp").connection) as client:
            client.send("EHLO hasty.test")
            client.expect("554 5.5.1")
            equal(client.rest(), b"", "bytes behind the refusal")
        with self.instance.smtp("smtp") as client:
            client.say("NOOP", "250")
        with e2e.Smtp(self.instance.connect("submission").connection) as client:
            client.send("EHLO hasty.test")
            client.expect("220")
            client.expect("250")

    def normalised(self):
        """With normalise_line_ends: bare CR and LF become CRLF on submission and LMTP, never on 25, and end no mail anywhere."""
        login = self.instance.fresh_user()
        cases = ((b"a\n.\n", b"a\r\n.\r\n"), (b"a\n.\r\n", b"a\r\n.\r\n"), (b"a\r.\r", b"a\r\n.\r\n"), (b"a\r.\r\n", b"a\r\n.\r\n"),
                 (b"a\r\n.\n", b"a\r\n\r\n"), (b"a\r\n.\r\r\n", b"a\r\n\r\n\r\n"), (b"a\n\r.\n\r\n", b"a\r\n\r\n.\r\n\r\n"))
        for service in ("submission", "lmtp", "smtp"):
            user = self.instance.fresh_user()
            smuggled = f"MAIL FROM:<{login}>\r\nRCPT TO:<{user}>\r\nDATA\r\nx\r\n".encode()
            head = f"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <x@y.test>\r\nFrom: <{login}>\r\n\r\n".encode()
            with self.instance.smtp(service, user=login if service == "submission" else None) as client:
                for text, _ in cases:
                    client.envelope(login, [user])
                    client.say("DATA", "354")
                    client.send(head + text + smuggled + b".\r\n")
                    reply = client.expect("550 5.5.2" if service == "smtp" else "250 2.0.0")
                    client.say("NOOP", "250")
                client.envelope(login, [user])  # BDAT has no end to smuggle, but the same rule
                client.send(b"BDAT %d LAST\r\n" % (len(head) + 4) + head + b"a\nb\r")
                last = client.expect("550 5.5.2" if service == "smtp" else "250 2.0.0")
            if service == "smtp":
                equal(self.tls_mails(user), [], "mails through port 25")
                continue
            self.instance.wait_delivered(reply)
            self.instance.wait_delivered(last)
            equal([e2e.body_of(m) for m in self.tls_mails(user)], [head + mended + smuggled for _, mended in cases] + [head + b"a\r\nb\r\n"],
                  f"the mails through {service}")

    def fewer_recipients(self):
        local, domain = self.instance.fresh_user().split("@")
        with self.instance.smtp("lmtp") as client:
            check("RCPTMAX=100" in client.say("LHLO again.test", "250"), "the limit in LIMITS")
            client.envelope(SENDER, [f"{local}+{i}@{domain}" for i in range(100)])
            client.say(f"RCPT TO:<{local}@{domain}>", "452 4.5.3")

    def no_clear_text_login(self):
        user = self.instance.fresh_user()
        with self.instance.smtp("submission") as client:
            reply = client.say("EHLO client.test", "250")
            auth = re.search(r"AUTH (.*)", reply)
            check(not auth or not {"PLAIN", "LOGIN"} & set(auth[1].split()), reply)
            client.say("AUTH PLAIN " + e2e.plain(user), "538 5.7.11")
            client.say("AUTH LOGIN", "538 5.7.11")
            client.say("STARTTLS", "220")
            client.start_tls(self.instance.tls())
            check({"PLAIN", "LOGIN"} <= set(client.say("EHLO client.test", "250").split()), "mechanisms under TLS")
            client.say("AUTH PLAIN " + e2e.plain(user), "235")

    def too_big(self):
        """The octets are drained and the session goes on."""
        user = self.instance.fresh_user()
        mail = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n"
        big = mail + (b"y" * 70 + b"\r\n") * 20000
        with self.instance.smtp("lmtp") as client:
            client.transact(SENDER, [user], big, beginning="552 5.3.4")
            client.envelope(SENDER, [user])
            client.send(f"BDAT {len(big)} LAST\r\n".encode() + big)
            client.expect("552 5.3.4")
            client.envelope(SENDER, [user])
            client.send(b"".join(f"BDAT {len(big) // 2}\r\n".encode() + big[:len(big) // 2] for _ in range(2)) + b"BDAT 0 LAST\r\n")
            for _ in range(2):
                client.expect("")
            client.expect("552 5.3.4")
            reply = client.transact(SENDER, [user], mail)
        self.instance.wait_delivered(reply)
        equal([e2e.body_of(m) for m in self.tls_mails(user)], [mail], "the mails")

    def tls_mails(self, user):
        with self.instance.pop3(user, "pop3s") as client:
            return client.all()

    def silence(self):
        """RFC 5321 §4.5.3.2: 421 in each state."""
        user = self.instance.fresh_user()
        fresh = self.instance.smtp("lmtp")
        in_mail = self.instance.smtp("lmtp")
        in_mail.envelope(SENDER, [user])
        in_data = self.instance.smtp("lmtp")
        in_data.envelope(SENDER, [user])
        in_data.say("DATA", "354")
        in_data.send("Subject: never ends")
        for client in (in_mail, in_data):
            client.expect("421 4.4.2")
            client.ended()
        fresh.say("NOOP", "250")  # before log-in or MAIL porter has the client, with its own patience
        fresh.close()

    def full_pool(self):
        """As many transactions as processes; who comes next is told 421; when one ends, others are served."""
        user = self.instance.fresh_user()
        for _ in range(3):
            holders, refused = [], 0
            while not refused and len(holders) < 300:
                client = self.instance.smtp("lmtp")
                client.send(f"MAIL FROM:<{SENDER}>")
                client.connection.settimeout(0.5)
                holders.append(client)
                try:
                    refused = client.line().startswith("421")
                except TimeoutError:
                    pass  # it waits in the pool's socket
            check(refused, "nobody was refused")
            for client in holders:
                client.close()

        def served():
            with self.instance.smtp("lmtp") as client:
                client.send(f"MAIL FROM:<{SENDER}>")
                return client.line().startswith("250")
        e2e.until(served, "a pool that serves again")
        with self.instance.smtp("lmtp") as client:
            reply = client.transact(SENDER, [user], b"Subject: after the crowd\r\n\r\n")
        self.instance.wait_delivered(reply)

    def slow_crowd(self):
        """1,000 clients that send an octet and wait: bounded memory, others are served."""
        user = self.instance.fresh_user()
        porters = self.instance.pids("porter", "world")
        before = memory_of(porters)
        crowd = []
        try:
            for _ in range(1000):
                crowd.append(self.instance.connect("lmtp"))
                crowd[-1].send(b"L")
            with self.instance.smtp("lmtp") as client:
                reply = client.transact(SENDER, [user], b"Subject: served\r\n\r\n")
            self.instance.wait_delivered(reply)
            grown = memory_of(porters) - before
            check(grown < 1000 * 64, f"1,000 slow clients cost {grown} KiB")
            for client in crowd[::100]:
                check(client.line().startswith("220"), "a slow client has no greeting")
        finally:
            for client in crowd:
                client.close()
        equal(len(self.tls_mails(user)), 1, "mails")

    @contextlib.contextmanager
    def _configured(self, **settings):
        """The instance with other settings, for a while; who is served by programs of before has to wait for those of now."""
        path = os.path.join(self.instance.directory, "posthorn.conf")
        with open(path, encoding="utf-8") as file:
            before = file.read()
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]

        def load(text):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.instance.ctl("reload")
        load(self.instance.ctl("print-config", *words).stdout)
        try:
            yield
        finally:
            load(before)

    def _first_line(self, service):
        with self.instance.connect(service) as client:
            client.send("EHLO hasty.test")
            return client.line() or ""

    def by_network(self):
        """Who is in trusted_networks need not wait for the greeting; LMTP over TCP is for lmtp_networks alone."""
        with self._configured(trusted_networks="127.0.0.0/8", lmtp_networks="192.0.2.1"):
            e2e.until(lambda: self._first_line("smtp").startswith("220 "), "a greeting for one who speaks first")
            e2e.until(lambda: re.match("421 4.7.0 .* not in lmtp_networks", self._first_line("lmtp")), "a refusal that says why")
        e2e.until(lambda: self._first_line("lmtp").startswith("220 ") and self._first_line("smtp").startswith("554 "), "the configuration of before")

    def no_room_on_disk(self):
        """Mail is refused for now while a file system has less room than spool_headroom."""
        user = self.instance.fresh_user()

        def answer(service):
            with self.instance.smtp(service, user=user if service == "submission" else None) as client:
                if service == "submission":
                    return client.ask(f"MAIL FROM:<{user}>")[:9]
                client.say("MAIL FROM:<>", "250")
                return client.ask(f"RCPT TO:<{user}>")[:9]
        services = ("smtp", "submission", "lmtp")
        with self._configured(spool_headroom="1099511627776"):
            for service in services:
                e2e.until(lambda: answer(service) == "452 4.3.1", f"a refusal through {service}")  # pylint: disable=cell-var-from-loop
        for service in services:
            e2e.until(lambda: answer(service).startswith("250 2.1."), f"room again through {service}")  # pylint: disable=cell-var-from-loop

    def crowd_of_addresses(self):
        """connections_per_address_max: the next one is told 421, the others stay."""
        crowd = []
        try:
            while len(crowd) < 1600:
                crowd.append(e2e.Smtp(self.instance.connect("lmtp").connection))
                if crowd[-1].line().startswith("421"):
                    break
            equal(len(crowd), 1501, "the first connection that is refused")
            crowd[0].say("LHLO client.test", "250")
        finally:
            for client in crowd:
                client.close()

    def too_slow(self):
        e2e.long_only("a mail that comes too slowly, which takes a minute")
        user = self.instance.fresh_user()
        with self.instance.smtp("lmtp") as client:
            client.envelope(SENDER, [user])
            client.say("DATA", "354")
            client.connection.settimeout(0.5)
            for _ in range(400):
                try:
                    client.send(b"x")
                    line = client.line()
                except TimeoutError:
                    continue
                check(line.startswith("421 4.4.2"), line)
                return
        raise AssertionError("it was never cut off")


def main():
    settings = [word for s in Tests.settings for word in ("--set", s)]
    with e2e.Instance(*settings, accounts=("user%d:15",)) as instance:
        instance.fresh_user()  # user0 is the postmaster
        thing = Tests(instance)
        tests = [(key.replace("_", " "), getattr(thing, key)) for key, value in vars(Tests).items()
                 if callable(value) and not key.startswith("_") and value.__code__.co_argcount == 1]
        wanted = sys.argv[1:]
        e2e.run([t for t in tests if not wanted or any(w in t[0] for w in wanted)])


if __name__ == "__main__":
    main()
