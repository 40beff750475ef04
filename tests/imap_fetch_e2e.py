#!/usr/bin/env python3
"""FETCH of real mail: every sample against Python's email package, large mails piece by piece, damaged ones."""
import base64
import email
import email.utils
import glob
import hashlib
import os
import re
import socket

import e2e
import samples_e2e
from e2e import check, equal

LARGE = 40 << 20


class Imap:
    """A client that reads what it is told, literals and all."""

    def __init__(self, instance, user):
        self.socket = socket.create_connection(("127.0.0.1", instance.port("imap")), timeout=60)
        self.file = self.socket.makefile("rb", buffering=1 << 20)
        self.file.readline()
        self.number = self.compared = 0
        self.ok(f"LOGIN {user} secret")

    def response(self):
        """One response as one piece of bytes."""
        whole = b""
        while True:
            line = self.file.readline()
            check(line.endswith(b"\r\n"), f"the connection ended: {whole[-100:]!r}")
            whole += line
            literal = re.search(rb"\{(\d+)\}\r\n\Z", line)
            if not literal:
                return whole
            octets = self.file.read(int(literal.group(1)))
            equal(len(octets), int(literal.group(1)), "octets of a literal")
            whole += octets

    def send(self, text):
        self.number += 1
        self.socket.sendall(b"a%d " % self.number + text + b"\r\n")

    def result(self):
        tag, untagged = b"a%d " % self.number, []
        while True:
            response = self.response()
            if response.startswith(tag):
                return untagged, response[len(tag):]
            untagged.append(response)

    def ask(self, text):
        self.send(text.encode() if isinstance(text, str) else text)
        return self.result()

    def ok(self, text):
        untagged, result = self.ask(text)
        check(result.startswith(b"OK"), f"{text[:100]!r}: {result!r}")
        return untagged

    def append(self, mail):
        return self.ok(b"APPEND INBOX {%d+}\r\n" % len(mail) + mail)

    def fetch(self, number, items):
        """The items of one message by name."""
        responses = [r for r in self.ok(f"FETCH {number} ({items})") if re.match(rb"\* \d+ FETCH ", r)]
        equal(len(responses), 1, f"answers to FETCH {number} ({items})")
        values, end = read_value(responses[0], responses[0].index(b"("))
        equal(responses[0][end:], b"\r\n", "what follows the answer")
        return {values[i].decode(): values[i + 1] for i in range(0, len(values), 2)}

    def close(self):
        self.file.close()
        self.socket.close()


def read_value(text, at):
    """A value of the grammar and where it ends: list, bytes, or None for NIL."""
    if text[at:at + 1] == b"(":
        values, at = [], at + 1
        while text[at:at + 1] != b")":
            value, at = read_value(text, at)
            values.append(value)
            if text[at:at + 1] == b" ":
                at += 1
        return values, at + 1
    if text[at:at + 1] == b'"':
        quoted = re.compile(rb'"((?:[^"\\\r\n]|\\["\\])*)"').match(text, at)
        check(quoted, f"a quoted string: {text[at:at + 50]!r}")
        return re.sub(rb"\\(.)", rb"\1", quoted.group(1)), quoted.end()
    literal = re.compile(rb"~?\{(\d+)\}\r\n").match(text, at)
    if literal:
        end = literal.end() + int(literal.group(1))
        return text[literal.end():end], end
    atom = re.compile(rb"[^\s()\"\[]+(?:\[[^]]*\](?:<\d+>)?)?").match(text, at)
    check(atom, f"an atom: {text[at:at + 50]!r}")
    return (None if atom.group() == b"NIL" else atom.group()), atom.end()


def leaves(part, number="", top=True):
    """Number and structure of each leaf of BODY, RFC 9051 §6.4.5.1."""
    if isinstance(part[0], list):
        for index, child in enumerate((p for p in part if isinstance(p, list)), 1):
            yield from leaves(child, f"{number}.{index}" if number else str(index), False)
        return
    if top:
        number = f"{number}.1" if number else "1"
    if part[0].lower() == b"message" and len(part) > 9 and isinstance(part[8], list):
        yield from leaves(part[8], number, True)
    else:
        yield number, part


def same_text(one, other):
    return one.replace(b"\r\n", b"\n") == other.replace(b"\r\n", b"\n")


def is_plainly_encoded(encoding, body):
    """Python and we agree on what is written as the RFC says; what is not, each repairs in its own way."""
    if encoding == b"BASE64":
        lines = body.split()
        try:
            return base64.b64encode(base64.b64decode(b"".join(lines), validate=True)) == b"".join(lines)
        except ValueError:
            return False
    if encoding == b"QUOTED-PRINTABLE":
        return not re.search(rb"=(?![0-9A-F]{2}|\r?\n)|[ \t]\r?\n|[ \t]\Z", body)
    return encoding in (b"7BIT", b"8BIT")


