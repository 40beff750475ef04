#!/usr/bin/env python3
"""Mail that is made to be hard, and extensions that are asked for too much: an answer, bounded memory, others undisturbed.

tests/imap_hostile_mail_e2e.py [NAME…]
"""
import contextlib
import zlib

import e2e
import imap_hostile_e2e
import imap_transcript
from e2e import check, equal

LOOKS = ("FETCH * (FLAGS UID RFC822.SIZE INTERNALDATE ENVELOPE BODY BODYSTRUCTURE PREVIEW EMAILID THREADID)",
         "FETCH * (BODY.PEEK[1] BODY.PEEK[1.1.1.1.1.1.1.1.MIME] BODY.PEEK[TEXT]<0.100> BODY.PEEK[HEADER]<5.7> BINARY.SIZE[1])",
         "FETCH * BODY.PEEK[HEADER.FIELDS (SUBJECT TO REFERENCES X-NONE)]", "SEARCH TEXT nowhere BODY nowhere OR TO x SUBJECT y",
         "SEARCH HEADER References x SENTSINCE 1-Jan-2020", "SORT (SUBJECT FROM TO CC DATE DISPLAYFROM) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
         "THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL")


class Tests(imap_hostile_e2e.Tests):
    # much of a large mail is freed soon; a sanitizer keeps 256 MB of what was freed
    growth_max_kb = imap_hostile_e2e.GROWTH_MAX_KB + (256 << 10)

    def _append(self, client, mail):
        tag = client.tag()
        client.send(f"{tag} APPEND INBOX {{{len(mail)}+}}\r\n".encode() + mail + b"\r\n")
        answer = client.response()
        while answer is not None and not answer.startswith(tag):
            answer = client.response()
        client.waiting.remove(tag)
        check(answer is not None and answer.startswith(f"{tag} OK "), answer)

    def _look_at(self, *mails):
        """Everything that reads mail, of each of them; what it must say is up to other tests."""
        with self.session() as client:
            for number, mail in enumerate(mails, 1):
                self._append(client, mail)
                equal(self.good(client, "UID SEARCH RETURN (COUNT) ALL")[-1].split()[-1], str(number), "messages")
                for command in LOOKS:
                    _, answer = client.command(command)
                    check(answer is not None and answer.startswith(("OK ", "NO ")), f"{command}: {answer}")
                    self.good(client.watcher, "NOOP")
                octets = self.good(client, "FETCH * BODY.PEEK[]")[0].encode("latin-1")
                check(mail.replace(b"\0", b"\x80") in octets, "the mail comes back")

    # ---- mail ----------------------------------------------------------------------------------------------

    def multiparts_within_each_other(self):
        text = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(10000))
        self._look_at(b"Subject: deep\r\nMIME-Version: 1.0\r\n" + text + b"\r\nx\r\n",
                      b"Subject: deep in mails\r\nMIME-Version: 1.0\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 10000 + b"x\r\n",
                      b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 10000)

    def a_hundred_thousand_parts(self):
        head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        self._look_at(head + b"--b\r\n\r\nx\r\n" * 100000 + b"--b--\r\n", head + b"--b\r\n" * 100000 + b"--b--\r\n" * 1000)

    def many_mails_of_many_parts(self):
        """In one command (RFC 3502): their structures together are many times what is allowed, and those that fit are stored."""
        mail = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 10000
        with self.session() as client:
            for count, answer in ((300, "A9 NO [TOOBIG]"), (10, "A9 OK ")):
                client.send(b"A9 APPEND INBOX" + (b" {%d+}\r\n" % len(mail) + mail) * count + b"\r\n")
                while (got := client.response()).startswith("* "):
                    pass
                check(got.startswith(answer), got)
            equal(self.good(client, "STATUS INBOX (MESSAGES)")[-1], "* STATUS INBOX (MESSAGES 10)", "what is there")

    def boundaries(self):
        def mail(boundary, body):
            return b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body
        self._look_at(mail(b'""', b"--\r\n\r\nx\r\n----\r\n"), mail(b"b", b"--bb\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--x\r\n--b--\r\n"),
                      mail(b'"' + b"x" * 100000 + b'"', b"--" + b"x" * 100000 + b"\r\n\r\ny\r\n"), mail(b'"a\\"b', b'--a"b\r\n\r\nx'),
                      mail(b"b; boundary=c", b"--b\r\n\r\nx\r\n--c\r\n\r\ny\r\n--b--\r\n--c--\r\n"), mail(b"b", b""), mail(b"b", b"--b"),
                      mail(b"-", b"----\r\n" * 5000), mail(b"b", b"-" * 1000000), mail(b"b", b"--b " * 250000),
                      b"Content-Type: multipart/mixed\r\n\r\n--\r\n--\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"\r\n", b":")

    def headers_without_end(self):
        self._look_at(b"a: b\r\n" * 1000000 + b"\r\nx\r\n", b"x\r\n" * 300000)

    def a_header_of_fifty_megabytes(self):
        with self.session() as client:
            self._append(client, b"Subject: " + b"x" * 50000000 + b"\r\n\r\nx\r\n")
            for command in LOOKS:
                _, answer = client.command(command.replace("X-NONE)]", "X-NONE)]<0.100>"))
                check(answer is not None and answer.startswith(("OK ", "NO ")), f"{command}: {answer}")
                self.good(client.watcher, "NOOP")
            equal(len(self.good(client, "FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]<49999999.100>")[0].split("{")[1]), 20, "its end")

    def addresses_and_words(self):
        much = 100000 if e2e.LONG else 10000
        end = b"\r\n\r\nx\r\n"
        self._look_at(b"To: " + b"a@b.c," * 500000 + end, b"From: " + b"(" * 5 * much + end, b"To: " + b"g:" * 2 * much + b"a@b" + b";" * 2 * much + end,
                      b"Cc: " + b'"\\' * 3 * much + end, b"Subject: " + b"=?utf-8?q?x?= " * much + end, b"Subject: " + b"=?" * 5 * much + end,
                      b"Subject: " + b"re: " * 3 * much + end, b"Subject: " + b"[" * 5 * much + end,
                      b"Content-Type: text/plain" + b"".join(b"; name*%d*=x" % n for n in range(much // 2)) + end,
                      b"Received: x\r\n" * much + b"Date: " + b"1" * much + end)

    def references(self):
        """Chains, loops, the same ids for all, and a million of them in one field (THREAD, RFC 5256 §3)."""
        def mail(own, references):
            return b"Message-ID: <%s@x>\r\nReferences: %s\r\nSubject: s\r\n\r\nx\r\n" % (own, b" ".join(b"<%s@x>" % one for one in references))
        loops = [mail(b"%d" % n, [b"%d" % ((n + step) % 300) for step in (1, 7, 150)]) for n in range(300)]
        same = [mail(b"same", [b"same"] * 3) for _ in range(300)]
        chains = [mail(b"c%d" % n, [b"c%d" % one for one in range(n)]) for n in range(300)]
        with self.session() as client:
            for group in (loops, same, chains, [mail(b"m", (b"%d" % n for n in range(1000000))), mail(b"n", [b"m"] * 1000000)]):
                tag = client.tag()
                client.send(f"{tag} APPEND INBOX".encode() + b"".join(b" {%d+}\r\n" % len(one) + one for one in group) + b"\r\n")
                while not (client.response() or tag).startswith(tag):
                    pass
                client.waiting.remove(tag)
                count = int(self.good(client, "UID SEARCH RETURN (COUNT) ALL")[-1].split()[-1])
                for algorithm in ("REFERENCES", "REFS", "ORDEREDSUBJECT"):
                    threads = [one for one in self.good(client, f"THREAD {algorithm} UTF-8 ALL") if one.startswith("* THREAD")][0]
                    numbers = threads.replace("(", " ").replace(")", " ").split()[2:]
                    equal(sorted(map(int, numbers)), list(range(1, count + 1)), f"{algorithm}: each message once")
                self.good(client.watcher, "NOOP")
            equal(count, 902, "messages")

    # ---- extensions ----------------------------------------------------------------------------------------

    def compress_bomb(self):
        """RFC 4978: a gigabyte that is a megabyte on the wire, as one line and as the octets of a literal."""
        for front in (b"A9 SEARCH SUBJECT ", b"A9 APPEND INBOX {1073741824+}\r\n"):
            with self.session() as client:
                self.good(client, "COMPRESS DEFLATE")
                packer = zlib.compressobj(9, wbits=-15)
                with contextlib.suppress(ConnectionError):
                    client.connection.sendall(packer.compress(front))
                    for _ in range(1024):
                        client.connection.sendall(packer.compress(b"x" * imap_hostile_e2e.PIECE))
                        self.good(client.watcher, "NOOP")
                    client.connection.sendall(packer.flush(zlib.Z_SYNC_FLUSH))
                with contextlib.suppress(ConnectionError):
                    while client.connection.recv(65536):
                        pass

    def catenate_that_grows(self):
        """RFC 4469: the same megabyte, as often as a line can ask for it, is refused by APPENDLIMIT, and nothing is stored."""
        with self.session() as client:
            self._append(client, b"Subject: x\r\n\r\n" + b"y" * 998000)
            self.refused(client, "APPEND INBOX CATENATE (" + " ".join(['URL "/INBOX/;UID=1"'] * 20000) + ")", "NO [TOOBIG]", "NO [LIMIT]")
            equal(self.good(client, "STATUS INBOX (MESSAGES)")[-1], "* STATUS INBOX (MESSAGES 1)", "what is there")

    def a_gigabyte_that_nobody_reads(self):
        """Many times the same mail in one command: the server's memory does not hold what the client does not take."""
        with self.session() as client:
            self._append(client, b"Subject: x\r\n\r\n" + b"y" * 2000000)
            client.send(b"A9 FETCH 1 (" + b" ".join(b"BODY.PEEK[]<%d.2000000>" % n for n in range(500)) + b")\r\n")
            client.connection.recv(1000)
            for _ in range(20):
                self.good(client.watcher, "NOOP")
                self._append(client.watcher, b"Subject: meanwhile\r\n\r\nx\r\n")
                check(self.good(client.watcher, "FETCH 1 (FLAGS)"), "others are served")

    def ranges_of_octets(self):
        with self.session(mails=2) as client:
            for partial in ("<4294967295.4294967295>", "<9223372036854775807.1>", "<0.4294967296>"):
                _, answer = client.command(f"FETCH 1 BODY.PEEK[]{partial}")
                check(answer.startswith(("OK ", "BAD ")), f"{partial}: {answer}")
            for bad in ("<0.0>", "<-1.5>", "<1>", "<99999999999999999999.1>", "<1.99999999999999999999>", "<1.2.3>"):
                self.refused(client, f"FETCH 1 BODY.PEEK[]{bad}", "BAD ")
            self.refused(client, "FETCH 1 (" + "BODY.PEEK[]<0.1> " * 2000 + "FLAGS)", "NO [LIMIT]", "BAD ")
            self.refused(client, "UID FETCH 1:* FLAGS (PARTIAL 0:5)", "BAD ")
            self.refused(client, "UID FETCH 1:* FLAGS (PARTIAL 1:-5)", "BAD ")
            self.refused(client, "UID FETCH 1:* FLAGS (PARTIAL 1:4294967296)", "BAD ")
            equal(len(self.good(client, "UID FETCH 1:* FLAGS (PARTIAL 4294967290:4294967295)")), 0, "beyond the end")
            equal(len(self.good(client, "UID FETCH 1:* FLAGS (PARTIAL -1:-4294967295)")), 2, "from the end")

    def searches_that_take_long(self):
        with self.session() as client:
            self._append(client, b"Subject: a\r\n\r\n" + b"aaaaaaaaab" * 50000)
            self.good(client, "SEARCH BODY " + "a" * 100000 + "b")
            self.good(client, "SEARCH " + "BODY aaaaaaaaaaaaaaaaaaaaaaaab " * 200 + "ALL")
            self.refused(client, "SEARCH " + "TEXT x " * 6000 + "ALL", "NO [LIMIT]")
            odd = ",".join(str(2 * number + 1) for number in range(30000))
            self.good(client, f"SEARCH {odd} UID {odd} OR {odd} NOT {odd}")
            self.refused(client, "SORT (" + "SUBJECT " * 5000 + "DATE) UTF-8 ALL", "BAD ", "NO [LIMIT]", "OK ")
            self.good(client, "SEARCH RETURN (SAVE) ALL")
            self.good(client, "SEARCH " + "$ NOT $ " * 2000 + "ALL")

    def contexts_and_filters(self):
        """RFC 5267 §4.3.1: a server may say NO to an UPDATE that is too much. RFC 5466: filters that name each other."""
        with self.session(mails=2) as client:
            answers = [client.command(f"SEARCH RETURN (UPDATE COUNT) SUBJECT mail{number}") for number in range(100)]
            check(all(answer.startswith("OK ") for _, answer in answers), "the search itself is answered")
            check(any("[NOUPDATE" in one for untagged, answer in answers for one in (*untagged, answer)), "one too many says NOUPDATE")
            for number in range(50):
                value = f"FILTER f{number + 1} FILTER f{(number + 1) % 50}"
                self.good(client, f'SETMETADATA "" (/private/filters/values/f{number} "{value}")')
            self.refused(client, "SEARCH FILTER f0", "NO ", "BAD ")

    def annotations(self):
        with self.session() as client:
            self.refused(client, 'SETMETADATA "" (/private/comment {70000+}\r\n' + "x" * 70000 + ")", "NO [METADATA MAXSIZE 65536]")
            self.refused(client, "SETMETADATA \"\" (" + " ".join(f"/private/x{n} y" for n in range(5000)) + ")", "NO [METADATA TOOMANY]", "NO [LIMIT]",
                         "BAD ")
            self.refused(client, 'SETMETADATA "" (/private' + "/x" * 5000 + " y)", "BAD ", "NO ")
            self.refused(client, 'GETMETADATA (DEPTH infinity MAXSIZE 99999999999999999999) "" /private', "BAD ")

    def many_mailboxes(self):
        """NOTIFY over all of them, names that change under a LIST, and one pattern for all."""
        count = 10000 if e2e.LONG else 500
        with self.session() as client:
            for first in range(0, count, 100):
                client.send("".join(f"C{number} CREATE m{number}/x\r\n" for number in range(first, first + 100)).encode())
                for number in range(first, first + 100):
                    check(client.response().startswith(f"C{number} OK"), "CREATE")
            self.good(client, "NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))")
            # the client does not read what it is told
            for number in range(0, count, 10):
                self._append_to(client.watcher, f"m{number}/x")
                self.good(client.watcher, f"RENAME m{number} n{number}")
                self.good(client.watcher, f"RENAME n{number} m{number}")
            untagged = self.good(client, "NOOP")
            if not any("NOTIFICATIONOVERFLOW" in one for one in untagged):
                for number in range(0, count, 10):
                    told = (f"* STATUS m{number}/x ", f"* STATUS n{number}/x ")  # it may hear of it between the two
                    check(any(one.startswith(told) for one in untagged), f"m{number}/x is told")
            equal(len([one for one in self.good(client, 'LIST "" *') if "/x" in one]), count, "names")
            equal(len([one for one in self.good(client, 'LIST "" (' + " ".join(["%/x"] * 30) + ") RETURN (STATUS (MESSAGES))") if " LIST " in one]),
                  count, "the same from many patterns")

    def _append_to(self, client, mailbox):
        self.good(client, f"APPEND {mailbox} {{17+}}\r\nSubject: x\r\n\r\ny\r\n")

    def names_that_go_in_circles(self):
        with self.session() as client:
            self.good(client, "CREATE a/b/c")
            self.refused(client, "RENAME a a/b/c/d", "NO ")
            for _ in range(100):
                self.good(client, "RENAME a " + "/".join("x" * 20))
                self.good(client, "RENAME " + "/".join("x" * 20) + " a")
                check(any('"/" a/b/c' in one for one in self.good(client.watcher, 'LIST "" *')), "it is still there")

    def idle_that_is_none(self):
        """What comes within IDLE is DONE or ends it: RFC 2177."""
        for text in (b"NOOP\r\n", b"x" * 100000 + b"\r\n", b"DONEX\r\n", b"\r\n", b"\0\r\n"):
            with self.session() as client:
                client.send(b"A9 IDLE\r\n")
                check(client.response().startswith("+"), "IDLE")
                client.send(text)
                answer = client.response()
                check(answer is None or answer.startswith(("A9 BAD", "* BYE")), f"{text[:10]!r}: {answer}")


if __name__ == "__main__":
    imap_hostile_e2e.main(Tests)
