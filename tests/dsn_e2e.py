#!/usr/bin/env python3
"""What senders are told of their mail (RFC 3461, 3464, 6522, 6533), what they may ask for (RFC 2852, 4865, 8689), how mail is forwarded
(SRS), and how much an account may send."""
import email
import email.policy
import os
import re
import shutil
import sys
import tempfile
import time

import dns_server
import e2e
from e2e import check, equal
from smtp_sink import OFFERS, Sink

HOST = f"mail.{e2e.DOMAIN}"
ZONE = "\n".join(f"{name}.test MX 10 mx.{name}.test\nmx.{name}.test A 127.0.0.{last}" for name, last in
                 (("away", 71), ("plain", 72), ("stranger", 73), ("later", 74), ("timely", 75)))
BODY = b"Subject: the subject\r\nMessage-ID: <original@client.test>\r\n\r\nthe body\r\n"


def refusal(session, line):
    """Who is called no… is refused, with the reason in the name."""
    name = re.search(r"<(.*)@", line)[1]
    return {"no": f"550 5.1.1 no {name} here", "later": "451 4.2.1 later"}.get(name.split("-")[0], "250 2.1.5 ok")


class Report:
    """A multipart/report, taken apart."""

    def __init__(self, data):
        self.data = data
        self.mail = email.message_from_bytes(data, policy=email.policy.SMTP)
        equal(self.mail.get_content_type(), "multipart/report", "type of a report")
        equal(self.mail.get_param("report-type"), "delivery-status", "its report-type")
        check(re.search(rb"^Return-Path: <>\r$", data, re.M), "the null sender")
        check(self.mail["auto-submitted"] == "auto-replied" and self.mail["from"].startswith("Mail Delivery System"), "its header")
        parts = list(self.mail.iter_parts())
        equal(len(parts), 3, "parts of a report")
        self.text, self.status, self.original = parts
        groups = self.raw(self.status).strip().split("\r\n\r\n")
        self.message, *self.recipients = [self.fields(g) for g in groups]

    def raw(self, part):
        """The octets of a part, whatever Python makes of its type."""
        boundary = b"\r\n--" + self.mail.get_boundary().encode()
        index = list(self.mail.iter_parts()).index(part)
        return self.data.split(boundary)[index + 1].partition(b"\r\n\r\n")[2].decode("utf-8")

    @staticmethod
    def fields(text):
        unfolded = re.sub(r"\r\n[ \t]+", " ", text)
        return dict(line.split(": ", 1) for line in unfolded.split("\r\n"))

    def of(self, address):
        found = [r for r in self.recipients if r["Final-Recipient"].endswith(";" + address)]
        equal(len(found), 1, f"{address} in {self.recipients}")
        return found[0]