def check_part(client, uid, number, part, problems):
    got = client.fetch(uid, f"BODY.PEEK[{number}] BODY.PEEK[{number}.MIME] BINARY.PEEK[{number}] BINARY.SIZE[{number}]"
                       if part[5].upper() in (b"7BIT", b"8BIT", b"BINARY", b"BASE64", b"QUOTED-PRINTABLE")
                       else f"BODY.PEEK[{number}] BODY.PEEK[{number}.MIME]")
    body, mime = got[f"BODY[{number}]"], got[f"BODY[{number}.MIME]"]
    if len(body) != int(part[6]):
        problems.append(f"{number}: BODY says {int(part[6])} octets, the part has {len(body)}")
    if f"BINARY[{number}]" not in got:
        return
    decoded = got[f"BINARY[{number}]"]
    if len(decoded) != int(got[f"BINARY.SIZE[{number}]"]):
        problems.append(f"{number}: BINARY.SIZE differs")
    header = mime.rstrip(b"\r\n")
    wanted = email.message_from_bytes(header + (b"\r\n\r\n" if header else b"\r\n") + body)
    if wanted.defects or wanted.is_multipart() or not is_plainly_encoded(part[5].upper(), body):
        return
    if wanted.get_content_type().encode() != (part[0] + b"/" + part[1]).lower():
        problems.append(f"{number}: {wanted.get_content_type()} by Python, {part[0]}/{part[1]} by us")
    if not same_text(decoded, wanted.get_payload(decode=True)):
        problems.append(f"{number}: decodes to something else")


def plain_addresses(value):
    """mailbox@host of each, where any two readers see the same; else None."""
    if re.search(r"[:;()\\]|@[^,<]*<", value):
        return None
    pairs = email.utils.getaddresses([value])
    plain = all(re.fullmatch(r"[\w.+=/-]+@[\w.-]+", address) for _, address in pairs)
    return [address.encode() for _, address in pairs] if pairs and plain else None


def check_envelope(mail, envelope, problems):
    """Fields that a mail has once, and that are plain, as Python's email package reads them."""
    parsed = email.message_from_bytes(mail)
    values = {}
    for name, value in parsed.raw_items():
        unfolded = re.sub(r"\r?\n(?=[ \t])", "", value).strip(" \t")
        values.setdefault(name.rstrip().lower(), []).append(unfolded)
    compared = 0
    for at, name in enumerate(("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id")):
        found = values.get(name, [])
        if parsed.defects or len(found) != 1 or not found[0] or not found[0].isascii():
            continue
        if at in range(2, 8):
            wanted = plain_addresses(found[0])
            got = envelope[at] and [address[2] + b"@" + address[3] for address in envelope[at] if address[2] and address[3]]
        else:
            wanted, got = found[0].encode(), envelope[at]
        if wanted is not None:
            compared += 1
            if got != wanted:
                problems.append(f"{name}: {got} in the envelope, {wanted} by Python")
    return compared


def check_sample(client, uid, mail):
    problems = []
    got = client.fetch(uid, "RFC822.SIZE BODY BODYSTRUCTURE ENVELOPE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT]")
    if got["BODY[]"] != mail.replace(b"\0", b"\x80") or int(got["RFC822.SIZE"]) != len(mail):
        problems.append("other octets, or another size")
    if got["BODY[HEADER]"] + got["BODY[TEXT]"] != got["BODY[]"]:
        problems.append("header and text are not the mail")
    equal(len(got["ENVELOPE"]), 10, "fields of an envelope")
    client.compared += check_envelope(mail, got["ENVELOPE"], problems)
    for number, part in list(leaves(got["BODY"]))[:30]:
        check_part(client, uid, number, part, problems)
    return problems


def all_samples(instance):
    if not os.path.isdir(samples_e2e.FOLDER):
        e2e.skip(f"no mail-samples in {e2e.SHARED}")
    everything = [(name, mail) for name, mail in samples_e2e.samples().items() if mail and not name.startswith("sa-")]
    client, problems = Imap(instance, instance.fresh_user()), []
    for _, mail in everything:
        client.append(mail)
    client.ok("SELECT INBOX")
    check(len(everything) > 500, "samples")
    for uid, (name, mail) in enumerate(everything, 1):
        if b"\0" not in mail and samples_e2e.is_carried(mail):
            problems += [f"{name}: {p}" for p in check_sample(client, uid, mail)]
    client.close()
    check(client.compared > 2000, f"only {client.compared} fields of envelopes could be compared")
    check(not problems, f"{len(problems)} problems: " + "; ".join(problems[:20]))


