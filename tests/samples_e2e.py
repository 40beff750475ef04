#!/usr/bin/env python3
"""Every mail below POSTHORN_SHARED/mail-samples goes in by LMTP and comes back by POP3 octet for octet.

A sample's LF is turned into CRLF first. One with a bare CR or a NUL is no text that SMTP carries: it is refused.
"""
import contextlib
import email
import os
import threading

import e2e
from e2e import check, equal

FOLDER = os.path.join(e2e.SHARED, "mail-samples")
ACCOUNTS = 8
SENDER = "sender@elsewhere.test"


def samples():
    found = {}
    for folder, _, files in sorted(os.walk(FOLDER)):
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.samefile(folder, FOLDER):
                continue  # the list of samples
            with open(path, "rb") as file:
                found[os.path.relpath(path, FOLDER)] = e2e.crlf(file.read())
    return found


def is_carried(mail):
    return b"\0" not in mail and b"\r" not in mail.replace(b"\r\n", b"")


def has_utf8_header(mail):
    """A mail that RFC 6856 §2.1 has a surrogate for, by another parser than ours; some part's header is UTF-8."""
    parts = email.message_from_bytes(mail).walk()
    headers = ["".join(value for _, value in part.raw_items()).encode("ascii", "surrogateescape") for part in parts]
    for header in (*headers, mail.split(b"\r\n\r\n")[0]):  # a BOM before the first field is no field for the other parser
        with contextlib.suppress(UnicodeDecodeError):
            if not header.isascii() and header.decode():
                return True
    return False


class Account(threading.Thread):
    """Delivers its share of the samples and fetches them back; what went wrong is in problems."""

    def __init__(self, instance, samples):
        super().__init__()
        self.instance = instance
        self.samples = samples
        self.user = instance.fresh_user()
        self.kept, self.problems = {}, []
        self.refused = 0

    def run(self):
        try:
            self.deliver()
            self.fetch()
        except Exception as failure:
            self.problems.append(f"{self.user}: {failure!r}")

    def deliver(self):
        queued = {}
        client = self.instance.smtp("lmtp")
        for name, mail in self.samples:
            client.envelope(SENDER, [self.user])
            reply, = client.data(mail)
            if not is_carried(mail):
                check(reply.startswith("550 5.5.2"), f"{name}: {reply}")
                self.refused += 1
                continue
            check(reply.startswith("250 2.0.0"), f"{name}: {reply}")
            queued[e2e.QUEUED.search(reply).group(1)] = 1
            self.kept[name] = mail if mail.endswith(b"\r\n") or not mail else mail + b"\r\n"
        client.close()
        self.instance.wait_all_delivered(queued, 60)

    def fetch(self):
        with self.instance.pop3(self.user) as client:  # without UTF8 only mails with UTF-8 in headers are others
            for number, (name, wanted) in enumerate(self.kept.items(), 1):
                got = client.retr(number)
                if not has_utf8_header(wanted) and e2e.body_of(got) != wanted:
                    self.problems.append(f"{name}: came back changed without UTF8")
        with self.instance.pop3(self.user, "pop3s", utf8=True) as client:
            client.ok("LIST")
            sizes = [int(line.split()[1]) for line in client.listing()]
            equal(len(sizes), len(self.kept), f"mails of {self.user}")
            for number, (name, wanted) in enumerate(self.kept.items(), 1):
                mail = client.retr(number)
                if e2e.body_of(mail) != wanted:
                    self.problems.append(f"{name}: came back changed")
                if len(mail) != sizes[number - 1]:
                    self.problems.append(f"{name}: LIST says {sizes[number - 1]}, RETR has {len(mail)}")


def main():
    if not os.path.isdir(FOLDER):
        e2e.run([("samples", lambda: e2e.skip(f"no mail-samples in {e2e.SHARED}"))])
    everything = list(samples().items())

    def all_samples(instance):
        check(len(everything) > 1000, f"only {len(everything)} samples")
        accounts = [Account(instance, everything[i::ACCOUNTS]) for i in range(ACCOUNTS)]
        for account in accounts:
            account.start()
        for account in accounts:
            account.join()
        problems = [p for account in accounts for p in account.problems]
        check(not problems, f"{len(problems)} problems: " + "; ".join(problems[:20]))
        equal(sum(len(a.kept) + a.refused for a in accounts), len(everything), "samples that went through")
        refused = sum(a.refused for a in accounts)
        equal(refused, sum(not is_carried(mail) for _, mail in everything), "samples that were refused")

    with e2e.Instance(accounts=(f"user%d:{ACCOUNTS}",)) as instance:
        e2e.run([(f"{len(everything)} samples, octet for octet", lambda: all_samples(instance))])


if __name__ == "__main__":
    main()
