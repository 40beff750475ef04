#!/usr/bin/env python3
"""DKIM keys and signatures, verified by Debian's python3-dkim, and DMARC aggregate reports to others."""
import email
import email.policy
import gzip
import json
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import dmarc_report
import dns_server
import e2e
from e2e import check, equal

HOST = f"mail.{e2e.DOMAIN}"
NAMESPACE = dmarc_report.NAMESPACE
REPORTED, CALM, UNWANTED = "user77", "user78", "user79"
ZONE = f"""
told.test TXT "v=spf1 ip4:127.0.0.0/8 ip6:::1 -all"
_dmarc.told.test TXT "v=DMARC1; p=reject; sp=quarantine; rua=mailto:{REPORTED}@{e2e.DOMAIN}!10m"
told.test._report._dmarc.{e2e.DOMAIN} TXT "v=DMARC1"
_dmarc.calm.told.test TXT "v=DMARC1; p=none; t=y; aspf=s; fo=1:s; ruf=mailto:x@calm.told.test; rua=mailto:{CALM}@{e2e.DOMAIN}"
calm.told.test TXT "v=spf1 ip4:127.0.0.0/8 ip6:::1 -all"
calm.told.test._report._dmarc.{e2e.DOMAIN} TXT "v=DMARC1"
_dmarc.untold.test TXT "v=DMARC1; p=none; rua=mailto:{UNWANTED}@{e2e.DOMAIN}"
"""

# Runs under the system's Python, which has python3-dkim: [mail, {name: record}] → what each signature is worth.
VERIFY = r"""
import base64, dkim, json, sys
mail, records = json.load(sys.stdin)
mail = base64.b64decode(mail)
def answer(name, timeout=5):
    record = records.get(name.decode().rstrip("."))
    return record.encode() if record else None
count = mail.split(b"\r\n\r\n")[0].lower().count(b"dkim-signature:")
out = []
for i in range(count):
    try:
        out.append(dkim.DKIM(mail).verify(idx=i, dnsfunc=answer))
    except dkim.DKIMException as reason:
        out.append(str(reason))
json.dump(out, sys.stdout)
"""
SYSTEM_PYTHON = "/usr/bin/python3"


def verify(mail, records):
    import base64
    if subprocess.run([SYSTEM_PYTHON, "-c", "import dkim, nacl"], stderr=subprocess.DEVNULL, check=False).returncode:
        e2e.skip("python3-dkim and python3-nacl are not installed")
    question = json.dumps([base64.b64encode(mail).decode(), records])
    return json.loads(subprocess.run([SYSTEM_PYTHON, "-c", VERIFY], input=question, check=True, text=True, stdout=subprocess.PIPE).stdout)


def as_signed(mail):
    """What was signed: without the lines that delivery put before it."""
    return re.sub(rb"\AReturn-Path: [^\r]*\r\nDelivered-To: [^\r]*\r\n", b"", mail)


