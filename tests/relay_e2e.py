#!/usr/bin/env python3
"""Mail to other hosts through the whole system: a user submits, queue schedules, relay brings it to servers that do as they are told."""
import json
import os
import re
import tempfile
import threading
import time

import dns_server
import e2e
from e2e import check, equal, until
from smtp_sink import SILENT, Sink

ZONE = """
good.test MX 10 mx.good.test
mx.good.test A 127.66.0.1
two.test MX 10 dead.two.test
two.test MX 20 mx.good.test
dead.two.test A 127.66.0.9
mixed.test MX 10 mx.mixed.test
mx.mixed.test A 127.66.0.2
later.test MX 10 mx.later.test
mx.later.test A 127.66.0.3
slow.test MX 10 mx.slow.test
mx.slow.test A 127.66.0.4
null.test MX 0 .
"""
ATTEMPT = re.compile(r"attempt .*queue-id=\"?([0-9a-f]{16})\"?(.*)")


def mail(subject, body="hello\r\n", user="user0"):
    return f"From: {user}@{e2e.DOMAIN}\r\nTo: x@good.test\r\nSubject: {subject}\r\nMessage-ID: <{time.monotonic_ns()}@own.test>\r\n\r\n{body}".encode()


class Tests:
    def __init__(self, instance, servers):
        self.instance, self.servers = instance, servers

    def submit(self, recipients, data, user="user0"):
        """Submits a mail; its queue id."""
        sender = f"{user}@{e2e.DOMAIN}"
        with self.instance.smtp("submission", user=sender) as client:
            return e2e.QUEUED.search(client.transact(sender, recipients, data)).group(1)

    def attempts(self, queue_id):
        return [found[2] for found in ATTEMPT.finditer(self.instance.log()) if found[1] == queue_id]

    def arrived(self, server, subject):
        found = [m for m in server.mails if f"Subject: {subject}\r\n".encode() in m.data]
        return found if found else None

    def wait_for(self, server, subject):
        until(lambda: self.arrived(server, subject), f"arrival of {subject}: {self.instance.log()[-1500:]}")
        return self.arrived(server, subject)

    def delivered(self):
        server = self.servers["good"]
        name = self.submit(["x@good.test", "y@good.test"], mail("one", "a line\r\n.\r\n..two\r\n"))
        got, = self.wait_for(server, "one")
        equal((got.sender, got.recipients), (f"user0@{e2e.DOMAIN}", ["x@good.test", "y@good.test"]), "envelope")
        check(got.data.endswith(b"\r\n\r\na line\r\n.\r\n..two\r\n"), got.data[-100:])
        check(got.data.startswith(b"Received: ") or b"\r\nReceived: " in got.data, "no trace")
        until(lambda: len(self.attempts(name)) == 2, "two attempts in the log")
        check(all("mx.good.test" in line and "127.66.0.1" in line for line in self.attempts(name)), self.attempts(name))

    def local_and_remote(self):
        user = self.instance.fresh_user()
        self.submit([user, "x@good.test"], mail("both"))
        self.wait_for(self.servers["good"], "both")
        until(lambda: len(self.instance.mails(user)) == 1, "the local copy")

    def next_host(self):
        self.submit(["x@two.test"], mail("backup"))
        self.wait_for(self.servers["good"], "backup")

    def bounced(self):
        """What is refused for good comes back as a report, one for all recipients."""
        user = self.instance.fresh_user()
        name = user.split("@")[0]
        self.submit(["ok@mixed.test", "bad@mixed.test"], mail("mixed", user=name), user=name)
        got, = self.wait_for(self.servers["mixed"], "mixed")
        equal(got.recipients, ["ok@mixed.test"], "recipients")
        self.submit(["x@null.test"], mail("null", user=name), user=name)
        until(lambda: len(self.instance.mails(user)) == 2, "two reports")
        reports = b"\n".join(self.instance.mails(user))
        for part in (b"multipart/report", b"bad@mixed.test", b"5.1.1", b"no such user", b"x@null.test", b"5.1.10"):
            check(part in reports, f"{part} is not in the reports")

    def deferred_and_retried(self):
        """451 first: it waits, an administrator asks for it, and it arrives once."""
        server = self.servers["later"]
        name = self.submit(["x@later.test"], mail("later"))
        until(lambda: self.attempts(name), "an attempt")
        check("451" in self.attempts(name)[0] or "4.3.0" in self.attempts(name)[0], self.attempts(name))
        rows = json.loads(self.instance.ctl("--json", "queue", "list").stdout)
        check(any(name in str(row) for row in rows), f"{name} is not in {rows}")
        server.actions.clear()
        self.instance.ctl("queue", "retry", name)
        self.wait_for(server, "later")
        equal(len(self.arrived(server, "later")), 1, "copies")

    def slow_delays_nobody(self):
        for i in range(20):
            self.submit([f"x{i}@slow.test"], mail(f"slow{i}"))
        self.submit(["x@good.test"], mail("quick"))
        self.wait_for(self.servers["good"], "quick")

    def killed_relay(self):
        """relay is killed while servers answer nothing: its mail goes to the next one."""
        server = self.servers["good"]
        server.actions["EHLO"] = [SILENT]
        name = self.submit(["x@good.test"], mail("killed"))
        before = len(server.sessions)
        until(lambda: len(server.sessions) > before or server.open_now, "a connection")
        server.actions.clear()
        for pid in self.instance.pids("relay"):
            e2e.kill(pid)
        self.wait_for(server, "killed")
        equal(len(self.arrived(server, "killed")), 1, f"copies of {name}")

    def killed_queue(self):
        """queue is killed while relay delivers: relay tells the next queue, and nothing is sent twice."""
        server = self.servers["good"]

        killed = threading.Event()

        def when_killed(session, line):
            check(killed.wait(e2e.TIMEOUT), "queue is killed")
            return "250 2.0.0 taken"
        server.actions["END"] = when_killed
        self.submit(["x@good.test"], mail("orphan"))
        until(lambda: server.sessions and any("BDAT" in line for line in server.sessions[-1].lines[-1:]), "the content")
        for pid in self.instance.pids("queue"):
            e2e.kill(pid)
        killed.set()
        self.wait_for(server, "orphan")
        server.actions.clear()
        self.submit(["x@good.test"], mail("after"))
        self.wait_for(server, "after")
        equal(len(self.arrived(server, "orphan")), 1, "copies")


    def unix_socket(self):
        """A transport to a neighbour by LMTP: master connects, relay has no such sockets."""
        self.submit(["x@near.test", "y@near.test"], mail("near"))
        got, = self.wait_for(self.servers["near"], "near")
        equal((got.recipients, got.session.lines[0][:4]), (["x@near.test", "y@near.test"], "LHLO"), "by LMTP")


