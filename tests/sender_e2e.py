#!/usr/bin/env python3
"""Mail from strangers: what SPF, DKIM and DMARC find, what is said of it in Authentication-Results, and what is refused."""
import base64
import imaplib
import re
import subprocess

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
slow.test FAIL
_dmarc.slow.test FAIL
signed.test TXT "v=spf1 -all"
_dmarc.signed.test TXT "v=DMARC1; p=reject"
%s
"""


def key():
    """An Ed25519 key for d=signed.test, s=k, as openssl makes it, and its record."""
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], check=True, stdout=subprocess.PIPE).stdout
    der = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=pem, check=True, stdout=subprocess.PIPE).stdout
    return pem, f'k._domainkey.signed.test TXT "v=DKIM1; k=ed25519; p={base64.b64encode(der[-32:]).decode()}"'


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

    def sign(self, body):
        """A relaxed/relaxed signature of From and the body, made by openssl."""
        import hashlib
        import tempfile
        canonical = re.sub(rb"[ \t]+", b" ", body)
        canonical = re.sub(rb" \r\n", b"\r\n", canonical).rstrip(b"\r\n") + b"\r\n"
        body_hash = base64.b64encode(hashlib.sha256(canonical).digest()).decode()
        tags = f"v=1; a=ed25519-sha256; c=relaxed/relaxed; d=signed.test; s=k; h=from; bh={body_hash}; b="
        signed = f"from:a@signed.test\r\ndkim-signature:{tags}".encode()
        with tempfile.NamedTemporaryFile() as pem, tempfile.NamedTemporaryFile() as digest:
            pem.write(self.pem)
            pem.flush()
            digest.write(hashlib.sha256(signed).digest())
            digest.flush()
            signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", pem.name, "-rawin", "-in", digest.name],
                                       check=True, stdout=subprocess.PIPE).stdout
        return f"DKIM-Signature: {tags}{base64.b64encode(signature).decode()}\r\nFrom: a@signed.test\r\n".encode()

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


def main():
    pem, record = key()
    with dns_server.DnsServer(ZONE % record) as server, e2e.Instance("--dns", server.address) as instance:
        tests = Tests(instance, pem)
        e2e.run([("passes", tests.passes), ("refused by DMARC", tests.refused), ("p=none", tests.only_marked),
                 ("quarantine", tests.quarantined),
                 ("a domain without policy", tests.without_policy), ("a DNS that fails", tests.silent_dns),
                 ("null sender", tests.null_sender), ("several authors", tests.several_authors),
                 ("forged results", tests.forged_results), ("signatures", tests.signed), ("LMTP", tests.not_strangers),
                 ("kill -9 of the resolver", tests.resolver_dies)])


if __name__ == "__main__":
    main()
