#!/usr/bin/env python3
"""SEARCH finds what a look at every mail finds: 10,000 mails of words of the samples, in many charsets and encodings, read by another decoder
(Python's email package) and folded as RFC 5051 says.

tests/imap_search_e2e.py [SEED]
"""
import base64
import email
import email.header
import os
import quopri
import random
import re
import signal
import string
import sys
import time
import unicodedata

import e2e
import imap_transcript
from e2e import check, equal
from samples_e2e import FOLDER, samples

MAILS, AT_ONCE, NEEDLES = 10000, 500, 40
CHARSETS = ("us-ascii", "utf-8", "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1252", "windows-1250", "windows-1251", "koi8-r", "iso-8859-5",
            "iso-8859-7", "iso-2022-jp", "shift_jis", "euc-jp", "euc-kr", "gb2312", "gb18030", "big5")
# The samples have few words of some scripts.
MORE_WORDS = """príliš žltý kôň úpěl ďábelské ódy perché città größe straße naïve œuvre łódź gęślą съешь ещё этих мягких французских булок да выпей чаю
ξεσκεπάζω την ψυχοφθόρα βδελυγμία σίσυφος いろはにほへと ちりぬるを ワカヨタレソ 日本語検索 漢字変換 メール送信 电子邮件 搜索结果 全文检索 電子郵件 搜尋結果
다람쥐 헌쳇바퀴 한국어 검색 İstanbul ılık čeština ﬁnance ǆungla""".split()


class Titles(dict):
    """For str.translate: what Unicode has as the one letter in title case."""

    def __missing__(self, code):
        title = chr(code).title()
        self[code] = title if len(title) == 1 else chr(code)
        return self[code]


TITLES = Titles()


def fold(text):
    """i;unicode-casemap (RFC 5051), and each run of white space one blank."""
    return re.sub(r"[\0- ]+", " ", unicodedata.normalize("NFKD", text.translate(TITLES)))


# ---- making mails ----


def words_of_samples():
    found = set(MORE_WORDS)
    for octets in list(samples().values())[::4]:
        for part in email.message_from_bytes(octets).walk():
            if part.get_content_maintype() == "text":
                try:
                    text = part.get_payload(decode=True).decode(part.get_content_charset("us-ascii"))
                except (LookupError, UnicodeDecodeError, AttributeError):
                    continue
                found.update(re.findall(r"[^\W\d_]{3,12}", text)[:200])
    return sorted(found)


def is_carried(word, charset):
    if charset == "big5" and re.search("[\u0370-\u04ff\u3040-\u30ff]", word):
        return False  # there are several opinions where in Big5 these letters are
    try:
        return word.encode(charset).decode(charset) == word
    except UnicodeError:
        return False


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        words = words_of_samples()
        self.words = {charset: [word for word in words if is_carried(word, charset)] for charset in CHARSETS}
        self.own_words = {charset: [word for word in self.words[charset] if not word.isascii()] or self.words[charset] for charset in CHARSETS}

    def text(self, charset, count):
        """Half of the words are none that us-ascii has, if the charset has others."""
        return " ".join(self.random.choice((self.own_words if self.random.random() < 0.5 else self.words)[charset]) for _ in range(count))

    def encoded_word(self, charset):
        octets = self.text(charset, self.random.randint(1, 3)).encode(charset)
        if self.random.random() < 0.5:
            return f"=?{charset}?B?{base64.b64encode(octets).decode()}?="
        return f"=?{charset}?q?{''.join(chr(one) if chr(one).isalnum() and one < 128 else f'={one:02X}' for one in octets)}?="

    def part(self, kind):
        charset = self.random.choice(CHARSETS)
        lines = [self.text(charset, self.random.randint(1, 8)) for _ in range(self.random.randint(1, 6))]
        text = "\r\n".join(f"<p>{line}</p>" if kind == "html" else line for line in lines) + "\r\n"
        octets = text.encode(charset)
        encoding = self.random.choice(("8bit", "quoted-printable", "base64"))
        if encoding == "base64":
            octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
        elif encoding == "quoted-printable":
            octets = re.sub(rb"\r?\n", b"\r\n", quopri.encodestring(octets.replace(b"\r\n", b"\n")))
        return f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + octets

    def multipart(self, kind, parts):
        boundary = f"=_{self.random.randint(0, 10**12)}"
        body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
        return f"Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n".encode() + body + b"--" + boundary.encode() + b"--\r\n"

    def mail(self):
        charset = self.random.choice(CHARSETS)
        sender = f"{self.encoded_word(charset)} <{self.random.randint(0, 10**6)}@1.test>"
        head = f"From: {sender}\r\nSubject: {self.encoded_word(charset)}\r\nMIME-Version: 1.0\r\n"
        shape = self.random.random()
        if shape < 0.5:
            body = self.part("plain")
        elif shape < 0.7:
            body = self.multipart("alternative", [self.part("plain"), self.part("html")])
        elif shape < 0.9:
            other = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(self.random.randbytes(90))
            body = self.multipart("mixed", [self.part("plain"), other, self.part("plain")])
        else:
            body = self.multipart("mixed", [self.part("plain"), b"Content-Type: message/rfc822\r\n\r\n" + self.mail()])
        return head.encode() + body


# ---- looking at them ----


def decoded(value):
    return "".join(text if isinstance(text, str) else text.decode(charset or "us-ascii") for text, charset in email.header.decode_header(value))