class Tests:
    def __init__(self, instance, sinks):
        self.instance, self.sinks = instance, sinks

    def submit(self, recipients, mail=BODY, parameters="", user=None, utf8=False):
        """From a user; recipients: addresses, each with parameters of RCPT. Returns the user and the queue id."""
        user = user or self.instance.fresh_user()
        with self.instance.smtp("submissions", user=user) as client:
            client.say(f"MAIL FROM:<{user}> {parameters}{' SMTPUTF8' if utf8 else ''}".rstrip(), "250")
            for recipient in recipients:
                address, _, more = recipient.partition(" ")
                client.say(f"RCPT TO:<{address}> {more}".rstrip().encode() + b"\r\n", "250 2.1.5")
            reply, = client.data(mail)
        check(reply.startswith("250"), reply)
        return user, e2e.QUEUED.search(reply)[1]

    def reports(self, user, count=1):
        e2e.until(lambda: len(self.instance.mails(user)) >= count, f"{count} mails for {user}")
        mails = self.instance.mails(user)
        equal(len(mails), count, f"mails of {user}")
        return [Report(mail) for mail in mails]

    def log_has(self, *parts):
        e2e.until(lambda: any(all(p in line for p in parts) for line in self.instance.log().splitlines()), f"{parts} in the log")

    def settled(self, queue_id):
        """Waits until a mail is no longer in the queue."""
        e2e.until(lambda: queue_id not in self.instance.ctl("queue", "list").stdout, f"the end of {queue_id}")

    # ---- failures ----

    def failed_together(self):
        user, name = self.submit(["no-bob@away.test", "yes@away.test", "no-eve@away.test ORCPT=rfc822;Eve+2Bx@old.test"], parameters="ENVID=QQ+2B3")
        report, = self.reports(user)
        equal(len(report.recipients), 2, "recipients of the report")
        equal(report.mail["subject"], "Undelivered mail", "subject")
        equal(report.mail["in-reply-to"], "<original@client.test>", "reference")
        equal(report.message["Original-Envelope-Id"], "QQ+3", "ENVID")
        equal(report.message["Reporting-MTA"], f"dns; {HOST}", "reporting host")
        check("Arrival-Date" in report.message and report.message["X-Posthorn-Queue-Id"] == name, report.message)
        bob, eve = report.of("no-bob@away.test"), report.of("no-eve@away.test")
        for field, wanted in (("Action", "failed"), ("Status", "5.1.1"), ("Remote-MTA", "dns; mx.away.test"),
                              ("Diagnostic-Code", "smtp; 550 5.1.1 no no-bob here")):
            equal(bob[field], wanted, field)
        check("Original-Recipient" not in bob, bob)
        equal(eve["Original-Recipient"], "rfc822;Eve+x@old.test", "ORCPT")
        check("no no-bob here" in report.text.get_content() and "no-eve@away.test" in report.text.get_content(), "the text")
        self.log_has("bounced", f"queue-id={name}", "recipients=2")

    def what_is_returned(self):
        big = BODY + b"x" * 70 + b"\r\n"
        big += (b"y" * 70 + b"\r\n") * 1000
        for parameters, mail, whole in (("RET=FULL", big, True), ("RET=HDRS", BODY, False), ("", BODY, True), ("", big, False)):
            user, _ = self.submit(["no-bob@away.test"], mail, parameters)
            report, = self.reports(user)
            equal(report.original.get_content_type(), "message/rfc822" if whole else "text/rfc822-headers", f"{parameters}, {len(mail)}")
            text = report.raw(report.original)
            check("Subject: the subject\r\n" in text and ("the body" in text) == whole, text[:1000])
            check(not whole or mail.split(b"\r\n\r\n")[1].decode() in text, "the body is not the one sent")

    def nobody_wants_it(self):
        user, name = self.submit(["no-bob@away.test NOTIFY=NEVER", "no-eve@away.test NOTIFY=DELAY", "yes@away.test NOTIFY=FAILURE"])
        self.settled(name)
        with self.instance.smtp("submissions", user=user) as client:
            reply = client.transact("", ["no-bob@away.test"], BODY)
        self.settled(e2e.QUEUED.search(reply)[1])
        equal(self.instance.mails(user), [], "reports that nobody asked for")
        check(f"bounced queue-id={name}" not in self.instance.log(), "it was bounced")

    def utf8(self):
        user, _ = self.submit(["no-jos\u00e9@away.test ORCPT=utf-8;jos\\x{E9}@old.test"], "Subject: \u00fc\r\n\r\nbody\r\n".encode(), utf8=True)
        report, = self.reports_utf8(user)
        equal(report.status.get_content_type(), "message/global-delivery-status", "type of the status")
        equal(report.original.get_content_type(), "message/global", "type of the original")
        one, = report.recipients
        equal(one["Final-Recipient"], "utf-8;no-jos\u00e9@away.test", "recipient")
        equal(one["Original-Recipient"], "utf-8;jos\u00e9@old.test", "original recipient")

    def reports_utf8(self, user):
        def mails():
            with self.instance.pop3(user, utf8=True) as client:
                return client.all()
        e2e.until(mails, f"a report for {user}")
        return [Report(mail) for mail in mails()]

    # ---- success ----

    def success(self):
        local = self.instance.fresh_user()
        user, _ = self.submit([f"{local} NOTIFY=SUCCESS ORCPT=rfc822;{local}", "yes@plain.test NOTIFY=SUCCESS,FAILURE", "yes@away.test NOTIFY=SUCCESS"])
        e2e.until(lambda: sum(len(Report(m).recipients) for m in self.instance.mails(user)) >= 2, "two successes")
        e2e.until(lambda: any("yes@away.test" in m.recipients for m in self.sinks["away"].mails[-1:]), "the mail to a host with DSN")
        told = {r["Final-Recipient"]: r for m in self.instance.mails(user) for r in Report(m).recipients}
        equal(sorted(told), sorted([f"rfc822;{local}", "rfc822;yes@plain.test"]), "who is told of")
        equal((told[f"rfc822;{local}"]["Action"], told[f"rfc822;{local}"]["Status"][0]), ("delivered", "2"), "local")
        equal(told["rfc822;yes@plain.test"]["Action"], "relayed", "a host without DSN")
        for m in self.instance.mails(user):
            equal(Report(m).original.get_content_type(), "text/rfc822-headers", "of what arrived only the header comes back")

    def passed_on(self):
        self.submit(["yes-asked@away.test NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2Bb@old.test", "yes-plain@away.test"], parameters="RET=HDRS ENVID=id+2B1")
        e2e.until(lambda: any("yes-plain@away.test" in m.recipients for m in self.sinks["away"].mails), "the mail")
        mail, = (m for m in self.sinks["away"].mails if "yes-plain@away.test" in m.recipients)
        check("RET=HDRS" in mail.parameters and "ENVID=id+2B1" in mail.parameters, mail.parameters)
        by_name = dict(zip(mail.recipients, mail.recipient_parameters))
        check("NOTIFY=SUCCESS,DELAY" in by_name["yes-asked@away.test"] and "ORCPT=rfc822;A+2Bb@old.test" in by_name["yes-asked@away.test"], by_name)
        check("NOTIFY" not in by_name["yes-plain@away.test"], by_name)

    def expanded(self):
        members = [self.instance.fresh_user() for _ in range(2)]
        self.instance.ctl("alias", "add", f"team@{e2e.DOMAIN}", *members)
        user, _ = self.submit([f"team@{e2e.DOMAIN} NOTIFY=SUCCESS,FAILURE"])
        report, = self.reports(user)
        one, = report.recipients
        equal((one["Final-Recipient"], one["Action"], one["Status"]), (f"rfc822;team@{e2e.DOMAIN}", "expanded", "2.0.0"), "an alias of several")
        for member in members:
            e2e.until(lambda m=member: len(self.instance.mails(m)) == 1, f"the mail of {member}")
        equal(len(self.instance.mails(user)), 1, "reports: none for the members")

    # ---- time ----

    def delayed(self):
        user, name = self.submit(["later-bob@later.test", "later-eve@later.test NOTIFY=FAILURE", "later-tom@later.test NOTIFY=DELAY"])
        report, = self.reports(user)
        equal(sorted(r["Final-Recipient"] for r in report.recipients), ["rfc822;later-bob@later.test", "rfc822;later-tom@later.test"], "who is late")
        bob = report.of("later-bob@later.test")
        equal((bob["Action"], bob["Status"]), ("delayed", "4.2.1"), "late")
        check("Will-Retry-Until" in bob and "451 4.2.1 later" in bob["Diagnostic-Code"], bob)
        self.instance.ctl("queue", "delete", name)

    def deliver_by(self):
        user, name = self.submit(["later-bob@later.test NOTIFY=FAILURE"], parameters="BY=2;R")
        report, = self.reports(user)
        one, = report.recipients
        equal((one["Action"], one["Status"]), ("failed", "5.4.7"), "too late")
        check("Deliver-By-Date" in report.message, report.message)
        self.settled(name)

    def deliver_by_notified(self):
        """By-mode N: who is late is told of and tried on; a host that knows no times is told to report delays, and its taking it is told of."""
        user, name = self.submit(["later-bob@later.test", "later-eve@later.test NOTIFY=FAILURE"], parameters="BY=1;N")
        report, = self.reports(user)
        one, = report.recipients
        equal((one["Final-Recipient"], one["Action"], one["Status"]), ("rfc822;later-bob@later.test", "delayed", "4.4.7"), "late")
        check(name in self.instance.ctl("queue", "list").stdout, "it is tried on")
        self.instance.ctl("queue", "delete", name)
        user, _ = self.submit(["yes-timed@away.test", "yes-never@away.test NOTIFY=NEVER", "yes-fails@away.test NOTIFY=FAILURE"], parameters="BY=60;N")
        report, = self.reports(user)
        told = {r["Final-Recipient"]: r["Action"] for r in report.recipients}
        equal(told, {"rfc822;yes-timed@away.test": "relayed", "rfc822;yes-fails@away.test": "relayed"}, "who is told of")
        mail, = (m for m in self.sinks["away"].mails if "yes-timed@away.test" in m.recipients)
        equal(mail.recipient_parameters, ["NOTIFY=FAILURE,DELAY", "NOTIFY=NEVER", "NOTIFY=FAILURE,DELAY"], "what the host is asked for")
        user, _ = self.submit(["yes-timed@plain.test", "yes-never@plain.test NOTIFY=NEVER"], parameters="BY=60;N")
        report, = self.reports(user)
        equal([(r["Final-Recipient"], r["Action"]) for r in report.recipients], [("rfc822;yes-timed@plain.test", "relayed")], "a host without DSN, too")
        mail, = (m for m in self.sinks["plain"].mails if "yes-timed@plain.test" in m.recipients)
        equal((mail.recipient_parameters, "BY=" in mail.parameters), (["", ""], False), "which is asked for nothing")

    def deliver_by_traced(self):
        user, _ = self.submit(["yes-traced@timely.test", "yes-quiet@timely.test NOTIFY=NEVER"], parameters="BY=60;RT")
        report, = self.reports(user)
        equal([(r["Final-Recipient"], r["Action"]) for r in report.recipients], [("rfc822;yes-traced@timely.test", "relayed")], "told of")
        mail, = self.sinks["timely"].mails
        check(any(p.startswith("BY=") and p.endswith(";RT") for p in mail.parameters.split()), mail.parameters)
        check("NOTIFY" not in mail.recipient_parameters[0], mail.recipient_parameters)

    def held(self):
        user, friend = self.instance.fresh_user(), self.instance.fresh_user()
        before = time.time()
        self.submit([friend, "no-bob@away.test"], parameters="HOLDFOR=3", user=user)
        equal(self.instance.mails(friend), [], "mail that is held")
        report, = self.reports(user)
        check(time.time() >= before + 2, "it was not held")
        # counted from when queue took it, which may be in the second after
        check(report.message["Future-Release-Request"] in ("for;2", "for;3"), report.message["Future-Release-Request"])
        e2e.until(lambda: len(self.instance.mails(friend)) == 1, "the mail, released")

    def require_tls(self):
        user, _ = self.submit(["yes@plain.test"], parameters="REQUIRETLS RET=FULL")
        report, = self.reports(user)
        one, = report.recipients
        check(one["Action"] == "failed" and one["Status"].startswith("5.7."), one)
        equal(report.original.get_content_type(), "text/rfc822-headers", "RFC 8689 §5: never the whole")

    # ---- forwarding ----

    def alias(self, name, target):
        self.instance.ctl("alias", "add", f"{name}@{e2e.DOMAIN}", target)
        return f"{name}@{e2e.DOMAIN}"

    def from_stranger(self, sender, recipient, beginning="250 2.1.5"):
        with self.instance.smtp("smtp") as client:
            client.say(f"MAIL FROM:<{sender}>", "250")
            client.say(f"RCPT TO:<{recipient}>", beginning)
            if beginning.startswith("250"):
                return client.data(BODY)[0]
        return None

    def forwarded(self):
        away = self.sinks["away"]
        self.from_stranger("friend@stranger.test", self.alias("forward", "yes-forwarded@away.test"))
        e2e.until(lambda: any("yes-forwarded@away.test" in m.recipients for m in away.mails), "the forwarded mail")
        mail, = (m for m in away.mails if "yes-forwarded@away.test" in m.recipients)
        check(re.fullmatch(rf"SRS0=[a-z2-7]{{6}}=[a-z2-7]{{2}}=stranger\.test=friend@{e2e.DOMAIN}", mail.sender), mail.sender)
        return mail.sender

    def comes_back(self):
        sender = self.forwarded_sender
        self.from_stranger("", sender.lower())
        home = self.sinks["stranger"]
        e2e.until(lambda: any("friend@stranger.test" in m.recipients for m in home.mails), "the report, sent back")
        mail, = (m for m in home.mails if "friend@stranger.test" in m.recipients)
        equal(mail.sender, "", "its sender")
        forged = sender.replace("SRS0=", "SRS0=" + ("a" if sender[5] != "a" else "b"), 1)
        for who, recipient in (("", forged[:5] + forged[5] + forged[7:]), ("someone@stranger.test", sender), ("", sender.replace("friend", "other"))):
            self.from_stranger(who, recipient, "550")

    def forwarding(self):
        self.forwarded_sender = self.forwarded()
        self.comes_back()

    def forwarded_in_vain(self):
        """The stranger's own address hears of it, from us."""
        self.from_stranger("sad@stranger.test", self.alias("dead", "no-bob@away.test"))
        home = self.sinks["stranger"]
        e2e.until(lambda: any("sad@stranger.test" in m.recipients for m in home.mails), "the report")
        mail, = (m for m in home.mails if "sad@stranger.test" in m.recipients)
        check(mail.sender == "" and b"Action: failed" in mail.data and b"the body" not in mail.data, mail.data)

    def sent_by_users(self):
        """What our users send keeps its sender, aliases or not."""
        user, _ = self.submit([self.alias("plainly", "yes-plainly@away.test")])
        away = self.sinks["away"]
        e2e.until(lambda: any("yes-plainly@away.test" in m.recipients for m in away.mails), "the mail")
        mail, = (m for m in away.mails if "yes-plainly@away.test" in m.recipients)
        equal(mail.sender, user, "its sender")

    def loop(self):
        received = b"".join(b"Received: from a.test by b.test; Mon, 1 Jan 2024 00:00:00 +0000\r\n" for _ in range(101))
        with self.instance.smtp("smtp") as client:
            client.transact("x@stranger.test", [self.instance.fresh_user()], received + BODY, "554 5.4.6")


