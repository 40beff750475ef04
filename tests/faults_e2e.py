#!/usr/bin/env python3
"""Servers that break off, refuse, lie and talk for ever, and a DNS that says odd things: what becomes of the mail of a user of a whole post office
(tried again, sent back, with which code), what `posthornctl queue show` says of it, and that all others get theirs meanwhile."""
import functools
import json
import os
import re
import tempfile

import dns_server
import e2e
from e2e import check, equal, until
from relay.relay_certificates import Authority
from smtp_sink import CLOSE, DRIP, ENDLESS, SILENT, Gone, Sink

PLAIN = ("PIPELINING", "ENHANCEDSTATUSCODES")
STEP_BY_STEP = ("ENHANCEDSTATUSCODES",)
GOOD, SHOWN_MAX = "127.69.0.1", 8
SETTINGS = ("relay_timeout_percent=1", "relay_ipv6=no", "retry_first_seconds=3600", "retry_max_seconds=3600", "sender_checks=")


def in_the_data(session, _line):
    session.send(b"354 go ahead\r\n")
    session.receive()
    raise Gone


def flood(session, _line):
    """Answers to what nobody asked."""
    while not session.sink.stopping.is_set():
        session.send(b"450 4.7.0 later\r\n" * 1000)
    raise Gone


def lines(count):
    return "\r\n".join(["250-x"] * (count - 1) + ["250 x"])


# what it does: (actions, offers, the name in its certificate or None, outcome, status, a part of the reply)
FAULTS = {}
for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END"):
    FAULTS[f"closes at {step}"] = ({step: CLOSE}, STEP_BY_STEP, None, "deferred", "4.4.2", "")
