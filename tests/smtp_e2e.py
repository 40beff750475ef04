#!/usr/bin/env python3
"""SMTP, submission and LMTP through the front door: extensions, limits, abuse, headers (RFC 5321, 6409, 2033, 3030)."""
import base64
import email
import email.policy
import imaplib
import re
import socket
import struct
import sys

import e2e
from e2e import check, equal

ACCOUNTS = 110
SENDER = "sender@elsewhere.test"


class Tests:
    """The tests of the usual instance; each takes fresh accounts."""

    def __init__(self, instance):
        self.instance = instance

    def user(self):
        return self.instance.fresh_user()

    def nothing_for(self, *users):
        for user in users:
            equal(self.instance.mails(user), [], f"the mails of {user}")

    def one_for(self, user, reply):
        """The only mail of an account, once the queue has delivered it."""
        self.instance.wait_delivered(reply)
        mails = self.instance.mails(user)
        equal(len(mails), 1, f"number of mails of {user}")
        return mails[0]

    def begin(self, user, service="smtp", sender=SENDER):
        client = self.instance.smtp(service)
        client.envelope(sender, [user])
        return client

    # ---- extensions ------------------------------------------------------------------------------------

    def extensions_per_port(self):
        common = {"PIPELINING", "SIZE 52428800", "8BITMIME", "CHUNKING", "BINARYMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES",
                  "LIMITS MAILMAX=1000 RCPTMAX=1000"}
        for service, more, never in (("smtp", {"STARTTLS", "HELP", "VRFY"}, {"AUTH"}), ("lmtp", set(), {"AUTH", "STARTTLS"}),
                                     ("submission", {"STARTTLS", "HELP", "VRFY"}, set()),
                                     ("submissions", {"HELP", "VRFY"}, {"STARTTLS"})):
            offered = self.extensions(self.instance.smtp(service), service)
            check(common | more <= offered, f"{service}: lacks {common | more - offered}, offers {offered}")
            words = {line.split()[0] for line in offered}
            check(not never & words, f"{service} offers {never & words}")
            if service.startswith("submission"):
                auth, = (line for line in offered if line.startswith("AUTH "))
                check({"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(auth.split()), auth)

    def extensions(self, client, service="smtp"):
        with client:
            reply = client.say(f"{'LHLO' if service == 'lmtp' else 'EHLO'} client.test", "250").split("\n")
        return {line[4:] for line in reply[1:]}

    def starttls_vanishes_after_tls(self):
        with self.instance.smtp("smtp") as client:
            client.say("STARTTLS", "220")
            client.start_tls(self.instance.tls())
            client.say("MAIL FROM:<>", "503 5.5.1")  # RFC 3207 §4.2: EHLO was forgotten
            reply = client.say("EHLO client.test", "250")
            check("STARTTLS" not in reply, reply)
            client.say("STARTTLS", "503")

    def login_changes_ehlo(self):
        with self.instance.smtp("submission", user=self.user()) as client:
            reply = client.say("EHLO client.test", "250")
            check("AUTH" not in reply and "STARTTLS" not in reply, reply)
            client.say("AUTH PLAIN", "503")

    def size_parameter(self):
        user = self.user()
        with self.instance.smtp() as client:
            client.say(f"MAIL FROM:<{SENDER}> SIZE=52428801", "552 5.3.4")
            client.say(f"MAIL FROM:<{SENDER}> SIZE=99999999999999999999", "5")
            client.say(f"MAIL FROM:<{SENDER}> SIZE=x", "501 5.5.4")
            reply = client.transact(SENDER, [user], b"Subject: small\r\n\r\n")
        self.one_for(user, reply)

    def mail_parameters(self):
        user = self.user()
        with self.instance.smtp() as client:
            client.say(f"MAIL FROM:<{SENDER}> BODY=9BIT", "501 5.5.4")
            client.say(f"MAIL FROM:<{SENDER}> COLOUR=BLUE", "555 5.5.4")
            client.say(f"MAIL FROM:{SENDER}", "501")
            client.say("MAIL FROM:<a@b@c>", "501")
            client.say("MAIL TO:<a@b.test>", "501 5.5.4")
            client.say(f"MAIL FROM:<{SENDER}> BODY=8BITMIME SIZE=100", "250 2.1.0")
            client.say(f"RCPT TO:<{user}> COLOUR=BLUE", "555 5.5.4")
            client.say(f"RCPT FROM:<{user}>", "501 5.5.4")
            client.say(f"RCPT TO:<{user}>", "250 2.1.5")
            reply, = client.data("Subject: grün\r\n\r\nčč\r\n".encode())
        mail = self.one_for(user, reply)
        check(mail.endswith("\r\n\r\nčč\r\n".encode()), e2e.short(mail))

    def auth_parameter(self):
        """RFC 4954 §5: where AUTH is offered; after the hand-over, too, when EHLO lists it no more."""
        user = self.user()
        for service in ("submission", "submissions"):
            with self.instance.smtp(service, user=user) as client:
                for value in ("<>", user, "someone+2Belse@elsewhere.test", "user+40" + e2e.DOMAIN):
                    client.say(f"MAIL FROM:<{user}> AUTH={value}", "250 2.1.0")
                    client.say("RSET", "250")
                for value in ("", "a", "user+3dx@y.test", "user+3@y.test"):
                    client.say(f"MAIL FROM:<{user}> AUTH={value}", "501 5.5.4")
                client.say(f"MAIL FROM:<{user}> AUTH=<> AUTH=<>", "501 5.5.4")
        for service in ("smtp", "lmtp"):
            with self.instance.smtp(service) as client:
                client.say(f"MAIL FROM:<{SENDER}> AUTH=<>", "555 5.5.4")

    def smtputf8(self):
        user = self.user()
        with self.instance.smtp() as client:
            client.say("MAIL FROM:<jürgen@elsewhere.test>".encode() + b"\r\n", "553 5.6.7")
            client.say("MAIL FROM:<jürgen@elsewhere.test> SMTPUTF8".encode() + b"\r\n", "250")
            client.say("RCPT TO:<jürgen@elsewhere.test>".encode() + b"\r\n", "550 5.7.1")
            client.say(f"RCPT TO:<{user}>", "250")
            reply, = client.data("From: jürgen@elsewhere.test\r\n\r\n".encode())
        self.instance.wait_delivered(reply)
        with self.instance.pop3(user, utf8=True) as client:
            mail = client.retr(1)
        check(mail.startswith("Return-Path: <jürgen@elsewhere.test>\r\n".encode()), e2e.short(mail))
        check(b"with UTF8SMTP" in mail, e2e.short(mail))

    def pipelining_one_packet(self):
        for service, hello in (("smtp", "EHLO"), ("lmtp", "LHLO")):
            user = self.user()
            mail = b"Subject: at once\r\n\r\n.dot\r\n"
            with e2e.Smtp(self.instance.connect(service).connection) as client:
                client.send(f"{hello} client.test\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{user}>\r\nDATA\r\n".encode() +
                            e2e.stuffed(mail) + b"NOOP\r\nQUIT\r\n")
                for beginning in ("220", "250", "250 2.1.0", "250 2.1.5", "354"):
                    client.expect(beginning)
                reply = client.expect("250 2.0.0 Ok: queued as")
                client.expect("250")
                client.expect("221")
                client.ended()
            equal(e2e.body_of(self.one_for(user, reply)), mail, "the mail")

    def pipelined_hundred_transactions(self):
        user = self.user()
        with self.instance.smtp() as client:
            mails = [f"Subject: {i}\r\n\r\n".encode() for i in range(100)]
            client.send(b"".join(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{user}>\r\nDATA\r\n".encode() + e2e.stuffed(m) for m in mails))
            replies = []
            for _ in mails:
                for beginning in ("250", "250", "354"):
                    client.expect(beginning)
                replies.append(client.expect("250"))
        self.instance.wait_all_delivered({e2e.QUEUED.search(r).group(1): 1 for r in replies})
        equal(sorted(e2e.body_of(m) for m in self.instance.mails(user)), sorted(mails), "the mails")

    # ---- CHUNKING --------------------------------------------------------------------------------------

    def chunks(self, user, client, *chunks):
        """BDAT commands with their chunks, all in one packet; the replies."""
        client.send(b"".join(command.encode() + b"\r\n" + chunk for command, chunk in chunks))
        return [client.expect("") for _ in chunks]

    def bdat_good(self):
        mail = b"Subject: chunks\r\n\r\n.\r\n..\r\na line that is cut"
        for pieces in ([mail], [mail[:1], mail[1:]], [mail[:16], b"", mail[16:], b""], [mail[i:i + 1] for i in range(len(mail))]):
            user = self.user()
            with self.begin(user) as client:
                last = len(pieces) - 1
                replies = self.chunks(user, client, *((f"BDAT {len(p)}{' LAST' if i == last else ''}", p) for i, p in enumerate(pieces)))
                for reply in replies:
                    check(reply.startswith("250 2.0.0"), reply)
                client.say("NOOP", "250")
            equal(e2e.body_of(self.one_for(user, replies[-1])), mail + b"\r\n", "the mail")

    def bdat_refused(self):
        """A chunk behind a refused BDAT is never read as commands."""
        smuggled = b"NOOP\r\nQUIT\r\n"
        user = self.user()
        with self.instance.smtp() as client:  # before the hand-over
            client.send(b"BDAT 12 LAST\r\n" + smuggled)
            client.expect("503 5.5.1")
            client.say("NOOP", "250")
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.send(b"BDAT 12 LAST\r\n" + smuggled)
            client.expect("503 5.5.1")
            client.say("NOOP", "250")
            client.say(f"RCPT TO:<{user}>", "250")
            client.send(b"BDAT 2 LAST\r\n\r\n")
            reply = client.expect("250 2.0.0")
            client.send(b"BDAT 12 LAST\r\n" + smuggled)  # LAST twice
            client.expect("503 5.5.1")
            client.say("NOOP", "250")
        equal(e2e.body_of(self.one_for(user, reply)), b"\r\n", "the mail")

    def bdat_order(self):
        user = self.user()
        with self.begin(user) as client:
            client.send(b"BDAT 4\r\na: b")
            client.expect("250")
            client.say("DATA", "503 5.5.1")
            client.say(f"MAIL FROM:<{SENDER}>", "503 5.5.1")
            client.say(f"RCPT TO:<{user}>", "503 5.5.1")
            client.say("RSET", "250")
            client.say("BDAT 0 LAST", "503 5.5.1")
        self.nothing_for(user)

    def bdat_abuse(self):
        """A size that is no size: nobody knows where the next command begins, so the connection ends."""
        user = self.user()
        for size in ("9223372036854775808", "18446744073709551616", "-1", "x", "5 FIRST", "0x10", "1e3"):
            with self.begin(user) as client:
                client.send(f"BDAT {size}\r\nQUIT\r\nNOOP\r\n")
                client.expect("501 5.5.4")
                equal(client.rest(), b"", f"bytes behind the answer to BDAT {size}")
            with self.instance.smtp() as client:
                client.send(f"BDAT {size}\r\nQUIT\r\nNOOP\r\n")
                client.expect("50")
                equal(client.rest(), b"", f"bytes behind the answer to BDAT {size} before MAIL")
        with self.begin(user) as client:
            client.send(b"BDAT 9223372036854775807 LAST\r\n" + b"x" * 100000)
            client.connection.shutdown(socket.SHUT_WR)
            equal(client.rest(), b"", "an answer to a chunk that was cut off")
        with self.begin(user) as client:
            client.send(b"BDAT 10 LAST\r\nSubject")
            client.connection.shutdown(socket.SHUT_WR)
            equal(client.rest(), b"", "an answer to a chunk that was cut off")
        self.nothing_for(user)

    def bdat_line_ends(self):
        """Text chunks: a CRLF may be cut in two, a bare CR or LF is refused wherever it is cut."""
        for pieces, accepted in (((b"a: b\r", b"\n\r\n"), True), ((b"a: b\r\n", b"\n"), False), ((b"a: b\r", b"c\r\n"), False),
                                 ((b"a: b\r\n\r\nx", b"\ny\r\n"), False), ((b"a: b\r\n\r\nx\r", b""), False), ((b"a: b\r", b"\r\n"), False),
                                 ((b"\n", b"a: b\r\n"), False)):
            user = self.user()
            with self.begin(user) as client:
                _, reply = self.chunks(user, client, (f"BDAT {len(pieces[0])}", pieces[0]), (f"BDAT {len(pieces[1])} LAST", pieces[1]))
                check(reply.startswith("250" if accepted else "550 5.5.2"), f"{pieces}: {reply}")
                client.say("NOOP", "250")
            if accepted:
                equal(e2e.body_of(self.one_for(user, reply)), b"".join(pieces), "the mail")
            else:
                self.nothing_for(user)

    def binarymime(self):
        user = self.user()
        octets = bytes(range(256)) * 20 + b"\r.\n.\r\n"
        mail = (b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets)
        with self.instance.smtp() as client:
            client.say(f"MAIL FROM:<{SENDER}> BODY=BINARYMIME", "250")
            client.say(f"RCPT TO:<{user}>", "250")
            client.say("DATA", "503 5.5.1")
            reply = self.chunks(user, client, (f"BDAT {len(mail)} LAST", mail))[0]
            check(reply.startswith("250 2.0.0"), reply)
        stored = self.one_for(user, reply)
        check(b"\0" not in stored and b"\n" not in stored.replace(b"\r\n", b""), "the stored mail is not lines of text")
        equal(email.message_from_bytes(stored).get_payload(decode=True), octets, "the octets of the part")

    # ---- before log-in, TLS, AUTH --------------------------------------------------------------------------

    def starttls_injection(self):
        user = self.user()
        for service in ("smtp", "submission"):
            with self.instance.smtp(service) as client:
                client.send(f"STARTTLS\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{user}>\r\n".encode())
                client.expect("501 5.5.4")
                equal(client.rest(), b"", f"{service}: bytes behind the refusal")
                check("starttls-injection" in self.instance.log(), "the attempt in the log")
            with self.instance.smtp(service) as client:
                client.say("STARTTLS", "220")
                client.send("NOOP")  # in clear text, where TLS begins
                check(b"250" not in client.rest(), f"{service}: a command in clear text was carried out")

    def auth_line_limit(self):
        """RFC 4954 §4: AUTH lines may have 12,288 octets with CRLF, and one too long ends the exchange."""
        with self.instance.smtp("submission") as client:
            for room, beginning in ((12288, "501 5.5.2"), (12289, "500 5.5.6"), (300000, "500 5.5.6")):
                client.say("AUTH PLAIN " + "A" * (room - len("AUTH PLAIN \r\n")), beginning)
                client.say("AUTH PLAIN", "334")
                client.say("A" * (room - len("\r\n")), beginning)
                client.say("NOOP", "250")
            client.say("NOOP " + "x" * 2042, "500 5.5.6")  # other lines stay short

    def auth_pipelined(self):
        """What comes behind AUTH in the same packet waits for the log-in, and is refused with it."""
        user = self.user()
        envelope = f"MAIL FROM:<{user}>\r\nRCPT TO:<{user}>\r\n".encode()
        for words, replies in ((f"AUTH PLAIN {e2e.plain(user)}", ("235", "250 2.1.0", "250 2.1.5")),
                               (f"AUTH PLAIN {e2e.plain(user, 'wrong')}", ("535", "530", "530")),
                               ("AUTH PLAIN\r\n*", ("334", "501 5.7.0", "530", "530")), ("AUTH LOGIN\r\nAAAA\r\n*", ("334", "501", "500", "530", "530"))):
            with self.instance.smtp("submission") as client:
                client.send(words.encode() + b"\r\n" + envelope)
                for beginning in replies:
                    client.expect(beginning)

    def auth_refused(self):
        user = self.user()
        with self.instance.smtp("submission") as client:
            client.say("AUTH PLAIN !!!!", "501 5.5.2")
            client.say("AUTH PLAIN " + "A" * 9, "501 5.5.2")
            client.say("AUTH PLAIN AAAA=AAA", "501 5.5.2")
            client.say("AUTH PLAIN " + base64.b64encode(b"no nul").decode(), "5")
            client.say("AUTH", "501 5.5.4")
            client.say("AUTH X-UNKNOWN", "504 5.5.4")
            client.say("AUTH PLAIN", "334")
            client.say("*", "501")
            client.say("AUTH LOGIN", "334")
            client.say("not base64", "501 5.5.2")
            client.say("AUTH PLAIN " + e2e.plain(user, "wrong"), "535 5.7.8")
            client.say("AUTH PLAIN " + e2e.plain(f"nobody@{e2e.DOMAIN}"), "535 5.7.8")
            client.say("AUTH PLAIN " + base64.b64encode(f"other\0{user}\0{e2e.PASSWORD}".encode()).decode(), "535 5.7.8")
            client.say("MAIL FROM:<>", "530 5.7.0")
            client.say("AUTH PLAIN " + e2e.plain(user), "235 2.7.0")

    def login_required(self):
        for service in ("submission", "submissions"):
            with self.instance.smtp(service) as client:
                client.say("MAIL FROM:<>", "530 5.7.0")
                client.say("VRFY x", "530 5.7.0")

    def no_auth_on_25(self):
        user = self.user()
        with self.instance.smtp("smtp") as client:
            client.say("AUTH PLAIN " + e2e.plain(user), "502 5.5.1")
            client.say("STARTTLS", "220")
            client.start_tls(self.instance.tls())
            client.say("EHLO client.test", "250")
            client.say("AUTH PLAIN " + e2e.plain(user), "502 5.5.1")

    def after_handover(self):
        user = self.user()
        with self.begin(user) as client:
            client.say("STARTTLS", "503 5.5.1")
            client.say("RSET", "250")
            client.say("STARTTLS", "503 5.5.1")
            reply = client.say("EHLO again.test", "250")
            check("STARTTLS" not in reply and "AUTH" not in reply and "PIPELINING" in reply, reply)
        with self.instance.smtp("submission", user=user) as client:
            client.say(f"MAIL FROM:<{user}>", "250")
            client.say("RSET", "250")
            client.say("AUTH PLAIN " + e2e.plain(user), "503 5.5.1")

    # ---- commands --------------------------------------------------------------------------------------

    def harmless_commands(self):
        user = self.user()
        with self.instance.smtp() as client:
            for _ in range(2):  # before the hand-over and after it
                client.say(f"VRFY {user}", "252 2.5.0")
                client.say(f"VRFY nobody@{e2e.DOMAIN}", "252 2.5.0")
                client.say("VRFY", "501 5.5.4")
                client.say("HELP", "214 2.0.0")
                client.say("HELP MAIL", "214 2.0.0")
                client.say("NOOP with words", "250")
                client.say("EXPN list", "502 5.5.1")
                client.say("RSET", "250")
                client.say("RSET now", "501 5.5.4")
                client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say("QUIT now", "501 5.5.4")

    def help_is_of_the_protocol(self):
        for service, first, last in (("smtp", "EHLO HELO STARTTLS MAIL", "RFC 5321"), ("submission", "EHLO HELO STARTTLS AUTH MAIL", "RFC 6409"),
                                     ("lmtp", "LHLO MAIL", "RFC 2033")):
            with self.instance.smtp(service) as client:
                reply = client.say("HELP", f"214 2.0.0 {first} RCPT DATA BDAT RSET NOOP HELP VRFY QUIT")
                check(reply.endswith(f"see {last}"), reply)

    def helo_is_enough(self):
        user = self.user()
        with e2e.Smtp(self.instance.connect("smtp").connection) as client:
            client.expect("220")
            client.say("MAIL FROM:<>", "503 5.5.1")
            client.say("HELO", "501")
            client.say("HELO old.test", "250 mail.example.test")
            reply = client.transact("", [user], b"Subject: old\r\n\r\n")
        mail = self.one_for(user, reply)
        check(b" with SMTP " in re.sub(rb"\s+", b" ", mail), e2e.short(mail))

    def ehlo_resets(self):
        user = self.user()
        with self.begin(user) as client:
            client.say("EHLO again.test", "250")
            client.say("DATA", "503 5.5.1")
            client.say(f"RCPT TO:<{user}>", "503 5.5.1")
            client.envelope(SENDER, [user])
            client.say("RSET", "250")
            client.say("DATA", "503 5.5.1")
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"MAIL FROM:<{SENDER}>", "503 5.5.1")
        self.nothing_for(user)

    def null_sender(self):
        user = self.user()
        with self.instance.smtp() as client:
            reply = client.transact("", [user], b"Subject: bounce\r\n\r\n")
        check(self.one_for(user, reply).startswith(b"Return-Path: <>\r\n"), "Return-Path")

    def postmaster(self):
        first = f"user0@{e2e.DOMAIN}"
        for number, address in enumerate(("Postmaster", "postmaster@" + e2e.DOMAIN, "POSTMASTER@" + e2e.DOMAIN.upper(),
                                            "postmaster@mail." + e2e.DOMAIN), 1):
            with self.instance.smtp() as client:
                reply = client.transact(SENDER, [address], b"Subject: help\r\n\r\n")
            self.instance.wait_delivered(reply)
            equal(len(self.instance.mails(first)), number, "mails of the postmaster")

    def many_recipients(self):
        users = [self.user() for _ in range(20)]
        mail = b"Subject: all\r\n\r\nthe same\r\n"
        with self.instance.smtp() as client:
            reply = client.transact(SENDER, users, mail)
        self.instance.wait_delivered(reply, len(users))
        for user in users:
            received, = self.instance.mails(user)
            equal(e2e.body_of(received), mail, f"the mail of {user}")
            check(f"Delivered-To: {user}\r\n".encode() in received, "Delivered-To")
            others = [u for u in users if u != user and u.encode() in received]
            equal(others, [], "other recipients in the mail")

    def too_many_recipients(self):
        """RFC 5321 §4.5.3.1.10: those that were accepted stay accepted."""
        local, domain = self.user().split("@")
        with self.instance.smtp() as client:
            client.envelope(SENDER, [f"{local}+{i}@{domain}" for i in range(1000)])
            client.say(f"RCPT TO:<{local}@{domain}>", "452 4.5.3")
            client.say("RSET", "250")

    def refused_recipients(self):
        user = self.user()
        with self.instance.smtp() as client:
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"RCPT TO:<nobody@{e2e.DOMAIN}>", "550 5.1.1")
            client.say("RCPT TO:<someone@elsewhere.test>", "550 5.7.1")
            client.say(f"RCPT TO:<someone%elsewhere.test@{e2e.DOMAIN}>", "550 5.1.1")
            client.say(f'RCPT TO:<"someone@elsewhere.test"@{e2e.DOMAIN}>', "550 5.1.1")
            client.say("RCPT TO:<>", "5")
            client.say("DATA", "503 5.5.1")
            client.say(f"RCPT TO:<{user.upper()}>", "250")
            reply, = client.data(b"Subject: x\r\n\r\n")
        self.one_for(user, reply)

    def disabled_recipient(self):
        user = self.user()
        self.instance.ctl("account", "disable", user)
        with self.instance.smtp() as client:
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"RCPT TO:<{user}>", "550 5.2.1")
            self.instance.ctl("account", "enable", user)
            client.say(f"RCPT TO:<{user}>", "250")

    def aliases_and_details(self):
        one, two = self.user(), self.user()
        self.instance.ctl("alias", "add", f"both{one}", one, two)
        with self.instance.smtp() as client:
            reply = client.transact(SENDER, [f"both{one}"], b"Subject: alias\r\n\r\n")
            self.instance.wait_delivered(reply, 2)
            local, domain = one.split("@")
            reply = client.transact(SENDER, [f"{local}+shop@{domain}"], b"Subject: detail\r\n\r\n")
            self.instance.wait_delivered(reply)
        equal([len(self.instance.mails(u)) for u in (one, two)], [2, 1], "mails behind an alias")
        check(f"Delivered-To: {local}+shop@{domain}\r\n".encode() in self.instance.mails(one)[1], "the detail in Delivered-To")

    def catch_all(self):
        """What nobody has in a domain goes to one account; who is there keeps what is theirs."""
        one, domain = self.user(), "caught.test"
        self.instance.ctl("domain", "add", domain)
        self.instance.ctl("account", "add", f"known@{domain}", text_input=f"{e2e.PASSWORD}\n")
        with self.instance.smtp() as client:
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"RCPT TO:<any.body@{domain}>", "550 5.1.1")
            client.say("RSET", "250")
            self.instance.ctl("domain", "set", domain, "catch-all", one)
            for local in ("any.body", "any+thing", "known"):
                self.instance.wait_delivered(client.transact(SENDER, [f"{local}@{domain}"], b"Subject: x\r\n\r\n"))
        equal([re.search(rb"Delivered-To: (.*)\r\n", m)[1].decode() for m in self.instance.mails(one)],
              [f"any.body@{domain}", f"any+thing@{domain}"], "what was caught")
        equal(len(self.instance.mails(f"known@{domain}")), 1, "mails of the one that is there")

    def over_quota(self):
        few, small = self.user(), self.user()
        self.instance.ctl("account", "set", few, "quota-messages", "1")
        self.instance.ctl("account", "set", small, "quota-bytes", "20000")
        with self.instance.smtp() as client:
            self.instance.wait_delivered(client.transact(SENDER, [few], b"Subject: first\r\n\r\n"))
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"RCPT TO:<{few}>", "452 4.2.2")
            client.say("RSET", "250")
            client.say(f"MAIL FROM:<{SENDER}> SIZE=30000", "250")
            client.say(f"RCPT TO:<{small}>", "552 5.2.2")
            client.say("RSET", "250")
            reply = client.transact(SENDER, [small], b"Subject: no SIZE\r\n\r\n" + b"x" * 30000 + b"\r\n", beginning="5")
            check(reply.startswith("552 5.2.2"), reply)
        self.nothing_for(small)

    def room_again(self):
        user = self.user()
        self.instance.ctl("account", "set", user, "quota-messages", "1")

        def answer(command):
            with self.instance.smtp() as client:
                client.say(f"MAIL FROM:<{SENDER}>", "250")
                return client.ask(command)[:9]

        def fill():
            with self.instance.smtp() as client:
                self.instance.wait_delivered(client.transact(SENDER, [user], b"Subject: one\r\n\r\n"))
            equal(answer(f"RCPT TO:<{user}>"), "452 4.2.2", "a full account")

        fill()
        with self.instance.pop3(user) as client:
            client.ok("DELE 1")
            client.ok("QUIT")
        e2e.until(lambda: answer(f"RCPT TO:<{user}>").startswith("250"), "room after QUIT of POP3")
        fill()
        with imaplib.IMAP4("127.0.0.1", self.instance.port("imap")) as client:
            client.login(user, e2e.PASSWORD)
            client.select()
            client.store("1", "+FLAGS", "\\Deleted")
            client.expunge()
            e2e.until(lambda: answer(f"RCPT TO:<{user}>").startswith("250"), "room after EXPUNGE, the session goes on")
            client.create("other")
            client.append("other", None, None, b"Subject: x\r\n\r\n")
            e2e.until(lambda: answer(f"RCPT TO:<{user}>") == "452 4.2.2", "full after APPEND")
            client.delete("other")
            e2e.until(lambda: answer(f"RCPT TO:<{user}>").startswith("250"), "room after DELETE")

    def a_limit_of_ones_own(self):
        user = self.user()
        with imaplib.IMAP4("127.0.0.1", self.instance.port("imap")) as client, self.instance.smtp() as smtp:
            client.login(user, e2e.PASSWORD)

            def answer():
                smtp.ask("RSET")
                smtp.say(f"MAIL FROM:<{SENDER}>", "250")
                return smtp.ask(f"RCPT TO:<{user}>")[:9]

            self.instance.wait_delivered(smtp.transact(SENDER, [user], b"Subject: one\r\n\r\n"))
            equal(client.setquota('""', "(MESSAGE 1)")[0], "OK", "SETQUOTA")
            e2e.until(lambda: answer() == "452 4.2.2", "the own limit holds")
            client.setquota('""', "(MESSAGE 2)")
            e2e.until(lambda: answer().startswith("250"), "a higher own limit")
            self.instance.ctl("account", "set", user, "quota-messages", "1")
            e2e.until(lambda: answer() == "452 4.2.2", "the administrator's limit, which is lower")
            self.instance.ctl("account", "set", user, "quota-messages", "5")
            e2e.until(lambda: answer().startswith("250"), "the own limit again")
            client.setquota('""', "(MESSAGE 1)")
            e2e.until(lambda: answer() == "452 4.2.2", "the own limit holds")
            client.setquota('""', "()")
            e2e.until(lambda: answer().startswith("250"), "no own limit")

    def lmtp_answers_each(self):
        good, full, late = self.user(), self.user(), self.user()
        self.instance.ctl("account", "set", full, "quota-bytes", "20000")
        with self.instance.smtp("lmtp") as client:
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"RCPT TO:<{good}>", "250")
            client.say(f"RCPT TO:<nobody@{e2e.DOMAIN}>", "550 5.1.1")
            client.say(f"RCPT TO:<{full}>", "250")
            client.say("RCPT TO:<someone@elsewhere.test>", "550")
            client.say(f"RCPT TO:<{late}>", "250")
            replies = client.data(b"Subject: three\r\n\r\n" + b"x" * 30000 + b"\r\n", 3)
            equal([r[:9] for r in replies], ["250 2.0.0", "552 5.2.2", "250 2.0.0"], "the answers")
            client.say("NOOP", "250")
            client.say(f"MAIL FROM:<{SENDER}>", "250")
            client.say(f"RCPT TO:<nobody@{e2e.DOMAIN}>", "550 5.1.1")
            client.say("DATA", "503 5.5.1")
            client.say("EHLO client.test", "500 5.5.1")
        self.instance.wait_delivered(replies[0], 2)
        equal([len(self.instance.mails(u)) for u in (good, full, late)], [1, 0, 1], "mails")

    def remote_from_users_only(self):
        user = self.user()
        for service in ("smtp", "lmtp"):
            with self.instance.smtp(service) as client:
                client.say(f"MAIL FROM:<{user}>", "250")
                client.say("RCPT TO:<someone@elsewhere.test>", "550")
        self.instance.ctl("queue", "hold")  # there is no such host, which may be found out at once
        with self.instance.smtp("submission", user=user) as client:
            client.transact(user, ["someone@elsewhere.test"], b"Subject: away\r\n\r\n")
        waiting = self.instance.ctl("queue", "list").stdout
        check(user in waiting, f"the queue: {waiting}")
        self.instance.ctl("queue", "release")

    # ---- messages --------------------------------------------------------------------------------------

    def received_loop(self):
        user = self.user()
        field = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        with self.instance.smtp() as client:
            client.transact(SENDER, [user], field * 101 + b"\r\n", beginning="554 5.4.6")
            reply = client.transact(SENDER, [user], field * 100 + b"\r\n")
            self.instance.wait_delivered(reply)
        equal(len(self.instance.mails(user)), 1, "mails")

    def long_content_lines(self):
        user = self.user()
        mail = b"Subject: long\r\n\r\n" + b"a" * 998 + b"\r\n" + b"b" * 999 + b"\r\n" + b"c" * 100000 + b"\r\n" + b"d" * 1000 + b"\r\n"
        with self.instance.smtp() as client:
            reply = client.transact(SENDER, [user], mail)
        equal(e2e.body_of(self.one_for(user, reply)), mail, "the mail")

    def large_mail(self):
        """Larger than what travels inline: through a file."""
        mail = b"Subject: large\r\n\r\n" + b"".join(b"%07d." % i + b"x" * 60 + b"\r\n" for i in range(40000))
        for service in ("smtp", "lmtp"):
            user = self.user()
            with self.instance.smtp(service) as client:
                reply = client.transact(SENDER, [user], mail)
            equal(e2e.body_of(self.one_for(user, reply)), mail, f"the mail through {service}")
        user = self.user()
        with self.begin(user) as client:
            half = len(mail) // 2 + 1
            replies = self.chunks(user, client, (f"BDAT {half}", mail[:half]), (f"BDAT {len(mail) - half} LAST", mail[half:]))
        equal(e2e.body_of(self.one_for(user, replies[1])), mail, "the mail in chunks")

    def long_command_line(self):
        user = self.user()
        for prefix in (b"", b"NOOP ", b"MAIL FROM:<"):
            with self.instance.smtp() as client:
                client.send(prefix + b"x" * 1000000 + b"\r\nNOOP\r\n")
                client.expect("500 5.5.6")
                client.expect("250")
                client.envelope(SENDER, [user])
                client.send(prefix + b"x" * 1000000 + b"\r\nNOOP\r\n")
                client.expect("500 5.5.6")
                client.expect("250")
                reply, = client.data(b"Subject: after it\r\n\r\n")
                self.instance.wait_delivered(reply)
        equal(len(self.instance.mails(user)), 3, "mails")

    def bad_command_bytes(self):
        user = self.user()
        for before in (True, False):
            for line in (b"NOOP\n", b"NOOP\r", b"NO\0OP\r\n", b"NOOP \rx\r\n", b"\r\n", b"  \r\n", b"\xff\xfe\r\n"):
                with self.instance.smtp() if before else self.begin(user) as client:
                    client.send(line + b"VRFY x\r\n")
                    client.expect("50")
                    if line != b"NOOP\r":  # that one is a single line with the next
                        client.expect("252")

    def too_many_errors(self):
        user = self.user()
        for before in (True, False):
            with self.instance.smtp() if before else self.begin(user) as client:
                for _ in range(20):
                    client.say("BOGUS", "500 5.5.1")
                client.say("BOGUS", "500 5.5.1")
                client.expect("421 4.7.0")
                client.ended()
        with self.instance.smtp("submission") as client:  # guessing passwords is one, too
            for _ in range(17):
                client.say("BOGUS", "500 5.5.1")
            for _ in range(4):
                client.say("AUTH PLAIN " + e2e.plain(user, "wrong"), "535 5.7.8")
            client.expect("421 4.7.0")
            client.ended()

    def dot_stuffing(self):
        bodies = (b".", b"..", b".\r\n.", b"..\r\n...\r\n", b".x", b"x.", b"x\r\n.\r\ny\r\n", b"\r\n", b".\r\n\r\n.", b"a\r\n..b\r\n.c..\r\n")
        for service in ("smtp", "lmtp"):
            user = self.user()
            replies = []
            with self.instance.smtp(service) as client:
                for body in bodies:
                    replies.append(client.transact(SENDER, [user], b"a: b\r\n\r\n" + body))
            self.instance.wait_all_delivered({e2e.QUEUED.search(r).group(1): 1 for r in replies})
            wanted = [b"a: b\r\n\r\n" + body + (b"" if body.endswith(b"\r\n") else b"\r\n") for body in bodies]
            equal([e2e.body_of(m) for m in self.instance.mails(user)], wanted, f"the mails through {service}")

    def empty_mails(self):
        user = self.user()
        with self.instance.smtp() as client:
            for mail in (b"", b"\r\n", b"no header at all\r\n"):
                reply = client.transact(SENDER, [user], mail)
                self.instance.wait_delivered(reply)
        equal([e2e.body_of(m) for m in self.instance.mails(user)], [b"", b"\r\n", b"no header at all\r\n"], "the mails")

    def smuggling(self):
        """Whatever is not CRLF.CRLF neither ends a mail nor is let through (SMTP smuggling)."""
        ends = [a + b"." + b for a in (b"\n", b"\r", b"\r\n", b"\0\r\n", b"\r\r\n", b"\n\r", b"\r\n\0")
                for b in (b"\n", b"\r", b"\r\n", b"\r\r\n", b"\0\r\n", b"\n\r\n") if a + b"." + b not in (b"\r\n.\r\n",)]
        for service in ("smtp", "submission", "lmtp"):
            user = self.user()
            login = self.user() if service == "submission" else None
            sender = login or SENDER
            with self.instance.smtp(service, user=login) as client:
                for end in ends:
                    client.envelope(sender, [user])
                    client.say("DATA", "354")
                    smuggled = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{user}>\r\nDATA\r\nSubject: smuggled\r\n\r\n".encode()
                    if end.endswith((b"\r\n.\r\n", b"\r\n.\r\n\r\n")):  # with a NUL or CR before it: it ends the mail
                        client.send(b"Subject: outer\r\n\r\nx" + end)
                    else:
                        client.send(b"Subject: outer\r\n\r\nx" + end + smuggled + b"\r\n.\r\n")
                    reply = client.expect("")
                    check(reply.startswith("550 5.5.2"), f"{service}, {end!r}: {reply}")
                    client.say("NOOP", "250")
            self.nothing_for(user)

    def forbidden_bytes(self):
        user = self.user()
        with self.instance.smtp() as client:
            for mail in (b"a: b\r\n\r\nx\0y\r\n", b"\0", b"a: b\r\n\r\n" + b"x" * 100000 + b"\0\r\n", b"a\0: b\r\n\r\n", b"a: b\nc: d\r\n\r\n",
                         b"a: b\rc: d\r\n\r\n", b"a: b\r\n\r\nx\r\r\n", b"a: b\r\n\r\n" + b"y" * 2000000 + b"\n\r\n"):
                client.transact(SENDER, [user], mail, beginning="550 5.5.2")
            client.say("NOOP", "250")
        self.nothing_for(user)

    def trace_headers(self):
        user = self.user()
        with self.instance.smtp("smtp", hello="relay.elsewhere.test") as client:
            reply = client.transact(SENDER, [user], b"Subject: trace\r\n\r\n")
        mail = re.sub(rb"\r\n[ \t]+", b" ", self.one_for(user, reply)).decode().split("\r\n")
        equal(mail[:2], [f"Return-Path: <{SENDER}>", f"Delivered-To: {user}"], "the first fields")
        date = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
        check(re.fullmatch(r"Received: from relay\.elsewhere\.test \(\[127\.0\.0\.1\]\) by mail\.example\.test \(Posthorn\) with ESMTP "
                           rf"id [0-9a-f]{{16}} for <{re.escape(user)}>; {date}", mail[2]), mail[2])
        equal(mail[3:], ["Subject: trace", "", ""], "what was sent")  # nothing is added on port 25
        with self.instance.smtp("smtp") as client:
            client.say("STARTTLS", "220")
            client.start_tls(self.instance.tls())
            client.say("EHLO client.test", "250")
            reply = client.transact(SENDER, [user], b"\r\n")
        self.instance.wait_delivered(reply)
        mail = re.sub(rb"\r\n[ \t]+", b" ", self.instance.mails(user)[1]).decode()
        check(re.search(r" with ESMTPS \(TLSv1\.3 [A-Z0-9_]+\) id ", mail), mail)

    def submission_headers(self):
        """RFC 6409 §8: what is missing is added, what is there stays, the client's address is nobody's business."""
        sender, user = self.user(), self.user()
        whole = f"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <mine@client.test>\r\nFrom: <{sender}>\r\n\r\nbody\r\n".encode()
        for service in ("submission", "submissions"):
            with self.instance.smtp(service, user=sender) as client:
                self.instance.wait_delivered(client.transact(sender, [user], b"Subject: bare\r\n\r\nbody\r\n"))
                self.instance.wait_delivered(client.transact(sender, [user], whole))
            bare, kept = self.instance.mails(user)[-2:]
            trace = re.sub(rb"\r\n[ \t]+", b" ", bare).decode().split("\r\n")[2]
            check(re.match(r"Received: from unknown by mail\.example\.test \(Posthorn\) with ESMTPSA \(TLSv1\.3 \S+\) id ", trace), trace)
            check("127.0.0.1" not in trace and "client.test" not in trace, trace)
            message = email.message_from_bytes(bare)
            check(message["Date"] and re.fullmatch(r"<[^<>@\s]+@mail\.example\.test>", message["Message-ID"]), e2e.short(bare))
            equal(message["From"], f"<{sender}>", "From")
            equal((message["Subject"], message.get_payload()), ("bare", "body\r\n"), "what was sent")
            equal(e2e.body_of(kept), whole, "a mail that lacks nothing")

    def submission_from(self):
        sender, user, other = self.user(), self.user(), self.user()
        with self.instance.smtp("submission", user=sender) as client:
            client.say(f"MAIL FROM:<{other}>", "550 5.7.1")
            client.say("MAIL FROM:<someone@elsewhere.test>", "550 5.7.1")
            client.transact(sender, [user], f"From: <{other}>\r\n\r\n".encode(), beginning="550 5.7.1")
            client.transact(sender, [user], f"From: <{sender}>\r\nSender: <{other}>\r\n\r\n".encode(), beginning="550 5.7.1")
            client.transact(sender, [user], f"From: <{sender}>, <{other}>\r\n\r\n".encode(), beginning="550 5.7.1")
            client.transact(sender, [user], f"fRoM :\r\n =?utf-8?q?x?= <{other}>\r\n\r\n".encode(), beginning="550 5.7.1")
            self.instance.ctl("sender", "add", sender, other)
            reply = client.transact(other, [user], f"From: X <{other}>\r\n\r\n".encode())
        self.one_for(user, reply)

    # ---- bad luck --------------------------------------------------------------------------------------

    def cut_anywhere(self):
        """The connection ends behind each octet of a session: only the whole one leaves a mail."""
        user = self.user()
        session = (f"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<{user}>\r\nDATA\r\n"
                   "Subject: cut\r\n\r\n.\r\n").encode()
        for length in range(len(session) + 1):
            with self.instance.connect("smtp") as client:
                client.send(session[:length])
                client.connection.shutdown(socket.SHUT_WR)
                answers = client.rest().decode().split("\r\n")
                done = [a for a in answers if "queued as" in a]
                equal(len(done), length == len(session), f"mails accepted after {length} octets")
        self.one_for(user, done[0])

    def reset_anywhere(self):
        """The same with a reset and no reading: a mail is there wholly or not at all."""
        user = self.user()
        body = b"Subject: reset\r\n\r\n" + b"line\r\n" * 20
        session = f"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<{user}>\r\nBDAT {len(body)} LAST\r\n".encode() + body
        lengths = range(0, len(session) + 1, 1 if e2e.LONG else 7)
        for length in (*lengths, len(session)):
            client = self.instance.connect("smtp").connection
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(session[:length])
            client.close()
        e2e.until(lambda: not any(p["state"] == "busy" for p in self.instance.processes()), "the end of all sessions")
        with self.instance.smtp() as client:
            reply = client.transact("", [user], body)
        self.instance.wait_delivered(reply)
        for mail in self.instance.mails(user):
            equal(e2e.body_of(mail), body, "a mail")

    def given_back(self):
        """A client that is silent between transactions is parked and goes on where it was."""
        user, sender = self.user(), self.user()
        clients = [(self.instance.smtp("smtp"), SENDER), (self.instance.smtp("submission", user=sender), sender)]
        for client, address in clients:
            self.instance.wait_delivered(client.transact(address, [user], f"From: <{address}>\r\n\r\n".encode()))
        e2e.until(lambda: not any(p["state"] == "busy" for p in self.instance.processes()), "the hand-back of both sessions")
        for client, address in clients:
            client.say("NOOP", "250")
            reply = client.say("EHLO again.test", "250")
            check("STARTTLS" not in reply and "AUTH" not in reply, reply)
            client.say("STARTTLS", "503 5.5.1")
            self.instance.wait_delivered(client.transact(address, [user], f"From: <{address}>\r\n\r\n".encode()))
            client.say("QUIT", "221")
            client.ended()
        equal(len(self.instance.mails(user)), 4, "mails")

    def last_answer_over_tls(self):
        """What a client sends behind QUIT does not cost it the answer."""
        user = self.user()
        for _ in range(20):
            with self.instance.smtp("submissions", user=user) as client:
                client.say(f"MAIL FROM:<{user}>", "250")
                client.send(b"QUIT\r\n" + b"NOOP\r\n" * 1000)
                client.expect("221")

    def pool_stays(self):
        """The processes that a crowd needed are there for the next one that comes at once."""
        def crowd():
            clients = [self.instance.smtp("lmtp") for _ in range(20)]
            for client in clients:
                client.say(f"MAIL FROM:<{SENDER}>", "250")
            serving = set(self.instance.pids("smtpd", "world"))
            for client in clients:
                client.say("QUIT", "221")
            return serving
        first, second = crowd(), crowd()
        check(len(first) >= 20, f"20 transactions in {len(first)} processes")
        check(len(first & second) >= 15, f"of {len(first)} processes {len(first & second)} are left")


def main():
    with e2e.Instance(accounts=(f"user%d:{ACCOUNTS}",)) as usual:
        usual.fresh_user()  # user0 is the postmaster
        thing = Tests(usual)
        tests = [(key.replace("_", " "), getattr(thing, key)) for key, value in vars(Tests).items()
                 if callable(value) and not key.startswith("_") and value.__code__.co_argcount == 1 and key not in ("user", "nothing_for")]
        wanted = sys.argv[1:]
        e2e.run([t for t in tests if not wanted or any(w in t[0] for w in wanted)])


if __name__ == "__main__":
    main()
