#!/usr/bin/env python3
"""Mail from strangers: what SPF, DKIM and DMARC find, what is said of it in Authentication-Results, and what is refused."""
import base64
import contextlib
import hashlib
import imaplib
import re
import subprocess
import tempfile

import dns_server
import e2e
from e2e import check, equal

HOST = f"mail.{e2e.DOMAIN}"
ZONE = """
good.test TXT "v=spf1 ip4:127.0.0.0/8 ip6:::1 -all"
_dmarc.good.test TXT "v=DMARC1; p=reject"
bad.test TXT "v=spf1 -all"
bad.test A 192.0.2.1
_dmarc.bad.test TXT "v=DMARC1; p=reject"
lax.test TXT "v=spf1 -all"
_dmarc.lax.test TXT "v=DMARC1; p=none"
junk.test TXT "v=spf1 -all"
_dmarc.junk.test TXT "v=DMARC1; p=quarantine"
nothing.test A 192.0.2.1
sole.test TXT "v=spf1 -all exp=why.sole.test"
why.sole.test TXT "%%{i} is none of %%{d}"
slow.test FAIL
_dmarc.slow.test FAIL
signed.test TXT "v=spf1 -all"
slow._domainkey.signed.test FAIL
half.test TXT "v=spf1 include:slow.test -all"
_dmarc.half.test TXT "v=DMARC1; p=reject"
_dmarc.signed.test TXT "v=DMARC1; p=reject"
%s
"""


def key():
    """An Ed25519 key for d=signed.test, s=k, as openssl makes it, and its record; as s=tested it is marked so."""
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], check=True, stdout=subprocess.PIPE).stdout
    der = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=pem, check=True, stdout=subprocess.PIPE).stdout
    record = f"k=ed25519; p={base64.b64encode(der[-32:]).decode()}"
    return pem, f'k._domainkey.signed.test TXT "v=DKIM1; {record}"\ntested._domainkey.signed.test TXT "v=DKIM1; t=y; {record}"'