def forwarded_before_a_loss(instance, sinks):
    """A report to an address of SRS finds its way with the keys of a backup."""
    tests = Tests(instance, sinks)
    sender = tests.forwarded()
    with tempfile.TemporaryDirectory(prefix="posthorn-dsn-") as folder:
        instance.ctl("backup", "--all", folder)
        instance.stop()
        shutil.rmtree(os.path.join(instance.directory, "data"))
        instance.start()
        tests.from_stranger("", sender, "550")
        instance.ctl("restore", "--all", folder)
    tests.forwarded_sender = sender
    tests.comes_back()
    instance.stop()
    instance.start()
    tests.from_stranger("", sender)


def double_bounces(instance, sinks):
    """A report that its sender does not take: postmaster hears of it, and nothing follows when he does not."""
    tests = Tests(instance, sinks)
    sinks["stranger"].actions["RCPT"] = "550 5.1.1 unknown"
    postmaster = instance.fresh_user()
    instance.ctl("alias", "add", f"postmaster@{e2e.DOMAIN}", postmaster)
    instance.ctl("alias", "add", f"dead@{e2e.DOMAIN}", "no-bob@away.test")
    tests.from_stranger("forged@stranger.test", f"dead@{e2e.DOMAIN}")
    report, = tests.reports(postmaster)
    equal(report.recipients[0]["Final-Recipient"], "rfc822;forged@stranger.test", "whose report it was")