def large_mail(instance):
    client = Imap(instance, instance.fresh_user())
    octets = os.urandom(3 << 20) * 10
    mail = (b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsmall\r\n--b\r\nContent-Type: a/b\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(octets).replace(b"\n", b"\r\n") + b"--b--\r\n")
    check(len(mail) > LARGE, "a large mail")
    client.append(mail)
    client.ok("SELECT INBOX")
    check(client.fetch(1, "BODY.PEEK[]")["BODY[]"] == mail, "all of it")
    whole = client.fetch(1, "BODY.PEEK[2]")["BODY[2]"]
    equal(hashlib.sha256(client.fetch(1, "BINARY.PEEK[2]")["BINARY[2]"]).digest(), hashlib.sha256(octets).digest(), "the part decoded")
    equal(int(client.fetch(1, "BINARY.SIZE[2]")["BINARY.SIZE[2]"]), len(octets), "its size")
    for at in (0, 5, 1 << 20, len(whole) - 100, len(whole), len(whole) + 1):
        equal(client.fetch(1, f"BODY.PEEK[2]<{at}.200000>")[f"BODY[2]<{at}>"], whole[at:at + 200000], f"the piece at {at}")
    equal(client.fetch(1, "BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (Subject X)]"),
          {"BODY[1]": b"small", "BODY[HEADER.FIELDS (Subject X)]": b"Subject: large\r\n\r\n"}, "small parts")
    equal(client.fetch(1, "PREVIEW")["PREVIEW"], b"small", "the preview")
    equal(client.fetch(1, "PREVIEW (LAZY)")["PREVIEW"], None, "the lazy preview")
    client.close()


def many_large_mails_at_once(instance):
    """More in one command than waits in memory (RFC 3502), large ones among the small: each is stored as it came."""
    client = Imap(instance, instance.fresh_user())
    mails = [b"Subject: mail %d\r\n\r\n" % n + b"%07d\r\n" % n * (1000 * size) for n, size in enumerate([90] * 11 + [150] + [90] * 3 + [1])]
    _, result = client.ask(b"APPEND INBOX" + b"".join(b" {%d+}\r\n" % len(mail) + mail for mail in mails))
    check(result.startswith(b"OK [APPENDUID "), f"APPEND: {result}")
    client.ok("SELECT INBOX")
    for number, mail in enumerate(mails, 1):
        check(client.fetch(number, "BODY.PEEK[]")["BODY[]"] == mail, f"mail {number}")
        equal(client.fetch(number, "BODY.PEEK[HEADER.FIELDS (Subject)]")["BODY[HEADER.FIELDS (Subject)]"], b"Subject: mail %d\r\n\r\n" % (number - 1),
              "what is kept beside it")
    client.close()


def damaged_mail(instance):
    user = instance.fresh_user()
    client = Imap(instance, user)
    for n in range(1, 4):
        client.append(b"Subject: mail %d\r\n\r\nthis is the text of %s %d\r\n" % (n, user.encode(), n))
    damage(instance, b"the text of %s 2" % user.encode())
    client.ok("SELECT INBOX")
    untagged, result = client.ask("FETCH 1:3 (UID BODY.PEEK[])")
    equal([r.split(b" ")[1] for r in untagged if b"BODY[]" in r], [b"1", b"3"], "messages that can be read")
    check(b"* 2 FETCH (UID 2)\r\n" in untagged and result.startswith(b"NO [CORRUPTION]"), f"the one that can't: {result}")
    equal(client.fetch(2, "BODY.PEEK[HEADER.FIELDS (Subject)]"), {"BODY[HEADER.FIELDS (Subject)]": b"Subject: mail 2\r\n\r\n"}, "what is kept beside it")
    client.close()


def damage(instance, text):
    for segment in glob.glob(os.path.join(instance.directory, "data", "accounts", "*", "seg", "*")):
        with open(segment, "r+b") as file:
            at = file.read().find(text)
            if at >= 0:
                file.seek(at)
                file.write(b"DAMAGED")
                return
    raise AssertionError("the mail is in no segment")


def main():
    with e2e.Instance(accounts=("user%d:5",)) as instance:
        e2e.run([(name, lambda test=test: test(instance)) for name, test in (
            ("samples against Python's email package", all_samples), ("a large mail whole and in pieces", large_mail), ("many large mails in one command", many_large_mails_at_once),
            ("a damaged mail does not hide others", damaged_mail))])


if __name__ == "__main__":
    main()