FAULTS |= {
    "closes in the data": ({"DATA": in_the_data}, STEP_BY_STEP, None, "deferred", "4.4.2", ""),
    "closes at STARTTLS": ({"STARTTLS": CLOSE}, PLAIN, "own", "delivered", "2.0.0", ""),
    "closes in the handshake": ({"TLS": CLOSE}, PLAIN, "own", "delivered", "2.0.0", ""),
    "is silent in the handshake": ({"TLS": SILENT}, PLAIN, "own", "delivered", "2.0.0", ""),
    "refuses STARTTLS for now": ({"STARTTLS": "454 4.7.0 not now"}, PLAIN, "own", "delivered", "2.0.0", ""),
    "refuses STARTTLS": ({"STARTTLS": "554 5.7.0 never"}, PLAIN, "own", "delivered", "2.0.0", ""),
    "has another's certificate": ({}, PLAIN, "other.test", "delivered", "2.0.0", ""),
    "injects before TLS": ({"STARTTLS": "220 2.0.0 go ahead\r\n250 2.0.0 injected"}, PLAIN, "own", "deferred", "4.7.0", "between STARTTLS and TLS"),
    "greets with 421": ({"CONNECT": "421 4.3.2 busy"}, PLAIN, None, "deferred", "4.3.2", "busy"),
    "greets with 450": ({"CONNECT": "450 4.3.2 busy"}, PLAIN, None, "deferred", "4.3.2", "busy"),
    "greets with 554": ({"CONNECT": "554 5.7.1 go away"}, PLAIN, None, "failed", "5.7.1", "go away"),
    "EHLO 421": ({"EHLO": "421 4.3.2 busy"}, PLAIN, None, "deferred", "4.3.2", "busy"),
    "EHLO 450": ({"EHLO": "450 4.7.1 who are you"}, PLAIN, None, "deferred", "4.7.1", "who"),
    "EHLO 502": ({"EHLO": "502 5.5.1 what"}, PLAIN, None, "delivered", "2.0.0", ""),
    "EHLO 554": ({"EHLO": "554 5.7.1 go away"}, PLAIN, None, "delivered", "2.0.0", ""),  # by HELO
    "MAIL 451": ({"MAIL": "451 4.3.0 not now"}, PLAIN, None, "deferred", "4.3.0", "not now"),
    "MAIL 553": ({"MAIL": "553 5.1.8 no such sender"}, PLAIN, None, "failed", "5.1.8", "no such sender"),
    "RCPT 450": ({"RCPT": "450 4.2.1 greylisted"}, PLAIN, None, "deferred", "4.2.1", "greylisted"),
    "RCPT 550": ({"RCPT": "550 5.1.1 unknown"}, PLAIN, None, "failed", "5.1.1", "unknown"),
    "RCPT 251": ({"RCPT": "251 2.1.5 will forward"}, PLAIN, None, "delivered", "2.0.0", ""),
    "DATA 451": ({"DATA": "451 4.3.0 no disk"}, PLAIN, None, "deferred", "4.3.0", "no disk"),
    "DATA 554": ({"DATA": "554 5.6.0 no"}, PLAIN, None, "failed", "5.6.0", "no"),
    "DATA 250": ({"DATA": "250 2.0.0 ok"}, STEP_BY_STEP, None, "deferred", "4.5.0", ""),
    "END 452": ({"END": "452 4.3.1 full"}, PLAIN, None, "deferred", "4.3.1", "full"),
    "END 554": ({"END": "554 5.7.1 spam"}, PLAIN, None, "failed", "5.7.1", "spam"),
    "END 354": ({"END": "354 more"}, PLAIN, None, "deferred", "4.5.0", ""),
    "without enhanced codes 450": ({"MAIL": "450 busy"}, ("PIPELINING",), None, "deferred", "4.0.0", "busy"),
    "without enhanced codes 550": ({"RCPT": "550 nobody"}, ("PIPELINING",), None, "failed", "5.", "nobody"),
    "a greeting without end": ({"CONNECT": ENDLESS}, PLAIN, None, "deferred", "4.", ""),
    "EHLO without end": ({"EHLO": ENDLESS}, PLAIN, None, "deferred", "4.", ""),
    "an answer to the content without end": ({"END": ENDLESS}, PLAIN, None, "deferred", "4.", ""),
    "a flood of 450": ({"CONNECT": flood}, PLAIN, None, "deferred", "4.", ""),
    "a flood of 450 at MAIL": ({"MAIL": flood}, PLAIN, None, "deferred", "4.", ""),
    "100 lines": ({"EHLO": lines(100)}, PLAIN, None, "delivered", "2.0.0", ""),
    "101 lines": ({"EHLO": lines(101)}, PLAIN, None, "deferred", "4.", ""),
    "a long line": ({"EHLO": "250 " + "x" * 5000}, PLAIN, None, "deferred", "4.5.0", ""),
    "an endless line": ({"EHLO": "250 " + "x" * 5000000}, PLAIN, None, "deferred", "4.", ""),
    "rubbish": ({"CONNECT": "HTTP/1.1 400 Bad Request"}, PLAIN, None, "deferred", "4.", ""),
    "another code in the last line": ({"MAIL": "250-2.1.0 a\r\n550 5.1.0 b"}, PLAIN, None, "failed", "5.1.0", "b"),
    "another code in a line before": ({"END": "251-2.0.0 a\r\n250 2.0.0 b"}, PLAIN, None, "delivered", "2.0.0", ""),
    "a code of 999": ({"MAIL": "999 what"}, PLAIN, None, "deferred", "4.", ""),
    "NUL in a reply": ({"RCPT": "550 5.1.1 a\0b"}, PLAIN, None, "deferred", "4.5.0", ""),
    "8 bit and ESC in a reply": ({"RCPT": "550 5.1.1 na\u00efve \x1b[2J \u202e"}, PLAIN, None, "failed", "5.1.1", "ve"),
    "a byte at a time": ({"CONNECT": DRIP}, PLAIN, None, "deferred", "4.4.2", ""),
    "silent at the greeting": ({"CONNECT": SILENT}, PLAIN, None, "deferred", "4.4.2", ""),
    "silent at the final dot": ({"END": SILENT}, PLAIN, None, "deferred", "4.4.2", ""),
    "SIZE 10": ({}, ("SIZE 10",), None, "failed", "5.3.4", ""),
}