class Tests:
    def __init__(self, instance, pem):
        self.instance, self.pem = instance, pem

    def send(self, sender, mail, service="smtp"):
        """The replies to the final dot, and the mail as it lies in the account."""
        user = self.instance.fresh_user()
        with self.instance.smtp(service) as client:
            client.envelope(sender, [user])
            replies = client.data(mail, 1)
        if not replies[0].startswith("250"):
            return replies[0], None
        self.instance.wait_all_delivered({e2e.QUEUED.search(replies[0]).group(1): 1})
        return replies[0], self.instance.mails(user)[0]

    def results(self, sender, mail):
        reply, stored = self.send(sender, mail)
        check(stored, f"refused: {reply}")
        fields = re.findall(rb"^Authentication-Results: (.*?)\r\n(?![ \t])", stored, re.M | re.S)
        equal(len(fields), 1, "Authentication-Results fields")
        text = re.sub(r"\s+", " ", fields[0].decode())
        check(text.startswith(HOST + ";"), text)
        return text, stored

    def passes(self):
        text, _ = self.results("a@good.test", b"From: a@good.test\r\nSubject: x\r\n\r\nhello\r\n")
        for part in ("spf=pass smtp.mailfrom=a@good.test", "dkim=none", "dmarc=pass header.from=good.test"):
            check(part in text, f"{part} is not in {text}")

    def refused(self):
        reply, _ = self.send("a@bad.test", b"From: a@bad.test\r\n\r\nhello\r\n")
        check(reply.startswith("550 5.7.26") and "bad.test" in reply, reply)
        reply, _ = self.send("a@good.test", b"From: a@bad.test\r\n\r\nhello\r\n")
        check(reply.startswith("550 5.7.26"), reply)

    def only_marked(self):
        text, _ = self.results("a@lax.test", b"From: a@lax.test\r\n\r\nhello\r\n")
        check("spf=fail" in text and "dmarc=fail (p=none) header.from=lax.test" in text, text)

    def quarantined(self):
        user = self.instance.fresh_user()
        with self.instance.smtp("smtp") as client:
            client.envelope("a@junk.test", [user])
            reply = client.data(b"From: a@junk.test\r\nSubject: spam\r\n\r\nhello\r\n", 1)[0]
        self.instance.wait_all_delivered({e2e.QUEUED.search(reply).group(1): 1})
        equal(self.instance.mails(user), [], "mails in INBOX")
        client = imaplib.IMAP4("127.0.0.1", self.instance.port("imap"))
        client.login(user, e2e.PASSWORD)
        equal(client.select("Junk"), ("OK", [b"1"]), "mails in Junk")
        check(b"dmarc=fail (p=quarantine)" in client.fetch("1", "(BODY[HEADER])")[1][0][1], "it says why")
        client.delete("Junk")
        client.logout()
        with self.instance.smtp("smtp") as client:
            client.envelope("a@junk.test", [user])
            reply = client.data(b"From: a@junk.test\r\nSubject: spam\r\n\r\nhello\r\n", 1)[0]
        self.instance.wait_all_delivered({e2e.QUEUED.search(reply).group(1): 1})
        equal(len(self.instance.mails(user)), 1, "mails in INBOX of an account without Junk")

    def lands_in_junk(self, sender, mail):
        user = self.instance.fresh_user()
        with self.instance.smtp("smtp") as client:
            client.envelope(sender, [user])
            reply = client.data(mail, 1)[0]
        self.instance.wait_delivered(reply)
        return not self.instance.mails(user)

    def without_policy(self):
        text, _ = self.results("a@nothing.test", b"From: a@nothing.test\r\n\r\nhello\r\n")
        check("spf=none" in text and "dmarc=none" in text, text)

    def silent_dns(self):
        text, _ = self.results("a@slow.test", b"From: a@slow.test\r\n\r\nhello\r\n")
        check("spf=temperror" in text and "dmarc=temperror" in text, text)

    def null_sender(self):
        text, _ = self.results("", b"From: a@lax.test\r\n\r\nhello\r\n")
        check("smtp.helo=" in text, text)

    def several_authors(self):
        reply, _ = self.send("a@good.test", b"From: a@good.test\r\nFrom: b@good.test\r\n\r\nhello\r\n")
        check(reply.startswith("550 5.7.26"), reply)
        reply, _ = self.send("a@good.test", b"From: a@good.test, b@bad.test\r\n\r\nhello\r\n")
        check(reply.startswith("550 5.7.26"), reply)

    def forged_results(self):
        forged = (f"Authentication-Results: {HOST}; dmarc=pass\r\nFrom: a@lax.test\r\nAuthentication-Results:\r\n {HOST.upper()} 1;"
                  f" spf=pass\r\nAuthentication-Results: (x) {HOST}; x=y\r\nAuthentication-Results: other.test; spf=pass\r\n\r\nhello\r\n")
        _, stored = self.send("a@lax.test", forged.encode())
        fields = re.findall(rb"^Authentication-Results:\s*([^;]*);", stored, re.M)
        equal([f.strip() for f in fields], [HOST.encode(), b"other.test"], "Authentication-Results fields")
        check(stored.endswith(b"\r\n\r\nhello\r\n"), "the body is whole")
        check(stored.count(b"From: a@lax.test") == 1, "From is there")

    def forged_by_users(self):
        """What a user sends is no word of ours either; a neighbour by LMTP is one of us."""
        forged = f"Authentication-Results: {HOST}; dmarc=pass\r\nSubject: x\r\n\r\nhello\r\n".encode()
        user, sender = self.instance.fresh_user(), self.instance.fresh_user()
        with self.instance.smtp("submission", user=sender) as client:
            self.instance.wait_delivered(client.transact(sender, [user], b"From: " + sender.encode() + b"\r\n" + forged))
        stored, = self.instance.mails(user)
        check(b"Authentication-Results" not in stored and b"Subject: x" in stored, stored)
        _, stored = self.send("a@good.test", b"From: a@good.test\r\n" + forged, "lmtp")
        check(b"Authentication-Results" in stored, stored)

    def sign(self, body, more="", selector="k"):
        """A relaxed/relaxed signature of From and the body, made by openssl; more: tags."""
        tags = f"v=1; a=ed25519-sha256; c=relaxed/relaxed; d=signed.test; s={selector};{more} h=from; bh={self.body_hash(body)}; b="
        signature = self.signature(f"from:a@signed.test\r\ndkim-signature:{tags}")
        return f"DKIM-Signature: {tags}{signature}\r\nFrom: a@signed.test\r\n".encode()

    @staticmethod
    def body_hash(body):
        """Of the relaxed form."""
        canonical = re.sub(rb"[ \t]+", b" ", body)
        canonical = re.sub(rb" \r\n", b"\r\n", canonical).rstrip(b"\r\n") + b"\r\n"
        return base64.b64encode(hashlib.sha256(canonical).digest()).decode()

    def signature(self, text):
        with tempfile.NamedTemporaryFile() as pem, tempfile.NamedTemporaryFile() as digest:
            pem.write(self.pem)
            pem.flush()
            digest.write(hashlib.sha256(text.encode()).digest())
            digest.flush()
            signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", pem.name, "-rawin", "-in", digest.name],
                                       check=True, stdout=subprocess.PIPE).stdout
        return base64.b64encode(signature).decode()

    def signed_in_part(self):
        """RFC 6376 §3.5 l=: what stands behind was not signed, and that is said; less than that is no pass."""
        header = self.sign(b"hello\r\n", " l=7;") + b"\r\n"
        check("dkim=pass (of a part of the body) header.d=signed.test" in self.results("a@signed.test", header + b"hello\r\nmore\r\n")[0], "more")
        check("dkim=pass header.d=signed.test" in self.results("a@signed.test", header + b"hello\r\n")[0], "no more")
        reply, _ = self.send("a@signed.test", header + b"hell\r\n")
        check(reply.startswith("550 5.7.26"), reply)

    def tested_key(self):
        header = self.sign(b"hello\r\n", selector="tested") + b"\r\n"
        check("dkim=pass (the key is being tested) header.d=signed.test header.s=tested" in self.results("a@signed.test", header + b"hello\r\n")[0], "a key with t=y")

    def unanswered(self):
        """RFC 9989 §5.3.6: what could not be asked for may yet pass, and is not refused."""
        for domain, header, found in (("signed.test", self.sign(b"hello\r\n", selector="slow"), "dkim=temperror"), ("half.test", b"From: a@half.test\r\n", "spf=temperror")):
            text, _ = self.results(f"a@{domain}", header + b"\r\nhello\r\n")
            check(found in text and f"dmarc=temperror (the DNS did not answer) header.from={domain}" in text, text)
        reply, _ = self.send("a@slow.test", self.sign(b"hello\r\n") + b"\r\nother\r\n")
        check(reply.startswith("550 5.7.26"), reply)

    def sealed(self):
        """What is said of ARC: of a chain of one host, of the same with another body, and of a seal alone."""
        body, results = b"hello\r\n", "i=1; lists.test; dkim=pass"
        message = f"i=1; a=ed25519-sha256; c=relaxed/relaxed; d=signed.test; s=k; h=from; bh={self.body_hash(body)}; b="
        message += self.signature(f"from:a@lax.test\r\narc-message-signature:{message}")
        seal = "i=1; a=ed25519-sha256; cv=none; d=signed.test; s=k; b="
        seal += self.signature(f"arc-authentication-results:{results}\r\narc-message-signature:{message}\r\narc-seal:{seal}")
        chain = f"ARC-Seal: {seal}\r\nARC-Message-Signature: {message}\r\nARC-Authentication-Results: {results}\r\nFrom: a@lax.test\r\n\r\n".encode()
        text, stored = self.results("a@lax.test", chain + body)
        check(" arc=pass header.oldest-pass=0" in text and stored.endswith(chain + body), text)
        check(" arc=fail (the body has changed)" in self.results("a@lax.test", chain + b"other\r\n")[0], "another body")
        check(" arc=fail (" in self.results("a@lax.test", f"ARC-Seal: {seal}\r\nFrom: a@lax.test\r\n\r\n".encode())[0], "a seal alone")
        check(" arc=" not in self.results("a@lax.test", b"From: a@lax.test\r\n\r\n")[0], "no chain")

    def authors(self):
        """Nobody, and a group of one domain."""
        check("dmarc=none (no author)" in self.results("a@good.test", b"Subject: x\r\n\r\nhello\r\n")[0], "no From")
        text, _ = self.results("a@lax.test", b"From: we: a@lax.test, b@lax.test;\r\n\r\nhello\r\n")
        check("dmarc=fail (p=none) header.from=lax.test" in text, text)

    def signed(self):
        for size in (10, 100_000, 3_000_000):
            body = (b"a  line of text \r\n" * (size // 18 + 1)) + b"\r\n\r\n"
            header = self.sign(body)
            text, stored = self.results("a@signed.test", header + b"\r\n" + body)
            check("dkim=pass header.d=signed.test header.s=k" in text and "dmarc=pass" in text, text)
            check(stored.endswith(header + b"\r\n" + body), f"octets of a mail of {len(body)}")
            reply, _ = self.send("a@signed.test", header + b"\r\n" + body.replace(b"text", b"test", 1))
            check(reply.startswith("550 5.7.26"), reply)

    def not_strangers(self):
        """LMTP and submission are not looked at."""
        _, stored = self.send("a@bad.test", b"From: a@bad.test\r\n\r\nhello\r\n", "lmtp")
        check(b"Authentication-Results" not in stored, "LMTP was looked at")

    def resolver_dies(self):
        for pid in self.instance.pids("resolver"):
            e2e.kill(pid)
        e2e.until(lambda: self.instance.pids("resolver"), "a new resolver")
        self.passes()


HOSTS = ZONE % "" + """
1.0.0.127.in-addr.arpa PTR client.test
client.test A 127.0.0.1
1.0.0.127.bl.test A 127.0.0.4
1.0.0.127.narrow.test A 127.0.0.4
1.0.0.127.white.test A 127.0.3.1
1.0.0.127.blocked.test A 127.255.255.254
1.0.0.127.parked.test A 192.0.2.9
slow.test FAIL
"""


class Hosts:
    """What is said of the host: its name, lists of bad and good ones; and policies of the administrator's own."""

    def __init__(self, server):
        self.server = server

    @contextlib.contextmanager
    def instance(self, *settings):
        """Loopback is no exempt network here."""
        arguments = [word for setting in ("exempt_networks=", "pregreet_wait_ms=0", *settings) for word in ("--set", setting)]
        with e2e.Instance("--dns", self.server.address, *arguments, accounts=("user%d:12", "postmaster")) as instance:
            yield Tests(instance, None)

    def refusal(self, tests, sender="a@lax.test", user=None):
        """The answer to RCPT."""
        with tests.instance.smtp("smtp") as client:
            client.say(f"MAIL FROM:<{sender}>", "250")
            client.send(f"RCPT TO:<{user or tests.instance.fresh_user()}>")
            return client.expect("")

    def listed(self):
        mail = b"From: a@lax.test\r\n\r\nhello\r\n"
        with self.instance("dnsbl=slow.test,none.test,bl.test") as tests:
            reply = self.refusal(tests)
            check(reply.startswith("550 5.7.1") and "bl.test" in reply and "127.0.0.1" in reply, reply)
            check(self.refusal(tests, user=f"postmaster@{e2e.DOMAIN}").startswith("250"), "postmaster")
        with self.instance("dnsbl=narrow.test=127.0.0.5-9,blocked.test,parked.test") as tests:
            check("x-dnsbl" not in tests.results("a@lax.test", mail)[0], "an answer that does not count")
        with self.instance("dnsbl=narrow.test=127.0.0.2-4", "dnsbl_action=mark") as tests:
            text, _ = tests.results("a@lax.test", mail)
            check("x-dnsbl=fail dns.zone=narrow.test policy.ip=127.0.0.4" in text, text)
        with self.instance("dnsbl=bl.test", "dnsbl_action=junk") as tests:
            check(tests.lands_in_junk("a@lax.test", mail), "the mail is not in Junk")
        with self.instance("dnsbl=bl.test", "dnswl=white.test") as tests:
            text, _ = tests.results("a@lax.test", mail)
            check("dnswl=pass dns.zone=white.test policy.ip=127.0.3.1" in text and "x-dnsbl" not in text, text)
        for lists, threshold, good, is_listed in (("bl.test*2,narrow.test", 3, "none.test", True), ("bl.test*2,none.test*9", 3, "none.test", False),
                                                  ("bl.test*2,narrow.test", 3, "white.test*1", False), ("bl.test*2,narrow.test*2", 3, "white.test*1", True)):
            with self.instance("dnsbl=" + lists, f"dnsbl_threshold={threshold}", "dnswl=" + good) as tests:
                equal(self.refusal(tests).startswith("550"), is_listed, f"{lists} {threshold} {good}")
        with e2e.Instance("--dns", self.server.address, "--set", "dnsbl=bl.test", accounts=("user%d:2",)) as instance:
            check(self.refusal(Tests(instance, None)).startswith("250"), "an exempt network")

    def reverse_name(self):
        mail = b"From: a@lax.test\r\n\r\nhello\r\n"
        for zone, result in ((HOSTS, "pass (client.test)"), ("1.0.0.127.in-addr.arpa PTR other.test\nother.test A 192.0.2.1", "fail"), ("", "permerror"),
                             ("1.0.0.127.in-addr.arpa FAIL", "temperror")):
            with dns_server.DnsServer(ZONE % "" + zone) as server, e2e.Instance("--dns", server.address, accounts=("user%d:2",)) as instance:
                text, _ = Tests(instance, None).results("a@lax.test", mail)
            check(f"iprev={result} policy.iprev=127.0.0.1" in text, text)

    def own_policies(self):
        """Of the longest domain, whatever the domain itself asks for."""
        with self.instance("domain_policies=lax.test=reject,sub.lax.test=mark,bad.test=junk,junk.test=mark", "dmarc_policy=mark") as tests:
            def mail(domain):
                return f"From: a@{domain}\r\n\r\nhello\r\n".encode()
            check(tests.send("a@lax.test", mail("lax.test"))[0].startswith("550 5.7.26"), "lax.test=reject")
            check(tests.send("a@lax.test", mail("www.lax.test"))[0].startswith("550 5.7.26"), "a name below it")
            check(tests.send("a@lax.test", mail("sub.lax.test"))[1], "sub.lax.test=mark")
            check(tests.lands_in_junk("a@bad.test", mail("bad.test")), "bad.test=junk")
            check(tests.send("a@junk.test", mail("junk.test"))[1], "junk.test=mark")

    def spf_refuses(self):
        """RFC 7372 §3.2, where the administrator wants it, with the domain's own words; what DMARC says for a mail counts more."""
        with self.instance("spf_fail=reject") as tests:
            reply, _ = tests.send("a@sole.test", b"From: a@sole.test\r\n\r\nhello\r\n")
            equal(reply, "550 5.7.23 127.0.0.1 is none of sole.test", "the refusal")
            check(tests.send("a@nothing.test", b"From: a@nothing.test\r\n\r\nhello\r\n")[1], "a domain that says nothing")
        with self.instance() as tests:
            check("spf=fail" in tests.results("a@sole.test", b"From: a@sole.test\r\n\r\nhello\r\n")[0], "it is marked otherwise")

    def greylisted(self):
        with self.instance("greylisting=yes", "greylist_seconds=2", "greylist_trust_after=2") as tests:
            first, second, third = (tests.instance.fresh_user() for _ in range(3))
            for _ in range(2):
                check(self.refusal(tests, user=first).startswith("451 4.7.1"), "the first attempts")
            check(self.refusal(tests, user="nobody@" + e2e.DOMAIN).startswith("550 5.1.1"), "an unknown recipient")
            e2e.until(lambda: self.refusal(tests, user=first).startswith("250"), "the time to pass")
            check(self.refusal(tests, user=first).startswith("250"), "a sender that passed")
            check(self.refusal(tests, user=second).startswith("451"), "another recipient")
            check(self.refusal(tests, "b1@lax.test", user=first).startswith("451"), "another sender")
            e2e.until(lambda: self.refusal(tests, "b7@lax.test", user=first).startswith("250"), "a sender with another number")
            check(self.refusal(tests, "c@elsewhere.test", user=third).startswith("250"), "a network that is trusted by now")
            check(tests.send("a@lax.test", b"Subject: x\r\n\r\nhello\r\n", "lmtp")[1], "LMTP")
        with self.instance("greylisting=yes", "dnswl=white.test") as tests:
            check(self.refusal(tests).startswith("250"), "a host in a list of good ones")

    def greylist_outlives(self):
        """Who passed does not wait again after a restart of queue."""
        with self.instance("greylisting=yes", "greylist_seconds=1", "greylist_trust_after=0") as tests:
            user = tests.instance.fresh_user()
            e2e.until(lambda: self.refusal(tests, user=user).startswith("250"), "the time to pass")
            tests.instance.stop()
            tests.instance.start()
            check(self.refusal(tests, user=user).startswith("250"), "it waits again")


def hosts():
    """(name, function) of the tests of hosts, each with instances of its own."""
    def with_server(function):
        def run():
            with dns_server.DnsServer(HOSTS) as server:
                function(Hosts(server))
        return run
    return [("lists of hosts", with_server(Hosts.listed)), ("the host's name", with_server(Hosts.reverse_name)),
            ("policies of one's own", with_server(Hosts.own_policies)), ("SPF alone", with_server(Hosts.spf_refuses)), ("greylisting", with_server(Hosts.greylisted)),
            ("greylisting after a restart", with_server(Hosts.greylist_outlives))]


def main():
    pem, record = key()
    with dns_server.DnsServer(ZONE % record) as server, e2e.Instance("--dns", server.address) as instance:
        tests = Tests(instance, pem)
        e2e.run([("passes", tests.passes), ("refused by DMARC", tests.refused), ("p=none", tests.only_marked),
                 ("quarantine", tests.quarantined),
                 ("a domain without policy", tests.without_policy), ("a DNS that fails", tests.silent_dns),
                 ("null sender", tests.null_sender), ("several authors", tests.several_authors),
                 ("forged results", tests.forged_results), ("forged results of users", tests.forged_by_users), ("signatures", tests.signed), ("a part of the body", tests.signed_in_part), ("a key that is tested", tests.tested_key), ("a DNS that fails in part", tests.unanswered), ("ARC", tests.sealed), ("authors", tests.authors), ("LMTP", tests.not_strangers),
                 ("kill -9 of the resolver", tests.resolver_dies), *hosts()])


if __name__ == "__main__":
    main()
