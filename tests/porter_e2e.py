#!/usr/bin/env python3
"""What every port has in common before log-in: clients that hang up half, that do not read, and an auth that dies meanwhile."""
import base64
import os
import signal
import socket
import sys
import threading

import e2e
from e2e import check, equal

# service: the command that is always good, and the last line of its answer
HARMLESS = {"smtp": ("EHLO x", b"250 HELP"), "submission": ("EHLO x", b"250 HELP"), "lmtp": ("LHLO x", b"250 MT-PRIORITY"), "pop3": ("CAPA", b"."),
            "imap": ("a CAPABILITY", b"a OK CAPABILITY done")}
# service: commands before AUTH, AUTH without an initial response, the answer that asks for one, and the last answer
EXCHANGES = {"submission": (["EHLO x"], "AUTH PLAIN", "334", "454 4.7.0"), "pop3": ([], "AUTH PLAIN", "+", "-ERR [SYS/TEMP]"),
             "imap": ([], "a AUTHENTICATE PLAIN", "+", "a NO [UNAVAILABLE]")}


class Tests:
    def __init__(self, instance):
        self.instance = instance

    def greeted(self, service):
        client = self.instance.connect(service)
        check(client.line(), f"the greeting of {service}")
        return client

    def half_closed(self):
        """A client that has said all (printf … | nc -N) hears every answer."""
        for service, (command, last) in HARMLESS.items():
            for _ in range(20):
                with self.greeted(service) as client:
                    client.send(f"{command}\r\n{command}\r\n".encode())
                    client.connection.shutdown(socket.SHUT_WR)
                    equal(client.rest().split(b"\r\n").count(last), 2, f"answers to {command} ({service})")

    def nothing_is_lost_for_who_reads_late(self):
        """Who pipelines more than it reads is itself not read for a while; it gets every answer."""
        count = 6000
        for service, (command, last) in HARMLESS.items():
            with self.greeted(service) as client:
                sending = threading.Thread(target=client.send, args=(f"{command}\r\n".encode() * count,))
                sending.start()
                lines = 0
                while lines < count:
                    line = client.line()
                    check(line is not None, f"{service} ended after {lines} answers")
                    lines += line.encode() == last
                sending.join()

    def one_flood_is_not_all(self):
        """A client that never pauses leaves room for others: a single porter serves both."""
        with self.greeted("smtp") as client:
            ends = threading.Event()

            def flood():
                while not ends.is_set():
                    client.send(b"NOOP\r\n" * 2000)

            def read():
                while client.connection.recv(1 << 18):
                    pass
            threads = [threading.Thread(target=work) for work in (flood, read)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(5):
                    with self.instance.smtp("smtp") as other:
                        other.say("NOOP", "250")
            finally:
                ends.set()
                threads[0].join()
                client.connection.shutdown(socket.SHUT_RDWR)
                threads[1].join()

    def kill_auth(self):
        pid, = self.instance.pids("auth")
        os.kill(pid, signal.SIGKILL)
        e2e.until(lambda: self.instance.pids("auth") not in ([], [pid]), "the next auth")
        with self.instance.pop3(self.instance.fresh_user()):
            pass  # it answers

    def auth_dies_within_an_exchange(self):
        """That log-in fails for now and can be tried again; nobody else notices."""
        porters = self.instance.pids("porter")
        clients = {}
        for service, (before, begin, more, _) in EXCHANGES.items():
            clients[service] = client = self.greeted(service)
            for command in before:
                client.send(command)
                client.reply()
            check(client.ask(begin).startswith(more), f"{begin} ({service})")
        response = base64.b64encode(f"\0{self.instance.fresh_user()}\0{e2e.PASSWORD}".encode())
        self.kill_auth()
        for service, client in clients.items():
            last = EXCHANGES[service][3]
            line = client.ask(response + b"\r\n")
            check(line is not None and line.startswith(last), f"{service}: {line}")
            check(client.ask(EXCHANGES[service][1]).startswith(EXCHANGES[service][2]), f"{service}: once more")
            check(client.ask(response + b"\r\n").startswith(("235", "+OK", "a OK")), f"{service}: log-in")
            client.close()
        equal(sorted(self.instance.pids("porter")), sorted(porters), "the porters")

    def auth_dies_and_the_exchange_is_cancelled(self):
        with self.greeted("pop3") as client:
            client.send("AUTH CRAM-MD5")
            check(client.line().startswith("+ "), "a challenge")
            self.kill_auth()
            check(client.ask("*").startswith("-ERR"), "cancelled")
            check(client.ask("CAPA").startswith("+OK"), "the dialogue goes on")
            client.listing()
            client.send("AUTH CRAM-MD5")
            check(client.line().startswith("+ "), "a challenge of the new auth")


def main():
    with e2e.Instance("--set", "porter_workers=1", accounts=("user%d:20",)) as instance:
        tests = Tests(instance)
        wanted = sys.argv[1:]
        names = [key for key, value in vars(Tests).items()
                 if callable(value) and value.__code__.co_argcount == 1 and not key.startswith("_") and key not in ("kill_auth",)]
        e2e.run([(n.replace("_", " "), getattr(tests, n)) for n in names if not wanted or n.replace("_", " ") in wanted])


if __name__ == "__main__":
    main()