DNS = {
    # destination: (zone, outcome, status)
    "cname.loop.test": ("cname.loop.test CNAME two.loop.test\ntwo.loop.test CNAME cname.loop.test", "deferred", "4.4.3"),
    "mxloop.test": ("mxloop.test MX 10 a.mxloop.test\na.mxloop.test CNAME b.mxloop.test\nb.mxloop.test CNAME a.mxloop.test", "deferred", "4.4.3"),
    "mxfail.test": ("mxfail.test FAIL", "deferred", "4.4.3"),
    "afail.test": ("afail.test MX 10 mx.afail.test\nmx.afail.test FAIL", "deferred", "4.4.3"),
    "gone.test": ("", "failed", "5.1.2"),
    "nohost.test": ("nohost.test MX 10 mx.nohost.test", "failed", "5.4.4"),
    "literal.test": ("literal.test MX 10 127.69.0.1", "failed", "5.4.4"),
    "zero.test": ("zero.test MX 10 mx.zero.test\nmx.zero.test A 0.0.0.0", "failed", "5.4.4"),
    "multicast.test": ("multicast.test MX 10 mx.multicast.test\nmx.multicast.test A 224.0.0.1", "failed", "5.4.4"),
    "broadcast.test": ("broadcast.test MX 10 mx.broadcast.test\nmx.broadcast.test A 255.255.255.255", "failed", "5.4.4"),
    "null2.test": ("null2.test MX 0 .\nnull2.test MX 10 .", "failed", "5.4.4"),
    "nullgood.test": ("nullgood.test MX 0 .\nnullgood.test MX 10 mx.good.test", "delivered", "2.0.0"),
    "many.test": ("\n".join(f"many.test MX 10 m{i}.many.test\nm{i}.many.test A 127.69.0.1" for i in range(1500)), "delivered", "2.0.0"),
    "dead.test": ("\n".join(f"dead.test MX {i} d{i}.dead.test\nd{i}.dead.test A 127.69.{i % 250}.200" for i in range(1500)), "deferred", "4.4.1"),
    "tlsafail.test": ("tlsafail.test MX 10 mx.tlsafail.test\nmx.tlsafail.test A 127.69.0.1\n_PORT._tcp.mx.tlsafail.test FAIL", "delivered", "2.0.0"),
}


class Tests:
    def __init__(self, instance, good):
        self.instance, self.good = instance, good

    def submit(self, destinations, user="user0"):
        """A mail for each, all in one session; their queue ids."""
        sender, names = f"{user}@{e2e.DOMAIN}", []
        with self.instance.smtp("submission", user=sender) as client:
            for destination in destinations:
                mail = f"From: {sender}\r\nTo: x@{destination}\r\nSubject: to {destination}\r\n\r\nhello\r\n".encode()
                names.append(e2e.QUEUED.search(client.transact(sender, [f"x@{destination}"], mail))[1])
        return names

    def attempts(self):
        """Queue id → the first attempt, as the log tells of it."""
        found = {}
        for line in self.instance.log().splitlines():
            if " attempt queue-id=" in line:
                fields = dict(word.split("=", 1) for word in line.split(" ") if "=" in word)
                found.setdefault(fields["queue-id"], {key: value.strip('"').replace("\\x20", " ") for key, value in fields.items()})
        return found

    def wait_attempts(self, names):
        until(lambda: set(names) <= set(self.attempts()), "an attempt of each mail", 90)
        return self.attempts()

    def came(self, destination):
        return any(f"Subject: to {destination}\r\n".encode() in mail.data for mail in list(self.good.mails))


