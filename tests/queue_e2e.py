#!/usr/bin/env python3
"""What queue does with mail for other hosts: tries again, gives up, holds; kill -9 of queue and relay at each step of a delivery."""
import json
import os
import sys

import dns_server
import e2e
from e2e import check, equal, until
from smtp_sink import Sink

ZONE = """
good.test MX 10 mx.good.test
mx.good.test A 127.67.0.1
later.test MX 10 mx.later.test
mx.later.test A 127.67.0.2
dead.test MX 10 mx.dead.test
mx.dead.test A 127.67.0.3
back.test MX 10 mx.back.test
mx.back.test A 127.67.0.4
"""
QUICK = ("retry_first_seconds=1", "retry_max_seconds=4", "delay_warning_seconds=3", "queue_lifetime_seconds=8")
PATIENT = ("retry_first_seconds=100", "retry_max_seconds=300")
SETTINGS = ("relay_timeout_percent=5", "relay_idle_seconds=0", "sender_checks=")
STEPS = ("CONNECT", "MAIL", "RCPT", "DATA", "END", "QUIT")
OFFERS = ("SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES")  # one step at a time: the content goes only after DATA was answered


class Tests:
    def __init__(self, instance, good, later, port):
        self.instance, self.good, self.later, self.port = instance, good, later, port
        self.number = 0

    def submit(self, recipients, user="user0", body="hello\r\n"):
        """Submits a mail with a subject of its own; (queue id, subject)."""
        self.number += 1
        subject = f"mail {self.number}"
        sender = f"{user}@{e2e.DOMAIN}"
        data = f"From: {sender}\r\nTo: x@good.test\r\nSubject: {subject}\r\n\r\n{body}".encode()
        with self.instance.smtp("submission", user=sender) as client:
            return e2e.QUEUED.search(client.transact(sender, recipients, data)).group(1), subject

    def copies(self, server, subject):
        return sum(f"Subject: {subject}\r\n".encode() in mail.data for mail in list(server.mails))

    def wait_for(self, server, subject):
        until(lambda: self.copies(server, subject), f"arrival of {subject}: {self.instance.log()[-2000:]}")

    def queue(self, *words):
        return json.loads(self.instance.ctl("--json", "queue", *words).stdout)

    def listed(self, queue_id):
        return [row for row in self.queue("list") if row["id"] == queue_id]

    def wait_gone(self, queue_id):
        until(lambda: not self.listed(queue_id), f"end of {queue_id}")

    # ---- trying again ----

    def retried(self):
        """Two answers that may pass, and a third that takes it: show tells of all three, and it comes once."""
        self.later.actions["MAIL"] = ["451 4.3.0 not now", "451 4.3.0 nor now", None]
        name, subject = self.submit(["x@later.test"])
        until(lambda: self.listed(name) and int(self.listed(name)[0]["attempts"]) == 2, "the second attempt")
        told = [row for row in self.queue("show", name) if "attempt" in row]
        equal([row["reply"].split(" ", 1)[-1] for row in told], ["not now", "nor now"], "answers")
        check(all(row["host"] == "mx.later.test" and row["address"].startswith("127.67.0.2") and row["code"] == "451" and "tls" in row for row in told), told)
        self.wait_for(self.later, subject)
        self.wait_gone(name)
        equal(self.copies(self.later, subject), 1, "copies")

    def waits_longer_each_time(self):
        """retry_first_seconds, then twice as long each time, up to retry_max_seconds; another life of queue goes on where it was."""
        self.later.actions["MAIL"] = "451 4.3.0 not now"
        name, _ = self.submit(["x@later.test"])
        waits = []
        for attempt in (1, 2, 3, 4):
            until(lambda a=attempt: self.listed(name) and self.listed(name)[0]["attempts"] == str(a), f"attempt {attempt}")
            row = self.queue("show", name)[-1]
            waits.append(int(self.listed(name)[0]["next"]) - int(row["time"]))
            if attempt == 2:
                self.kill("queue")
                until(self.answers, "queue again")
            if attempt < 4:
                self.instance.ctl("queue", "retry", name)
        check(all(wanted - 1 <= wait <= wanted + 1 for wait, wanted in zip(waits, (100, 200, 300, 300))), waits)
        self.instance.ctl("queue", "delete", name)
        del self.later.actions["MAIL"]

    def dead_beside_living(self):
        """Nobody listens there: its mail warns, and goes back; others go at once meanwhile."""
        user = self.instance.fresh_user()
        account = user.split("@")[0]
        name, _ = self.submit(["x@dead.test"], account)
        until(lambda: self.listed(name) and self.listed(name)[0]["state"] == "deferred", "an attempt")
        _, subject = self.submit(["x@good.test"])
        self.wait_for(self.good, subject)
        check(self.listed(name), "the dead one's mail is gone before its time")
        until(lambda: len(self.instance.mails(user)) == 2, "a warning and a report", seconds=60)
        warning, report = self.instance.mails(user)
        check(b"Action: delayed" in warning and b"Action: failed" in report, (warning, report))
        self.wait_gone(name)

    def comes_back(self):
        """A host that was down begins to listen."""
        name, subject = self.submit(["x@back.test"])
        until(lambda: self.listed(name) and self.listed(name)[0]["state"] == "deferred", "an attempt")
        with Sink("127.67.0.4", self.port) as server:
            self.instance.ctl("queue", "retry", name)
            self.wait_for(server, subject)
            self.wait_gone(name)
            equal(self.copies(server, subject), 1, "copies")

    # ---- the administrator ----

    def held_released_deleted(self):
        self.instance.ctl("queue", "hold")
        name, subject = self.submit(["x@good.test"])
        gone, gone_subject = self.submit(["x@good.test"])
        self.instance.ctl("queue", "hold", name)
        self.instance.ctl("queue", "delete", gone)
        self.instance.ctl("queue", "release")
        _, other = self.submit(["x@good.test"])
        self.wait_for(self.good, other)
        equal(self.listed(name)[0]["state"], "held", "state")
        self.kill("queue")
        until(self.answers, "queue again")
        equal(self.listed(name)[0]["state"], "held", "state after a kill")
        self.instance.ctl("queue", "release", name)
        self.wait_for(self.good, subject)
        equal(self.copies(self.good, gone_subject), 0, "copies of what was deleted")

    def by_domain_and_sender(self):
        """One command for all that waits for a domain, or is from a sender; a mail's other recipients stay."""
        self.instance.ctl("queue", "hold")
        names = [self.submit(recipients, account)[0] for recipients, account in
                 ((["x@good.test", "y@dead.test"], "user0"), (["x@dead.test"], "user0"), (["x@good.test"], "user1"))]
        both, dead, other = names
        self.instance.ctl("queue", "hold", "--domain", "GOOD.test")
        self.instance.ctl("queue", "release")
        equal([{row["state"] for row in self.listed(name)} == {"held"} for name in names], [True, False, True], "held")
        self.instance.ctl("queue", "delete", "--domain", "dead.test")
        self.wait_gone(dead)
        equal([row["recipient"] for row in self.listed(both)], ["x@good.test"], "who is left")
        self.instance.ctl("queue", "delete", "--sender", f"user1@{e2e.DOMAIN}")
        self.wait_gone(other)
        self.instance.ctl("queue", "release", "--sender", f"USER0@{e2e.DOMAIN}")
        self.wait_gone(both)
        check(self.instance.ctl("queue", "retry", "--domain", "good.test", check=False).returncode != 0, "nothing is there")

    def damage(self, name, what):
        """Other octets in the place of these in a file of the spool; a number is a place."""
        path = os.path.join(self.instance.directory, "data", "spool", name)
        with open(path, "r+b") as file:
            data = file.read()
            at = what if isinstance(what, int) else data.index(what)
            file.seek(at)
            file.write(bytes(octet ^ 1 for octet in data[at:at + 4]))

    def damaged_is_set_aside(self):
        """Whatever is damaged of a message's files: it is never sent so, the log tells of it, the sender where the envelope is whole, and all others go.
        The journal may still have what the start of a file does not tell any more."""
        user = self.instance.fresh_user().split("@")[0]
        self.instance.ctl("queue", "hold")
        mails = [self.submit(["x@good.test"], user, body=body) for body in ("header\r\n", "envelope\r\n", "the body\r\n", "large\r\n" * 200000, "whole\r\n")]
        names = [name for name, _ in mails]
        for name in names:
            self.instance.ctl("queue", "hold", name)
        self.instance.ctl("queue", "release")
        until(lambda: all(row["place"] == "file" for row in self.queue("list")), "files of their own")
        for name, what in ((names[0], 64), (names[1], b"x@good.test"), (names[2], b"the body"), (names[3] + ".body", 1000000)):
            self.damage(name, what)
        self.kill("queue")
        until(self.answers, "queue again")
        for name in names[2:]:
            self.instance.ctl("queue", "release", name)
        self.wait_for(self.good, mails[4][1])
        for name, subject in mails[:4]:
            until(lambda n=name: any("error message-unreadable" in line and n in line for line in self.instance.log().splitlines()), f"an alarm of {name}")
            until(lambda n=name: os.path.exists(os.path.join(self.instance.directory, "data", "spool", "damaged-" + n)), f"{name} is kept")
            equal(self.copies(self.good, subject), 0, f"copies of {name}")
        check(os.path.exists(os.path.join(self.instance.directory, "data", "spool", f"damaged-{names[3]}.body")), "the large body is not kept")
        until(lambda: not any(self.listed(name) for name in names[2:]), "nothing is listed any more")
        until(lambda: len(self.instance.mails(f"{user}@{e2e.DOMAIN}")) == 2, "reports of those whose envelope is whole")
        reports = {name: next((mail for mail in self.instance.mails(f"{user}@{e2e.DOMAIN}") if name.encode() in mail), b"") for name in names[2:4]}
        for name, report in reports.items():
            check(b"Action: failed" in report and b"Status: 5.3.0" in report and b"Final-Recipient: rfc822;x@good.test" in report, (name, report))
        check(f"Subject: {mails[3][1]}".encode() in reports[names[3]], "the header of the large one is returned")
        for name in names[:2]:
            self.instance.ctl("queue", "delete", name, check=False)

    # ---- kill -9 ----

    def answers(self):
        return self.instance.ctl("queue", "list", check=False).returncode == 0

    def kill(self, *programs):
        for program in programs:
            for pid in self.instance.pids(program):
                e2e.kill(pid)

    def killed_at(self, step, programs):
        killed = []

        def kill_now(_session, _line):
            if not killed:
                killed.append(step)
                self.kill(*programs)

        self.good.actions[step] = kill_now
        try:
            name, subject = self.submit(["x@good.test"])
            self.wait_for(self.good, subject)
            until(lambda: killed, f"the kill at {step}")
            until(self.answers, "queue again")
            self.wait_gone(name)
        finally:
            self.good.actions.pop(step, None)
        _, after = self.submit(["x@good.test"])
        self.wait_for(self.good, after)
        return self.copies(self.good, subject)

    def held_meanwhile(self, recipients):
        """Submits a mail that goes only when the client has its answer."""
        self.instance.ctl("queue", "hold")
        name, subject = self.submit(recipients)
        self.instance.ctl("queue", "release")
        return name, subject

    def two_destinations(self, step, kill, revive):
        """Copies at each of two hosts of one mail, when kill is called at this step of one of them."""
        killed = []

        def kill_now(_session, _line):
            if not killed:
                killed.append(step)
                kill()
        self.good.actions[step] = kill_now
        try:
            name, subject = self.held_meanwhile(["x@good.test", "x@later.test"])
            until(lambda: killed, f"the kill at {step}")
            revive()
            for server in (self.good, self.later):
                self.wait_for(server, subject)
            until(self.answers, "queue again")
            self.wait_gone(name)
        finally:
            self.good.actions.pop(step, None)
        return self.copies(self.good, subject), self.copies(self.later, subject)

    def killed_with_two(self, *programs, steps=STEPS):
        return {step: self.two_destinations(step, lambda: self.kill(*programs), lambda: None) for step in steps}

    def resolver_killed(self):
        """It has no part in what is under way: everything comes once."""
        equal(self.killed_with_two("resolver"), {step: (1, 1) for step in STEPS}, "copies")

    def relay_killed_with_two(self):
        """Each of two hosts gets it a second time only when its own answer to the content was lost."""
        for step, (good, later) in self.killed_with_two("relay", steps=STEPS if e2e.LONG else ("RCPT", "END")).items():
            check(good == 1 or (good == 2 and step == "END"), f"{good} copies where relay was killed at {step}")
            check(later in (1, 2), f"{later} copies at the other host, killed at {step}")

    def master_killed(self):
        """All end with it. What the next one finds goes on; twice only what had no answer that relay could tell of."""
        for step in STEPS if e2e.LONG else ("RCPT", "END"):
            good, later = self.two_destinations(step, self.kill_master, self.start_again)
            check(good == 1 or (good == 2 and step in ("END", "QUIT")), f"{good} copies where it was killed at {step}")
            check(later <= 2, f"{later} copies at the other host, killed at {step}")

    def kill_master(self):
        """What relay had sent ahead is not to be taken while it is still about to end."""
        relays = self.instance.pids("relay")
        e2e.kill(self.instance.master())
        until(lambda: not any(e2e.is_alive(pid) for pid in relays), "the end of relay")

    def start_again(self):
        until(lambda: not e2e.session_members(self.instance.master()), "the end of all programs")
        self.instance.start()

    def queue_killed(self):
        """relay goes on, and tells the next queue: never twice, at neither of two hosts."""
        equal(self.killed_with_two("queue"), {step: (1, 1) for step in STEPS}, "copies")

    def relay_killed(self):
        """Twice only where the answer to the content was lost."""
        copies = {step: self.killed_at(step, ["relay"]) for step in STEPS}
        check(all(n == 1 or (n == 2 and step == "END") for step, n in copies.items()), copies)

    def both_killed(self):
        copies = {step: self.killed_at(step, ["queue", "relay"]) for step in STEPS}
        check(all(n == 1 or (n == 2 and step in ("END", "QUIT")) for step, n in copies.items()), copies)


def main():
    names = ("retried", "dead_beside_living", "comes_back", "held_released_deleted", "by_domain_and_sender", "damaged_is_set_aside", "queue_killed", "relay_killed",
             "both_killed", "relay_killed_with_two", "resolver_killed", "master_killed")
    with Sink("127.67.0.1", 0, offers=OFFERS) as good, Sink("127.67.0.2", good.port) as later, dns_server.DnsServer(ZONE) as dns:
        def instance(*settings):
            return e2e.Instance("--dns", dns.address, *(word for s in (f"relay_port={good.port}", *SETTINGS, *settings) for word in ("--set", s)))

        def waits_longer_each_time():
            with instance(*PATIENT) as patient:
                Tests(patient, good, later, good.port).waits_longer_each_time()

        with instance(*QUICK) as quick:
            tests = Tests(quick, good, later, good.port)
            chosen = [(name, getattr(tests, name)) for name in names] + [("waits_longer_each_time", waits_longer_each_time)]
            wanted = sys.argv[1:]
            e2e.run([(name.replace("_", " "), test) for name, test in chosen if not wanted or any(w in name for w in wanted)])


if __name__ == "__main__":
    main()