class Tests:
    def __init__(self, instance):
        self.instance = instance

    def ctl(self, *words, status=0):
        answer = self.instance.ctl("--json", *words, check=False)
        equal(answer.returncode, status, f"{words}: {answer.stderr}")
        return json.loads(answer.stdout) if answer.stdout.strip() else []

    def records(self):
        return {row["name"]: row["record"] for row in self.ctl("dkim", "record", e2e.DOMAIN)}

    def states(self):
        return {row["selector"]: row["state"] for row in self.ctl("dkim", "list", e2e.DOMAIN)}

    def submit(self, mail, sender=None):
        """The mail as it lies in the account of its recipient."""
        sender = sender or self.instance.fresh_user()
        recipient = self.instance.fresh_user()
        with self.instance.smtp("submission", user=sender) as client:
            client.envelope(sender, [recipient])
            replies = client.data(mail.replace(b"SENDER", sender.encode()), 1)
        check(replies[0].startswith("250"), replies[0])
        self.instance.wait_delivered(replies[0])
        return as_signed(self.instance.mails(recipient)[0])

    # ---- keys ----

    def no_key(self):
        equal(self.ctl("dkim", "list"), [], "keys at first")
        equal(self.ctl("dkim", "record", e2e.DOMAIN), [], "records at first")
        check(b"DKIM-Signature" not in self.submit(b"From: SENDER\r\n\r\nhello\r\n"), "signed without a key")

    def make(self):
        rows = self.ctl("dkim", "make", e2e.DOMAIN)
        equal(sorted(row["algorithm"] for row in rows), ["ed25519", "rsa"], "algorithms")
        for row in rows:
            equal(row["state"], "active", "state of the first keys")
            equal(row["name"], f"{row['selector']}._domainkey.{e2e.DOMAIN}", "name")
            check(row["record"].startswith(f"v=DKIM1; k={row['algorithm']}; p="), row["record"])
            strings = re.fullmatch(re.escape(row["name"]) + r"\. \d+ IN TXT((?: \"[^\"]{1,255}\")+)", row["zone"])
            check(strings, row["zone"])
            equal("".join(re.findall(r'"([^"]*)"', strings[1])), row["record"], "the zone's strings")
        equal(self.records(), {row["name"]: row["record"] for row in rows}, "records")

    def key_files(self):
        top = os.path.join(self.instance.directory, "data", "spool", "dkim")
        files = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
        equal(len(files), 2, f"key files: {files}")
        for path in [top, *files, *(os.path.dirname(f) for f in files)]:
            equal(os.stat(path).st_mode & 0o077, 0, f"others' rights to {path}")

    def refusals(self):
        self.ctl("dkim", "make", "elsewhere.test", status=3)
        self.ctl("dkim", "make", "../../x", status=2)
        self.ctl("dkim", "make", e2e.DOMAIN, "Bad/Selector", "rsa", status=2)
        self.ctl("dkim", "make", e2e.DOMAIN, "x", "dsa", status=2)
        self.ctl("dkim", "make", e2e.DOMAIN, next(iter(self.states())), "rsa", status=6)
        self.ctl("dkim", "record", e2e.DOMAIN, "nosuch", status=3)
        self.ctl("dkim", "delete", e2e.DOMAIN, next(iter(self.states())), status=2)

    # ---- signatures ----

    def good(self, mail):
        results = verify(mail, self.records())
        equal(results, [True, True], f"signatures of {e2e.short(mail[:300])}")

    def signed(self):
        for body in (b"hello\r\n", b"", b"\r\n\r\n", b"trailing blanks  \t\r\n\r\nends without", "Grüße\r\n".encode(),
                     b"..dots\r\n.\tdot\r\n" * 50, b"x" * 900 + b"\r\n"):
            mail = self.submit(b"From: Me <SENDER>\r\nTo: a@b.test,\r\n\tc@d.test\r\nSubject:  odd   blanks \r\n\r\n" + body)
            self.good(mail)

    def signed_in_file(self):
        body = b"a  line of text \r\n" * 150_000
        mail = self.submit(b"From: SENDER\r\nSubject: large\r\n\r\n" + body)
        check(mail.endswith(body), "the body of a large mail")
        self.good(mail)

    def tampering(self):
        mail = self.submit(b"From: SENDER\r\nSubject: pay 1\r\n\r\nhello\r\n")
        records = self.records()
        for changed in (mail.replace(b"hello", b"hallo"), mail.replace(b"pay 1", b"pay 9"),
                        mail.replace(b"Subject: pay", b"Subject: other\r\nSubject: pay"), # oversigned, RFC 6376 §8.15
                        mail.replace(b"\r\n\r\nhello", b"\r\nReply-To: evil@evil.test\r\n\r\nhello")):
            check(changed != mail, "nothing was changed")
            check(True not in verify(changed, records), f"still good: {e2e.short(changed[-200:])}")

    def not_ours(self):
        """Mail from strangers is not signed, whatever its author says."""
        recipient = self.instance.fresh_user()
        for service in ("smtp", "lmtp"):
            with self.instance.smtp(service) as client:
                client.envelope("", [recipient])
                replies = client.data(b"From: user0@%s\r\n\r\nhello\r\n" % e2e.DOMAIN.encode(), 1)
            self.instance.wait_delivered(replies[0])
        for mail in self.instance.mails(recipient):
            check(b"DKIM-Signature" not in mail, "a stranger's mail was signed")

    def trusted_network(self):
        """A printer's mail is signed when its author's domain is ours."""
        with e2e.Instance("--set", "trusted_networks=127.0.0.0/8", accounts=("printer%d:2",)) as instance:
            rows = json.loads(instance.ctl("--json", "dkim", "make", e2e.DOMAIN).stdout)
            records = {row["name"]: row["record"] for row in rows}
            recipient = f"printer0@{e2e.DOMAIN}"
            with instance.smtp("submission") as client:
                for author in (f"scan@{e2e.DOMAIN}", "scan@elsewhere.test"):
                    client.envelope(f"printer1@{e2e.DOMAIN}", [recipient])
                    instance.wait_delivered(client.data(f"From: {author}\r\n\r\nhello\r\n".encode(), 1)[0])
            ours, foreign = instance.mails(recipient)
            equal(verify(as_signed(ours), records), [True, True], "a printer's mail")
            check(b"DKIM-Signature" not in foreign, "signed for a domain that is not ours")

    def kill_queue(self):
        e2e.kill(self.instance.pids("queue")[0])
        e2e.until(lambda: self.instance.pids("queue"), "a new queue")
        self.good(self.submit(b"From: SENDER\r\n\r\nafter kill -9\r\n"))

    def rotation(self):
        before = self.states()
        rows = self.ctl("dkim", "rotate", e2e.DOMAIN)
        equal([row["state"] for row in rows], ["new", "new"], "states of new keys")
        mail = self.submit(b"From: SENDER\r\n\r\nhello\r\n")
        check(all(f"s={s};".encode() in mail for s in before), "the old keys sign until their successors are published")
        self.ctl("dkim", "rotate", e2e.DOMAIN)
        states = self.states()
        equal({states[s] for s in before}, {"retired"}, "states of old keys")
        mail = self.submit(b"From: SENDER\r\n\r\nhello\r\n")
        check(not any(f"s={s};".encode() in mail for s in before), "an old key signs")
        self.good(mail)
        for selector in before:
            self.ctl("dkim", "delete", e2e.DOMAIN, selector)
        check(not set(before) & set(self.states()), "deleted keys are listed")

    def one_by_one(self):
        self.ctl("dkim", "make", e2e.DOMAIN, "third", "ed25519")
        equal(self.states()["third"], "new", "state of a later key")
        self.ctl("dkim", "activate", e2e.DOMAIN, "third")
        equal(verify(self.submit(b"From: SENDER\r\n\r\nhello\r\n"), self.records()), [True] * 3, "three signatures")
        self.ctl("dkim", "retire", e2e.DOMAIN, "third")
        self.ctl("dkim", "delete", e2e.DOMAIN, "third")
        self.good(self.submit(b"From: SENDER\r\n\r\nhello\r\n"))

    # ---- DMARC reports ----

    def counted(self):
        return {row["domain"]: row for row in self.ctl("dmarc", "list")}

    def from_stranger(self, sender, author, more=b""):
        with self.instance.smtp("smtp") as client:
            client.envelope(sender, [self.instance.fresh_user()])
            return client.data(b"%sFrom: %s\r\nSubject: <&>\r\n\r\nhello\r\n" % (more, author), 1)[0]

    def counts(self):
        for _ in range(3):
            check(self.from_stranger("a@told.test", b"a@told.test").startswith("250"), "a good mail")
        check(self.from_stranger("b@elsewhere.test", b"a@told.test").startswith("550"), "a forged mail")
        check(self.from_stranger("b@elsewhere.test", b"a@untold.test").startswith("250"), "a mail that is only looked at")
        check(self.from_stranger("b@calm.told.test", b"a@calm.told.test").startswith("250"), "a good mail of a domain without policy")
        long = b"DKIM-Signature: v=1; d=%s;\r\n s=%s; h=from; b=x\r\n" % (b".".join([b"d" * 60] * 4), b".".join([b"s" * 60] * 3))
        check(self.from_stranger("b@calm.told.test", b"a@calm.told.test", long * 10).startswith("250"), "signatures with long names")
        e2e.until(lambda: self.counted().get("told.test", {}).get("messages") == "4", "four messages are counted")
        equal(self.counted()["told.test"]["rows"], "2", "rows")

    def counts_survive(self):
        names = sorted(self.counted())
        state = os.path.join(self.instance.directory, "data", "spool", "state.db-wal")
        e2e.until(lambda: os.path.getsize(state) > 0 and b"untold.test" in open(state, "rb").read(), "the counts are written")
        e2e.kill(self.instance.pids("queue")[0])
        e2e.until(lambda: self.instance.pids("queue"), "a new queue")
        e2e.until(lambda: sorted(self.counted()) == names, "the counts are back")
        equal(self.counted()["told.test"]["messages"], "4", "messages after kill -9")

    def sent(self):
        self.ctl("dmarc", "send")
        e2e.until(lambda: not self.counted(), "all reports are made")
        e2e.until(lambda: self.instance.mails(f"{REPORTED}@{e2e.DOMAIN}"), "the report is delivered")
        mail = self.instance.mails(f"{REPORTED}@{e2e.DOMAIN}")[0]
        equal(self.instance.mails(f"{UNWANTED}@{e2e.DOMAIN}"), [], "mail to who did not consent")
        self.good(as_signed(mail))
        self.look_at_mail(mail)
        e2e.until(lambda: self.instance.mails(f"{CALM}@{e2e.DOMAIN}"), "the other report is delivered")
        root = self.content(self.instance.mails(f"{CALM}@{e2e.DOMAIN}")[0])
        equal(sorted(len(record.findall(f".//{NAMESPACE}selector")) for record in root.findall(NAMESPACE + "record")), [0, 4], "signatures of each row: those of which there is room")
        texts = {e.tag.removeprefix(NAMESPACE): e.text for e in root.iter()}
        equal([texts[name] for name in ("domain", "disposition", "p", "testing", "aspf", "fo")], ["calm.told.test", "none", "none", "y", "s", "1:s"], "what is told")

    def content(self, mail):
        """The report, which has the form that the schema asks for."""
        message = email.message_from_bytes(mail, policy=email.policy.default)
        root = ElementTree.fromstring(gzip.decompress(next(p for p in message.walk() if p.get_content_type() == "application/gzip").get_content()))
        equal(dmarc_report.misfits(root), [], "what the schema forbids")
        check(dmarc_report.misfits(root[1]), "the schema takes anything")
        return root

    def sent_by_itself(self):
        """The report of a day that is over goes out when its time has come; that of today waits."""
        reports = len(self.instance.mails(f"{REPORTED}@{e2e.DOMAIN}"))
        check(self.from_stranger("a@told.test", b"a@told.test").startswith("250"), "a good mail")
        e2e.until(lambda: "told.test" in self.counted(), "it is counted")
        self.instance.count_earlier("dmarc", 2)
        check(self.from_stranger("b@elsewhere.test", b"a@untold.test").startswith("250"), "a mail of today")
        e2e.until(lambda: len(self.instance.mails(f"{REPORTED}@{e2e.DOMAIN}")) == reports + 1, "the report of that day")
        e2e.until(lambda: sorted(self.counted()) == ["untold.test"], "what was sent is forgotten, and today's is kept")

    def passes(self):
        user = self.instance.fresh_user()
        with self.instance.smtp("smtp") as client:
            client.transact("a@told.test", [user], b"From: a@told.test\r\n\r\nhello\r\n")
        e2e.until(lambda: self.instance.mails(user), "a good mail")
        return b"dmarc=pass" in self.instance.mails(user)[0]

    def is_passed_uncounted(self):
        before = self.counted()
        return self.passes() and self.counted() == before

    def switched_off(self):
        """Without dmarc_reports nothing is counted."""
        path = os.path.join(self.instance.directory, "posthorn.conf")
        with open(path, encoding="utf-8") as config:
            text = config.read()
        with open(path, "w", encoding="utf-8") as config:
            config.write(re.sub(r"(?m)^dmarc_reports = \w+$", "dmarc_reports = no", text))
        self.ctl("reload")
        e2e.until(self.is_passed_uncounted, "a mail that would be told of; a program of before the reload may still count one")

    def look_at_mail(self, mail):
        message = email.message_from_bytes(mail, policy=email.policy.default)
        subject = re.fullmatch(r"Report Domain: told\.test Submitter: (\S+) Report-ID: <([\w.-]+@[\w.-]+)>", message["Subject"])
        check(subject and subject[1] == HOST, message["Subject"])
        part = next(p for p in message.walk() if p.get_content_type() == "application/gzip")
        check(re.fullmatch(re.escape(HOST) + r"!told\.test!\d+!\d+\.xml\.gz", part.get_filename()), part.get_filename())
        root = self.content(mail)
        equal(root.tag, NAMESPACE + "feedback", "root")
        equal(root.findtext(f"{NAMESPACE}report_metadata/{NAMESPACE}report_id"), subject[2], "report id")
        published = {e.tag.removeprefix(NAMESPACE): e.text for e in root.find(NAMESPACE + "policy_published")}
        equal((published["domain"], published["p"], published["sp"], published["discovery_method"]),
              ("told.test", "reject", "quarantine", "treewalk"), "policy")
        found = {}
        for record in root.findall(NAMESPACE + "record"):
            texts = {e.tag.removeprefix(NAMESPACE): e.text for e in record.iter() if e.text and e.text.strip()}
            found[texts["disposition"]] = texts
        equal(sorted(found), ["pass", "reject"], "dispositions")
        equal([found[d]["count"] for d in ("pass", "reject")], ["3", "1"], "counts")
        equal((found["pass"]["spf"], found["reject"]["envelope_from"]), ("pass", "elsewhere.test"), "details")
        self.reader(mail, part.get_content())

    def reader(self, mail, packed):
        """posthornctl dmarc show reads the mail, the packed and the plain report alike."""
        path = os.path.join(self.instance.directory, "report")
        rows = []
        for content in (mail, packed, gzip.decompress(packed)):
            with open(path, "wb") as file:
                file.write(content)
            rows.append(self.ctl("dmarc", "show", path))
        check(rows[0] == rows[1] == rows[2], "three forms of a report")
        equal(sorted(row["count"] for row in rows[0]), ["1", "3"], "counts as shown")
        equal({row["domain"] for row in rows[0]}, {"told.test"}, "domain as shown")


def main():
    with dns_server.DnsServer(ZONE) as server, e2e.Instance("--dns", server.address, accounts=("user%d:80",)) as instance:
        tests = Tests(instance)
        e2e.run([("no key", tests.no_key), ("make", tests.make), ("files of keys", tests.key_files), ("refusals", tests.refusals),
                 ("signatures", tests.signed), ("a large mail", tests.signed_in_file), ("tampering", tests.tampering),
                 ("mail from strangers", tests.not_ours), ("a trusted network", tests.trusted_network),
                 ("kill -9 of queue", tests.kill_queue), ("rotation", tests.rotation),
                 ("one key by itself", tests.one_by_one), ("DMARC rows", tests.counts), ("DMARC rows and kill -9", tests.counts_survive),
                 ("DMARC report", tests.sent), ("DMARC report of a day that is over", tests.sent_by_itself),
                 ("DMARC reports switched off", tests.switched_off)])


if __name__ == "__main__":
    main()