def limits(instance, _):
    """account_messages_per_hour=3, sender_recipients_per_day=5."""
    user, local = instance.fresh_user(), instance.fresh_user()
    with instance.smtp("submissions", user=user) as client:
        for _ in range(2):
            client.transact(user, ["yes@away.test", "yes-two@away.test"], BODY)
        client.say(f"MAIL FROM:<{user}>", "250")
        client.say("RCPT TO:<yes@away.test>", "250")
        client.say("RCPT TO:<yes-two@away.test>", "450 4.7.1")  # the sixth recipient
        client.say(f"RCPT TO:<{local}>", "250")
        check(client.data(BODY)[0].startswith("250"), "the third mail")
        client.say(f"MAIL FROM:<{user}>", "250")
        client.say("RCPT TO:<yes@away.test>", "450 4.7.1")
        client.say(f"RCPT TO:<{local}>", "250")
    e2e.until(lambda: "sends-too-much" in instance.log(), "the alarm")
    instance.stop()
    instance.start()
    with instance.smtp("submissions", user=user) as client:
        client.say(f"MAIL FROM:<{user}>", "250")
        client.say("RCPT TO:<yes@away.test>", "450 4.7.1")
    with instance.smtp("submissions", user=local) as client:
        client.transact(local, ["yes@away.test"], BODY)