class Seen:
    """What the other decoder reads in a mail, folded: all its text parts, and all its headers, are a text each."""

    def __init__(self, octets):
        parts = list(email.message_from_bytes(octets).walk())
        self.texts = [one.get_payload(decode=True).decode(one.get_content_charset()) for one in parts if one.get_content_maintype() == "text"]
        self.own = {name: decoded(parts[0][name]) for name in ("From", "Subject")}
        self.folded = {name.upper(): fold(value) for name, value in self.own.items()}
        self.folded["BODY"] = fold(" ".join(self.texts))
        self.headers = fold(" ".join(f"{name}: {decoded(value)}" for one in parts for name, value in one.items()))

    def has(self, key, needle):
        return needle in self.folded["BODY" if key == "TEXT" else key] or (key == "TEXT" and needle in self.headers)


def needle_of(chance, seen):
    """A piece of a text or a field of some mail, in another case; now and then one that is nowhere."""
    text = re.sub(r"\s+", " ", chance.choice(chance.choice(seen).texts + [chance.choice(seen).own["Subject"]])).strip()
    begin = chance.randrange(max(1, len(text) - 3))
    needle = text[begin:begin + chance.randint(3, 9)].strip()
    return chance.choice((str.upper, str.lower, str.swapcase, str))(needle) + ("\u2020" if chance.random() < 0.05 else "")


def cpu_ticks(pid):
    return sum(int(field) for field in e2e.process_facts(pid)[11:13])


def search(client, key, needle):
    octets = needle.encode()
    client.send(b"S SEARCH CHARSET UTF-8 %s {%d+}\r\n%s\r\n" % (key.encode(), len(octets), octets))
    found = None
    while not (response := client.response()).startswith("S "):
        if response.startswith("* SEARCH"):
            found = {int(number) for number in response.split()[2:]}
    check(response.startswith("S OK"), response)
    return found


class Tests:
    def __init__(self, instance, seed):
        self.instance, self.seed = instance, seed
        self.maker = Maker(seed)
        self.seen = []
        self.user = instance.fresh_user()

    def fill(self):
        with imap_transcript.log_in(self.instance, self.user) as client:
            for _ in range(0, MAILS, AT_ONCE):
                mails = [self.maker.mail() for _ in range(AT_ONCE)]
                self.seen += map(Seen, mails)
                client.send(b"A APPEND INBOX" + b"".join(b" {%d+}\r\n" % len(mail) + mail for mail in mails) + b"\r\n")
                while not (answer := client.response()).startswith("A "):
                    pass
                check(answer.startswith("A OK"), answer)

    def hits_equal_a_look_at_every_mail(self):
        chance = random.Random(self.seed)
        hits = 0
        with imap_transcript.log_in(self.instance, self.user) as client:
            client.command("SELECT INBOX")
            for number in range(NEEDLES):
                needle = needle_of(chance, self.seen)
                for key in ("BODY", "TEXT", "SUBJECT", "FROM"):
                    expected = {at for at, one in enumerate(self.seen, 1) if one.has(key, fold(needle))}
                    found = search(client, key, needle)
                    what = f"seed {self.seed}, needle {number}: {key} {needle!r}: found {len(found)}, expected {len(expected)}"
                    equal(sorted(found ^ expected)[:5], [], what)
                    hits += len(found)
        check(hits > 1000, f"only {hits} hits")

    def a_long_search_tells_how_far_it_is(self):
        """RFC 9585. The process is stopped in the middle of its work, so that the client waits for more than ten seconds."""
        e2e.long_only("eleven seconds of silence")
        rare = [f"{letter}{digit}" for letter in string.ascii_lowercase for digit in string.digits]
        with imap_transcript.log_in(self.instance, self.user) as client:
            client.command("SELECT INBOX")
            pid, = self.instance.pids("mailbox")
            for tag, told in (("A1", '"A1"'), ("A]2", "NIL")):
                before = cpu_ticks(pid)
                client.send(f"{tag} SEARCH RETURN (COUNT) {' '.join(f'NOT BODY {needle}' for needle in rare)}\r\n".encode())
                e2e.until(lambda: cpu_ticks(pid) > before + 5, "the search has begun", 20)
                os.kill(pid, signal.SIGSTOP)
                time.sleep(10.5)  # the silence is what is tested
                os.kill(pid, signal.SIGCONT)
                progress = re.fullmatch(r"\* OK \[INPROGRESS \((\S+) (\d+) (\d+)\)\] .+", client.response())
                check(progress and progress[1] == told and int(progress[2]) < int(progress[3]) == MAILS, f"how far it is: {progress}")
                check(client.response().startswith("* ESEARCH (TAG "), "the result")
                check(client.response().startswith(f"{tag} OK "), "the answer")


def main():
    if not os.path.isdir(FOLDER):
        return e2e.run([("hits equal a look at every mail", lambda: e2e.skip("no sample mails"))])
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with e2e.Instance(accounts=("user%d:2",)) as instance:
        tests = Tests(instance, seed)
        e2e.run([(f"{MAILS} mails in {len(CHARSETS)} charsets are stored", tests.fill),
                 ("hits equal a look at every mail", tests.hits_equal_a_look_at_every_mail),
                 ("a long search tells how far it is", tests.a_long_search_tells_how_far_it_is)])


if __name__ == "__main__":
    main()