def smarthost():
    """Another Posthorn brings it on, after a log-in; with a wrong password the mail waits."""
    with e2e.Instance() as other:
        for password, arrives in ((e2e.PASSWORD, True), ("wrong", False)):
            path = os.path.join(other.directory, "password-" + password)
            with open(path, "w", encoding="utf-8") as file:
                file.write(password + "\n")
            os.chmod(path, 0o644)
            settings = [f"smarthost=127.0.0.1:{other.port('submission')}", f"smarthost_user=user0@{e2e.DOMAIN}", f"smarthost_password_file={path}",
                        "smarthost_tls=must", "retry_first_seconds=600"]
            with e2e.Instance(*(word for s in settings for word in ("--set", s))) as instance:
                tests = Tests(instance, {})
                name = tests.submit(["nobody@elsewhere.test"], mail("smart"))
                until(lambda t=tests, n=name: t.attempts(n), "an attempt")
                line = tests.attempts(name)[0]
                check(("outcome=relayed" in line or "outcome=delivered" in line) == arrives and "TLSv1.3" in line, line)
                equal("logged-in host=127.0.0.1 mechanism=SCRAM-SHA-256-PLUS tls=TLSv1.3" in instance.log(), arrives, "bound to the channel")


def main():
    servers = {"good": Sink("127.66.0.1", 0)}
    servers["good"].__enter__()
    port = servers["good"].port
    servers["mixed"] = Sink("127.66.0.2", port, {"RCPT": lambda session, line: "550 5.1.1 no such user" if "bad@" in line else "250 2.1.5 ok"})
    servers["later"] = Sink("127.66.0.3", port, {"MAIL": "451 4.3.0 not now"})
    servers["slow"] = Sink("127.66.0.4", port, {"CONNECT": SILENT})
    for name in ("mixed", "later", "slow"):
        servers[name].__enter__()
    with dns_server.DnsServer(ZONE) as dns, tempfile.TemporaryDirectory(prefix="posthorn-relay-") as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "lmtp.sock")
        servers["near"] = Sink(path, 0, lmtp=True)
        servers["near"].__enter__()
        os.chmod(path, 0o777)
        settings = [f"relay_port={port}", f"transport=near.test=lmtp:unix:{path}", "relay_timeout_percent=5", "sender_checks="]
        with e2e.Instance("--dns", dns.address, *(word for s in settings for word in ("--set", s))) as instance:
            tests = Tests(instance, servers)
            names = ("delivered", "local_and_remote", "next_host", "bounced", "deferred_and_retried", "slow_delays_nobody", "killed_relay",
                     "killed_queue", "unix_socket")
            e2e.run([(name.replace("_", " "), getattr(tests, name)) for name in names] + [("another Posthorn as smarthost", smarthost)])


if __name__ == "__main__":
    main()