USUAL = ("retry_first_seconds=1", "retry_max_seconds=1", "delay_warning_seconds=2", "deliver_by_minimum_seconds=1", "sender_checks=")


def with_world(settings, use):
    """An instance, hosts that it can reach, and the name server that tells of them."""
    with dns_server.DnsServer(ZONE) as server, Sink("127.0.0.71", 0, {"RCPT": refusal}) as away:
        plain = Sink("127.0.0.72", away.port, offers=[o for o in OFFERS if o != "DSN"])
        stranger, later = Sink("127.0.0.73", away.port), Sink("127.0.0.74", away.port, {"RCPT": refusal})
        arguments = [a for s in (f"relay_port={away.port}", *settings) for a in ("--set", s)]
        timely = Sink("127.0.0.75", away.port, offers=(*OFFERS, "DELIVERBY"))
        with plain, stranger, later, timely, e2e.Instance("--dns", server.address, *arguments) as instance:
            use(instance, {"away": away, "plain": plain, "stranger": stranger, "later": later, "timely": timely})


def main():
    tests = [("failures in one report", "failed_together"), ("whole or header", "what_is_returned"), ("nobody wants it", "nobody_wants_it"),
             ("UTF-8", "utf8"), ("success", "success"), ("passed on", "passed_on"), ("expanded", "expanded"), ("delayed", "delayed"),
             ("DELIVERBY", "deliver_by"), ("DELIVERBY: told of", "deliver_by_notified"), ("DELIVERBY: traced", "deliver_by_traced"),
             ("FUTURERELEASE", "held"), ("REQUIRETLS", "require_tls"), ("SRS", "forwarding"),
             ("forwarded in vain", "forwarded_in_vain"), ("users keep their sender", "sent_by_users"), ("loop", "loop")]
    others = [("forwarded before a loss", (), forwarded_before_a_loss), ("double bounces", ("double_bounces=yes",), double_bounces),
              ("sending limits", ("account_messages_per_hour=3", "sender_recipients_per_day=5"), limits)]
    wanted = sys.argv[1:]

    def all_of_them(instance, sinks):
        mine = Tests(instance, sinks)
        chosen = [(name, getattr(mine, method)) for name, method in tests if not wanted or name in wanted]
        chosen += [(name, lambda s=settings, u=use: with_world((*USUAL, *s), u)) for name, settings, use in others if not wanted or name in wanted]
        e2e.run(chosen)
    with_world(USUAL, all_of_them)


if __name__ == "__main__":
    main()