class Round:
    """One mail to each of these destinations, and what became of it."""

    def __init__(self, tests, destinations):
        self.tests, self.destinations = tests, destinations
        self.names = dict(zip(destinations, tests.submit(destinations)))
        tests.submit(["good.test"])
        until(lambda: tests.came("good.test"), "the mail for a server that does as it should")
        self.not_tried = len(set(self.names.values()) - set(tests.attempts()))
        self.attempts = tests.wait_attempts(self.names.values())
        self.reports, self.shown = [], 0
        self.listed = {row["id"]: row for row in json.loads(tests.instance.ctl("--json", "queue", "list").stdout)}

    def is_as(self, destination, outcome, status, text=""):
        name = self.names[destination]
        attempt = self.attempts[name]
        got = attempt["outcome"].replace("relayed", "delivered")
        equal((got, attempt["status"][:len(status)]), (outcome, status), f"{attempt}")
        check(text in attempt["reply"], attempt)
        {"deferred": self.waits, "failed": self.came_back, "delivered": self.is_gone}[outcome](destination, name, attempt)

    def waits(self, destination, name, attempt):
        row = self.listed[name]
        equal((row["state"], row["attempts"], row["recipient"]), ("deferred", "1", f"x@{destination}"), "in the list")
        check(attempt["status"] in row["reason"], row)
        if self.shown == SHOWN_MAX:
            return
        self.shown += 1
        told = [row for row in json.loads(self.tests.instance.ctl("--json", "queue", "show", name).stdout) if "attempt" in row]
        equal([(row["outcome"], row["status"], row["host"]) for row in told], [("deferred", attempt["status"], attempt["host"])], "queue show")

    def came_back(self, destination, name, attempt):
        def find():
            if not self.report(destination):
                self.reports = self.tests.instance.mails(f"user0@{e2e.DOMAIN}")
            return self.report(destination)
        check(name not in self.listed, "it is in the queue still")
        until(find, f"a report of x@{destination}", 10)
        report = find()
        check(f"Status: {attempt['status']}\r\n".encode() in report and b"Action: failed\r\n" in report, report)

    def report(self, destination):
        wanted = re.compile(rf"Final-Recipient: rfc822; ?x@{re.escape(destination)}\r\n".encode())
        return next((report for report in self.reports if wanted.search(report)), None)

    def is_gone(self, _destination, name, _attempt):
        check(name not in self.listed, "it is in the queue still")


def zone_of(port, servers):
    lines = ["good.test MX 10 mx.good.test", f"mx.good.test A {GOOD}"]
    for i, server in enumerate(servers):
        lines += [f"f{i}.test MX 10 mx.f{i}.test", f"mx.f{i}.test A {server.address}"]
    return "\n".join(lines + [zone.replace("PORT", str(port)) for zone, *_ in DNS.values()])


def start_servers(authority, port):
    for i, (actions, offers, name, *_) in enumerate(FAULTS.values()):
        context = authority.context(f"mx.f{i}.test" if name == "own" else name) if name else None
        yield Sink(f"127.69.1.{i + 1}", port, actions, offers=offers, context=context).__enter__()


def main():
    with tempfile.TemporaryDirectory(prefix="posthorn-faults-") as folder, Sink(GOOD, 0) as good:
        os.chmod(folder, 0o755)
        servers = list(start_servers(Authority(folder), good.port))
        with dns_server.DnsServer(zone_of(good.port, servers)) as dns:
            settings = (f"relay_port={good.port}", *SETTINGS)
            with e2e.Instance("--dns", dns.address, *(word for s in settings for word in ("--set", s))) as instance:
                one = Round(Tests(instance, good), [f"f{i}.test" for i in range(len(servers))] + list(DNS))
                tests = [("others go on meanwhile", lambda: check(one.not_tried, "none was under way still"))]
                tests += [(what, functools.partial(one.is_as, f"f{i}.test", *FAULTS[what][3:])) for i, what in enumerate(FAULTS)]
                tests += [(f"DNS: {what}", functools.partial(one.is_as, what, *DNS[what][1:])) for what in DNS]
                e2e.run(tests)
        for server in servers:
            server.__exit__()


if __name__ == "__main__":
    main()
