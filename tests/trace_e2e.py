#!/usr/bin/env python3
"""posthornctl trace: the whole way of a mail, whatever became of it."""
import json
import sys

import dns_server
import e2e
from e2e import check, equal, until
from smtp_sink import Sink

ZONE = """
good.test TXT "v=spf1 ip4:127.0.0.0/8 -all"
good.test MX 10 mx.good.test
mx.good.test A 127.68.0.1
_dmarc.good.test TXT "v=DMARC1; p=reject"
bad.test TXT "v=spf1 -all"
_dmarc.bad.test TXT "v=DMARC1; p=reject"
_dmarc.junk.test TXT "v=DMARC1; p=quarantine"
null.test MX 0 .
silent.test MX 10 mx.silent.test
mx.silent.test A 127.68.0.2
"""
SETTINGS = ("retry_first_seconds=1", "retry_max_seconds=1", "queue_lifetime_seconds=2", "relay_ipv6=no")


class Tests:
    def __init__(self, instance):
        self.instance, self.number = instance, 0

    def letter(self, sender):
        """(Message-ID, mail)"""
        self.number += 1
        name = f"<mail{self.number}@id.test>"
        return name, f"From: {sender}\r\nMessage-ID: {name}\r\nSubject: x\r\n\r\nhello\r\n".encode()

    def receive(self, recipient, sender="a@good.test"):
        """Sends a stranger's mail; its Message-ID and the answer."""
        name, mail = self.letter(sender)
        with self.instance.smtp() as client:
            client.envelope(sender, [recipient])
            return name, client.data(mail)[0]

    def submit(self, recipient):
        """Sends a user's mail; its Message-ID, its id in the queue, and the user."""
        user = self.instance.fresh_user()
        name, mail = self.letter(user)
        with self.instance.smtp("submission", user=user) as client:
            return name, e2e.QUEUED.search(client.transact(user, [recipient], mail))[1], user

    def trace(self, name, *wanted):
        """The events, when those that are wanted are among them."""
        events = []

        def has_all():
            result = self.instance.ctl("--json", "trace", name, check=False)
            events[:] = json.loads(result.stdout) if result.returncode == 0 else []
            return set(wanted) <= {event["event"] for event in events}
        try:
            until(has_all, f"{wanted} in the trace of {name}")
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {events}") from None
        return events

    @staticmethod
    def one(events, name, **fields):
        found = [event for event in events if event["event"] == name and all(event.get(key) == value for key, value in fields.items())]
        equal(len(found), 1, f"{name} {fields} in {e2e.short(events)}")
        return found[0]

    def refused(self):
        name, reply = self.receive(self.instance.fresh_user(), "a@bad.test")
        check(reply.startswith("550 5.7.26"), reply)
        events = self.trace(name, "checked", "refused")
        equal(self.one(events, "checked")["dmarc"], "fail", "what the checks found")
        refused = self.one(events, "refused", **{"from": "a@bad.test"})
        check("bad.test" in refused["why"] and refused["peer"] == "127.0.0.1" and refused["helo"] == "client.test", refused)

    def refused_before(self):
        """What was refused at RCPT has no content, and no Message-ID: the log is told of by sender and recipient, which trace says."""
        nobody = f"nobody@{e2e.DOMAIN}"
        with self.instance.smtp() as client:
            client.say("MAIL FROM:<early@good.test>", "250")
            client.say(f"RCPT TO:<{nobody}>", "550")
        lines = lambda: json.loads(self.instance.ctl("--json", "log", f"to={nobody}", check=False).stdout or "[]")
        until(lines, "the log's line")
        line, = lines()
        equal([line[key] for key in ("event", "from", "peer", "why")], ["recipient-refused", "early@good.test", "127.0.0.1", "No such user here"], "the refusal")
        result = self.instance.ctl("--json", "trace", "nothing@like.this", check=False)
        equal((result.returncode, json.loads(result.stdout)), (3, []), "what the log does not know")
        check("posthornctl log to=" in result.stderr, result.stderr)

    def quarantined(self):
        name, reply = self.receive(self.instance.fresh_user(), "a@junk.test")
        check(reply.startswith("250"), reply)
        checked = self.one(self.trace(name, "checked", "delivered"), "checked")
        equal((checked["dmarc"], checked["author"], checked["quarantine"]), ("fail", "junk.test", "1"), "the checks")

    def aliased(self):
        """Whom an alias led to, in this post office and elsewhere."""
        user = self.instance.fresh_user()
        self.instance.ctl("alias", "add", f"list@{e2e.DOMAIN}", user, "b@good.test")
        name, _ = self.receive(f"list@{e2e.DOMAIN}")
        events = self.trace(name, "recipient", "delivered", "attempt")
        account = self.one(events, "recipient", to=user, asked=f"list@{e2e.DOMAIN}")["account"]
        self.one(events, "delivered", account=account)
        self.one(events, "recipient", to="b@good.test", asked=f"list@{e2e.DOMAIN}")
        attempt = self.one(events, "attempt", recipient="b@good.test", outcome="delivered")
        equal((attempt["host"], attempt["address"]), ("mx.good.test", "127.68.0.1"), "the host")
        rewritten = self.one(events, "sender-rewritten", **{"from": "a@good.test"})["to"]
        check(rewritten.startswith("SRS0=") and rewritten.endswith(f"=good.test=a@{e2e.DOMAIN}"), rewritten)

    def bounced(self):
        """The report is a mail of its own, whose way is shown with it."""
        name, _, user = self.submit("b@null.test")
        events = self.trace(name, "attempt", "given-up", "bounced", "delivered")
        equal(self.one(events, "attempt")["status"], "5.1.10", "the attempt")
        report = self.one(events, "bounced", to=user)["report-id"]
        self.one(events, "delivered", **{"queue-id": report})

    def held(self):
        """What the administrator did to it, and that it waits; each attempt once."""
        name, queue_id, _ = self.submit("b@silent.test")
        self.instance.ctl("queue", "hold", queue_id)
        events = self.trace(name, "held", "in-queue")
        check(any(event["event"] == "in-queue" and event.get("state") == "held" for event in events), events)
        attempts = [event["attempt"] for event in events if event["event"] == "in-queue" and "outcome" in event]
        equal(len(attempts), len(set(attempts)), "attempts that are shown twice")
        self.instance.ctl("queue", "release", queue_id)
        self.trace(name, "held", "released")
        self.instance.ctl("queue", "delete", queue_id)
        check("administrator" in self.one(self.trace(name, "given-up"), "given-up")["why"], "who deleted it")

    def expired(self):
        name, _, user = self.submit("b@silent.test")
        events = self.trace(name, "given-up", "bounced", "delivered")
        check(sum(event["event"] == "attempt" and event["outcome"] == "deferred" for event in events) > 1, events)
        self.one(events, "bounced", to=user)


def main():
    with dns_server.DnsServer(ZONE) as server, Sink("127.68.0.1", 0) as good:
        settings = [word for setting in (*SETTINGS, f"relay_port={good.port}") for word in ("--set", setting)]
        with e2e.Instance("--dns", server.address, *settings, accounts=("user%d:10",)) as instance:
            tests = Tests(instance)
            functions = [tests.refused, tests.refused_before, tests.quarantined, tests.aliased, tests.bounced, tests.held, tests.expired]
            e2e.run([(f"trace: {function.__name__}", function) for function in functions if not sys.argv[1:] or function.__name__ in sys.argv[1:]])


if __name__ == "__main__":
    main()
