#!/usr/bin/env python3
"""POP3 through the front door: RFC 1939, 2449, 2595, 3206, 5034, 6856."""
import base64
import email
import email.policy
import hashlib
import hmac
import imaplib
import re
import sys

import e2e
from e2e import check, equal

ACCOUNTS = 40
TEXTS = {"en": ("no such message", "unknown command"), "it": ("messaggio inesistente", "comando"), "sk": ("taká správa nie je", "neznámy príkaz")}


def encoded(text):
    return base64.b64encode(text.encode()).decode() or "="


class Scram:
    """A client's side of RFC 5802 §3; head is the GS2 header, binding what the channel gives."""

    def __init__(self, digest, user, password, head="n,,", binding=b""):
        self.digest, self.password = digest, password
        self.channel = base64.b64encode(head.encode() + binding).decode()
        self.head = head
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r=clientnonce"

    def first(self):
        return self.head + self.bare

    def final(self, challenge):
        server_first = base64.b64decode(challenge).decode()
        facts = dict(part.split("=", 1) for part in server_first.split(","))
        check(facts["r"].startswith("clientnonce") and len(facts["r"]) > 20, server_first)
        salted = hashlib.pbkdf2_hmac(self.digest, self.password.encode(), base64.b64decode(facts["s"]), int(facts["i"]))
        key, server_key = (hmac.new(salted, name, self.digest).digest() for name in (b"Client Key", b"Server Key"))
        without_proof = f"c={self.channel},r={facts['r']}"
        everything = ",".join((self.bare, server_first, without_proof)).encode()
        signature = hmac.new(hashlib.new(self.digest, key).digest(), everything, self.digest).digest()
        self.server_final = "v=" + base64.b64encode(hmac.new(server_key, everything, self.digest).digest()).decode()
        return f"{without_proof},p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()


class Tests:
    def __init__(self, instance, second):
        self.instance = instance
        self.second = second

    def user(self, *mails):
        user = self.instance.fresh_user()
        for mail in mails:
            self.instance.deliver(user, mail)
        return user

    def fresh(self, service="pop3"):
        """A session before log-in."""
        client = e2e.Pop3(self.instance.connect(service).connection)
        if service == "pop3s":
            client.start_tls(self.instance.tls())
        client.greeting = client.ok(None)
        return client

    # ---- states ------------------------------------------------------------------------------------

    def wrong_state(self):
        user = self.user("Subject: x\n\n")
        after = ("STAT", "LIST", "LIST 1", "UIDL", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP")
        with self.fresh() as client:
            for command in after:
                client.err(command, "after log-in")
        with self.instance.pop3(user) as client:
            for command in ("USER x", "PASS x", "APOP x 0123456789abcdef0123456789abcdef", "AUTH PLAIN", "STLS", "UTF8"):
                client.err(command, "before log-in")

    def bad_arguments(self):
        user = self.user("Subject: x\n\n", "Subject: y\n\n")
        huge = ("18446744073709551615", "18446744073709551616", "99999999999999999999999")
        with self.instance.pop3(user) as client:
            for number in ("3", *huge):
                for command in ("LIST {}", "UIDL {}", "RETR {}", "DELE {}", "TOP {} 0"):
                    client.err(command.format(number), "no such message, only 2 messages in maildrop")
                    client.ok("NOOP")
        for commands in (("LIST 0", "UIDL 0", "RETR 0", "DELE 0", "TOP 0 0"), ("LIST -1", "RETR -1", "DELE +1", "UIDL 1x", "TOP 1 -1"),
                         ("RETR", "DELE", "TOP", "TOP 1", "RETR 1 1", "DELE 1 2"), ("STAT 1", "NOOP 1", "RSET 1", "QUIT 1", "CAPA 1"),
                         ("LIST 1 2", "UIDL 1 2", "TOP 1 0 0", "RETR  1", "LIST x"), ("FOO", "RETRX 1", "", "RETR\t1", "RETR 1\0")):
            with self.instance.pop3(user) as client:
                for command in commands:
                    client.err(command)
                client.ok("RETR 1 ")  # old clients leave spaces there
                client.block()
                check(client.ok("list 2").startswith("+OK 2 "), "keywords in lower case")
                client.ok("sTaT")

    def line_lengths(self):
        user = self.user()
        with self.fresh() as client:
            client.err("USER " + "x" * 250)
            client.ok("USER " + "x" * 248)  # 255 octets with CRLF
            client.send(b"x" * 1000000 + b"\r\n")
            check(client.line().startswith("-ERR"), "an answer to a line of 1 MB")
            client.ok("CAPA")
            client.listing()
        with self.instance.pop3(user) as client:
            client.err("NOOP" + " " * 300)
            client.send(b"x" * 1000000 + b"\r\n")
            check(client.line().startswith("-ERR"), "an answer to a line of 1 MB")
            client.ok("NOOP")

    def too_many_errors(self):
        for client in (self.fresh(), self.instance.pop3(self.user())):
            with client:
                for _ in range(20):
                    client.err("BOGUS")
                client.err("BOGUS")
                check(client.line().startswith("-ERR"), "a last word")
                client.ended()

    # ---- log-in ------------------------------------------------------------------------------------

    def capabilities(self):
        user = self.user()
        common = {"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "LANG", "UTF8 USER", "EXPIRE NEVER"}
        with self.fresh() as client:
            before = self.capa(client)
            check(common | {"STLS", "USER"} <= before, f"lacks {(common | {'STLS', 'USER'}) - before}: {before}")
            sasl, = (line for line in before if line.startswith("SASL "))
            check({"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(sasl.split()), sasl)
            check(any(line.startswith("IMPLEMENTATION ") for line in before), before)
            client.ok("STLS")
            client.start_tls(self.instance.tls())
            inside = self.capa(client)
            check("STLS" not in inside, inside)
            check("SCRAM-SHA-256-PLUS" in " ".join(inside), inside)
            client.err("STLS", "TLS is active")
        with self.instance.pop3(user) as client:
            after = self.capa(client)
            check(common <= after, f"lacks {common - after}")
            check("STLS" not in after, after)

    def capa(self, client):
        client.ok("CAPA")
        return set(client.listing())

    def user_and_pass(self):
        user = self.user()
        with self.fresh() as client:
            client.err(f"PASS {e2e.PASSWORD}", "USER")
            client.ok(f"USER {user}")
            client.err("STAT")
            client.err(f"PASS {e2e.PASSWORD}", "USER")  # something stood between
            client.ok(f"USER {user}")
            self.capa(client)
            client.err(f"PASS {e2e.PASSWORD}", "USER")
            client.ok(f"USER {user}")
            wrong = client.err("PASS wrong", "[AUTH]")
            client.ok(f"USER nobody@{e2e.DOMAIN}")
            equal(client.err(f"PASS {e2e.PASSWORD}", "[AUTH]"), wrong, "the answer for an unknown user")
            client.ok(f"USER {user}")
            client.ok(f"PASS {e2e.PASSWORD}")

    def password_with_spaces(self):
        user = self.user()
        self.instance.ctl("password", "set", user, text_input=" two  words \n")
        with self.instance.pop3(user, password=" two  words ") as client:
            client.ok("QUIT")
        with self.fresh() as client:
            client.ok(f"USER {user}")
            client.err("PASS two words", "[AUTH]")

    def apop(self):
        user = self.user()
        seen = set()
        for _ in range(3):
            with self.fresh() as client:
                stamp = re.search(r"<[^<>@ ]+@[^<>@ ]+>", client.greeting)
                check(stamp, client.greeting)
                seen.add(stamp[0])
                client.err(f"APOP {user} {'0' * 32}", "[AUTH]")
                client.err(f"APOP {user}")
                client.ok(f"APOP {user} {hashlib.md5((stamp[0] + e2e.PASSWORD).encode()).hexdigest()}")
                client.ok("STAT")
        equal(len(seen), 3, "different timestamps")

    def apop_replayed(self):
        user = self.user()
        with self.fresh() as client:
            stamp = re.search(r"<.*>", client.greeting)[0]
            digest = hashlib.md5((stamp + e2e.PASSWORD).encode()).hexdigest()
        with self.fresh() as client:
            client.err(f"APOP {user} {digest}", "[AUTH]")

    def auth_mechanisms(self):
        user = self.user()
        encode = lambda text: base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()
        with self.fresh() as client:  # with an initial response
            client.ok(f"AUTH PLAIN {e2e.plain(user)}")
        with self.fresh() as client:  # without
            equal(client.ask("AUTH PLAIN").strip(), "+", "an empty challenge")
            client.ok(e2e.plain(user))
        with self.fresh() as client:
            check(client.ask("AUTH LOGIN").startswith("+ "), "a challenge")
            check(client.ask(encode(user)).startswith("+ "), "a challenge")
            client.ok(encode(e2e.PASSWORD))
        with self.fresh() as client:
            challenge = base64.b64decode(client.ask("AUTH CRAM-MD5")[2:])
            client.ok(encode(f"{user} {hmac.new(e2e.PASSWORD.encode(), challenge, 'md5').hexdigest()}"))
            client.ok("STAT")
        for mechanism, digest in (("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-1", "sha1")):
            with self.fresh() as client:
                self.scram(client, mechanism, digest, user, e2e.PASSWORD)
                client.ok("STAT")
            with self.fresh() as client:
                try:
                    self.scram(client, mechanism, digest, user, "wrong")
                except AssertionError as refusal:
                    check("[AUTH]" in str(refusal), refusal)
                else:
                    raise AssertionError(f"{mechanism} took a wrong password")

    def scram(self, client, mechanism, digest, user, password):
        """With the server's proof checked."""
        exchange = Scram(digest, user, password)
        line = client.ask(f"AUTH {mechanism} {encoded(exchange.first())}")
        check(line.startswith("+ "), line)
        line = client.ask(encoded(exchange.final(line[2:])))
        check(line.startswith("+ "), line)
        equal(base64.b64decode(line[2:]).decode(), exchange.server_final, "the server's signature")
        client.ok("")

    def scram_attacks(self):
        """What was said in another exchange, in another order or over another channel is worth nothing."""
        user, plain, plus = self.user(), "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
        heard = Scram("sha256", user, e2e.PASSWORD)
        with self.fresh("pop3s") as client:
            final = heard.final(client.ask(f"AUTH {plain} {encoded(heard.first())}")[2:])
            check(client.ask(encoded(final)).startswith("+ "), "the proof is right")
        with self.fresh("pop3s") as client:
            check(client.ask(f"AUTH {plain} {encoded(heard.first())}").startswith("+ "), "the same nonce of the client")
            client.err(encoded(final), "[AUTH]")  # replayed
            client.err(f"AUTH {plain} {encoded(final)}")  # the last message first
            client.ask(f"AUTH {plain} {encoded(heard.first())}")
            client.err(encoded(heard.first()))  # the first one twice
            for change in (lambda f: f.replace(",p=", "x,p="), lambda f: f[:f.index(",p=")], lambda f: f[:f.index(",p=")] + ",p=",
                           lambda f: "m=x," + f, lambda f: f.replace("c=biws", "c=eSws"), lambda f: ""):
                exchange = Scram("sha256", user, e2e.PASSWORD)
                line = client.ask(f"AUTH {plain} {encoded(exchange.first())}")
                client.err(encoded(change(exchange.final(line[2:]))))
            # RFC 5802 §6: "y" where PLUS is offered is a sign of somebody in between; PLUS is nothing without a binding
            for mechanism, head in ((plain, "y,,"), (plain, "p=tls-exporter,,"), (plus, "n,,"), (plus, "y,,"), (plus, "p=tls-magic,,"),
                                    (plus, "p=tls-unique,,")):
                client.err(f"AUTH {mechanism} {encoded(Scram('sha256', user, e2e.PASSWORD, head).first())}")
            for binding in (b"", b"x" * 32):
                exchange = Scram("sha256", user, e2e.PASSWORD, "p=tls-exporter,,", binding)
                line = client.ask(f"AUTH {plus} {encoded(exchange.first())}")
                client.err(encoded(exchange.final(line[2:])), "[AUTH]")
        with self.fresh() as client:
            client.err(f"AUTH {plus} {encoded(Scram('sha256', user, e2e.PASSWORD, 'p=tls-exporter,,').first())}")
            exchange = Scram("sha256", user, e2e.PASSWORD, f"n,a={self.user()},")  # as somebody else
            line = client.ask(f"AUTH {plain} {encoded(exchange.first())}")
            check(client.ask(encoded(exchange.final(line[2:]))).startswith("+ "), "the proof is right")
            client.err("", "[AUTH]")

    def auth_bad(self):
        user = self.user()
        with self.fresh() as client:
            client.err("AUTH", "missing argument")
            client.err("AUTH BOGUS")
            client.err("AUTH PLAIN !!!")
            client.err("AUTH PLAIN A B")
            client.ask("AUTH PLAIN")
            client.err("*")  # RFC 5034 §4: cancelled
            client.ask("AUTH LOGIN")
            client.err("no base64")
            client.err(f"AUTH PLAIN {e2e.plain(user, 'wrong')}", "[AUTH]")
            client.err("AUTH PLAIN " + "A" * 13000)
            client.ask("AUTH PLAIN")
            client.err("A" * 13000)  # it ends the exchange
            client.ok("CAPA")
            client.listing()
            client.ok(f"AUTH PLAIN {e2e.plain(user)}")

    def stls_injection(self):
        user = self.user()
        with self.fresh() as client:
            client.send(f"STLS\r\nUSER {user}\r\nPASS {e2e.PASSWORD}\r\n".encode())
            check(client.line().startswith("-ERR nothing may be sent behind STLS"), "a refusal that says why")
            equal(client.rest(), b"", "bytes behind it")

    def stls_forgets(self):
        user = self.user()
        with self.fresh() as client:
            client.ok(f"USER {user}")
            client.ok("STLS")
            client.start_tls(self.instance.tls())
            client.err(f"PASS {e2e.PASSWORD}", "USER")
            client.ok(f"USER {user}")
            client.ok(f"PASS {e2e.PASSWORD}")

    def pipelined_login(self):
        user = self.user("Subject: x\n\n")
        for service in ("pop3", "pop3s"):
            with self.fresh(service) as client:
                client.send(f"USER {user}\r\nPASS {e2e.PASSWORD}\r\nSTAT\r\nUIDL\r\nRETR 1\r\nQUIT\r\n".encode())
                for _ in range(3):
                    client.ok(None)
                client.ok(None)
                equal(len(client.listing()), 1, "lines of UIDL")
                client.ok(None)
                client.block()
                client.ok(None)
                client.ended()

    def in_use(self):
        user = self.user("Subject: x\n\n")
        with self.instance.pop3(user) as client:
            client.ok("DELE 1")
            for service in ("pop3", "pop3s"):
                with self.fresh(service) as other:
                    other.ok(f"USER {user}")
                    other.err(f"PASS {e2e.PASSWORD}", "[IN-USE]")
            client.ok("QUIT")
        equal(self.instance.mails(user), [], "mails")

    # ---- mails -------------------------------------------------------------------------------------

    bodies = ("Subject: a\n\nbody\n", "Subject: header only\n", "Subject: one\n\n.\n..\n.x\n", "\n.\n", "Subject: no end\n\nlast line without end",
              "no header at all", "Subject: x\n\n" + "long " * 30000 + "\n", "", "Subject: y\n\n\n\n\n.\n")

    def octets(self):
        """LIST and RETR agree before stuffing; the mail is what was delivered."""
        user = self.user(*self.bodies)
        wanted = [e2e.crlf(b.encode() + (b"" if b.endswith("\n") or not b else b"\n")) for b in self.bodies]
        with self.instance.smtp("lmtp") as client:  # the one way to end a mail without CRLF
            client.envelope("", [user])
            self.instance.wait_delivered(client.say(b"BDAT 11 LAST\r\na: b\r\n\r\nend", "250"))
        wanted.append(b"a: b\r\n\r\nend\r\n")
        delivered = len(wanted)
        imap = imaplib.IMAP4("127.0.0.1", self.instance.port("imap"))
        imap.login(user, e2e.PASSWORD)
        equal(imap.append("INBOX", None, None, b"a: b\r\n\r\nappended")[0], "OK", "APPEND")
        wanted.append(b"a: b\r\n\r\nappended\r\n")
        imap.logout()
        with self.instance.pop3(user) as client:
            total = 0
            client.ok("LIST")
            sizes = [int(line.split()[1]) for line in client.listing()]
            for number, size in enumerate(sizes, 1):
                mail = client.retr(number)
                equal(len(mail), size, f"octets of mail {number}")
                equal(client.ok(f"LIST {number}"), f"+OK {number} {size}", "LIST of one")
                equal(mail if number > delivered else e2e.body_of(mail), wanted[number - 1], f"mail {number}")
                total += size
            equal(client.ok("STAT"), f"+OK {len(sizes)} {total}", "STAT")

    def top(self):
        user = self.user("Subject: a\nTo: b\n\n1\n.2\n3\n", "Subject: header only\nTo: b\n", "Subject: c\n\n.\n")
        with self.instance.pop3(user) as client:
            whole = client.retr(1)
            header = whole[:whole.index(b"\r\n\r\n") + 4]
            for lines, rest in ((0, b""), (1, b"1\r\n"), (2, b"1\r\n.2\r\n"), (3, b"1\r\n.2\r\n3\r\n"), (4, b"1\r\n.2\r\n3\r\n"),
                                (4294967295, b"1\r\n.2\r\n3\r\n"), (18446744073709551616, b"1\r\n.2\r\n3\r\n")):
                client.ok(f"TOP 1 {lines}")
                equal(client.block(), header + rest, f"TOP 1 {lines}")
            for lines in (0, 1, 4294967295):
                client.ok(f"TOP 2 {lines}")
                equal(client.block(), client.retr(2), "TOP of a mail that is only a header")
            client.ok("TOP 3 1")
            equal(client.block(), client.retr(3), "TOP of a dot")

    def uids_stay(self):
        user = self.user("Subject: 1\n\n", "Subject: 2\n\n", "Subject: 3\n\n")
        with self.instance.pop3(user) as client:
            uids = client.uids()
            equal(len(set(uids)), 3, "different ids")
            check(all(re.fullmatch(r"[!-~]{1,70}", uid) for uid in uids), uids)
            equal(client.ok("UIDL 2"), f"+OK 2 {uids[1]}", "UIDL of one")
            client.ok("DELE 2")
            client.ok("QUIT")
        with self.instance.pop3(user) as client:
            equal(client.uids(), [uids[0], uids[2]], "ids after a deletion")

    def restart(self):
        """A stop and a start leave mails, numbers and ids as they were."""
        user = self.user(*(f"Subject: {i}\n\nbody {i}\n" for i in range(20)))
        with self.instance.pop3(user) as client:
            uids, mails = client.uids(), client.all()
        self.instance.stop()
        self.instance.start()
        with self.instance.pop3(user) as client:
            equal(client.uids(), uids, "the ids")
            equal(client.all(), mails, "the mails")

    def deletion(self):
        user = self.user("Subject: 1\n\n", "Subject: 2\n\n", "Subject: 3\n\n")
        with self.instance.pop3(user) as client:
            client.ok("DELE 2")
            client.err("DELE 2", "already deleted")
            for command in ("RETR 2", "LIST 2", "UIDL 2", "TOP 2 0"):
                client.err(command, "deleted")
            client.ok("LIST")
            equal([line.split()[0] for line in client.listing()], ["1", "3"], "numbers in LIST")
            equal(client.count(), 2, "STAT")
            client.ok("RSET")
            equal(client.count(), 3, "STAT after RSET")
        with self.instance.pop3(user) as client:  # the connection was dropped: nothing is deleted
            equal(client.count(), 3, "mails")
            for number in (1, 2, 3):
                client.ok(f"DELE {number}")
            equal(client.ok("STAT"), "+OK 0 0", "STAT")
            client.ok("QUIT")
            client.ended()
        equal(self.instance.mails(user), [], "mails")

    def delivery_meanwhile(self):
        user = self.user("Subject: 1\n\n", "Subject: 2\n\n")
        with self.instance.pop3(user) as client:
            uids, stat = client.uids(), client.ok("STAT")
            self.instance.deliver(user, "Subject: 3\n\n")
            equal((client.uids(), client.ok("STAT")), (uids, stat), "what the session sees")
            client.err("RETR 3", "no such message, only 2 messages")
            client.ok("DELE 1")
            client.ok("QUIT")
        with self.instance.pop3(user) as client:
            equal([e2e.body_of(m) for m in client.all()], [b"Subject: 2\r\n\r\n", b"Subject: 3\r\n\r\n"], "mails of the next session")

    def thousand_pipelined(self):
        user = self.user("Subject: x\n\nbody\n")
        for service in ("pop3", "pop3s"):
            with self.instance.pop3(user, service) as client:
                client.send(b"NOOP\r\nRETR 1\r\nLIST 1\r\nSTAT\r\n" * 250 + b"QUIT\r\n")
                first = None
                for _ in range(250):
                    client.ok(None)
                    client.ok(None)
                    mail = client.block()
                    first = first or mail
                    equal(mail, first, "the mail")
                    client.ok(None)
                    client.ok(None)
                client.ok(None)
                client.ended()

    def large_maildrop(self):
        count = 5000
        user = self.user()
        mails = [f"Subject: {i}\r\n\r\nbody {i}\r\n".encode() for i in range(count)]
        wanted = {}
        with self.instance.smtp("lmtp") as client:
            for start in range(0, count, 100):
                part = mails[start:start + 100]
                client.send(b"".join(f"MAIL FROM:<>\r\nRCPT TO:<{user}>\r\nDATA\r\n".encode() + e2e.stuffed(m) for m in part))
                for _ in part:
                    for beginning in ("250", "250", "354"):
                        client.expect(beginning)
                    wanted[e2e.QUEUED.search(client.expect("250")).group(1)] = 1
                if (start + 100) % 900 == 0:  # LIMITS MAILMAX=1000
                    client.say("QUIT", "221")
                    client.close()
                    client = self.instance.smtp("lmtp")
        self.instance.wait_all_delivered(wanted, 60)
        with self.instance.pop3(user) as client:
            equal(client.count(), count, "mails")
            equal(len(set(client.uids())), count, "different ids")
            client.send(b"".join(b"RETR %d\r\n" % n for n in range(1, count + 1)))
            got = []
            for _ in range(count):
                client.ok(None)
                got.append(e2e.body_of(client.block()))
            equal(got, mails, "the mails, in order")
            client.send(b"".join(b"DELE %d\r\n" % n for n in range(1, count)))
            for _ in range(count - 1):
                client.ok(None)
            client.ok("QUIT")
        equal([e2e.body_of(m) for m in self.instance.mails(user)], mails[-1:], "what is left")

    # ---- languages, UTF-8, time -----------------------------------------------------------------------

    def languages(self):
        user = self.user()
        with self.fresh() as client:
            client.ok("LANG")
            listed = client.listing()
            check({"en", "it", "sk"} <= {line.split()[0] for line in listed}, listed)
            client.err("LANG xx")
        for tag, (no_message, unknown) in TEXTS.items():
            with self.fresh() as client:
                client.ok(f"LANG {tag}")
                client.err("BOGUS", unknown)
                client.ok(f"USER {user}")
                client.ok(f"PASS {e2e.PASSWORD}")
                client.err("RETR 1", no_message)  # it travels with the hand-over
            with self.instance.pop3(user) as client:
                client.ok(f"LANG {tag}")
                client.err("RETR 1", no_message)
                client.ok("LANG *")
                client.err("RETR 1", TEXTS["en"][0])

    def deliver_utf8(self, user, mail):
        with self.instance.smtp("smtp") as client:
            client.say("MAIL FROM:<a@elsewhere.test> SMTPUTF8", "250")
            client.say(f"RCPT TO:<{user}>", "250")
            reply, = client.data(e2e.crlf(mail.encode()))
        self.instance.wait_delivered(reply)

    def utf8(self):
        """RFC 6856 §2.1: with UTF8 the mail as it is, without it a surrogate, each with its own size."""
        mail = "From: Jürgen <jürgen@elsewhere.test>\nSubject: grüß dich\nTo: x@y.test\n\nbody ü\n"
        user = self.user()
        self.deliver_utf8(user, mail)
        with self.instance.pop3(user) as client:
            surrogate = client.retr(1)
            header, body = surrogate.split(b"\r\n\r\n", 1)
            check(header.isascii(), e2e.short(header))
            equal(body, "body ü\r\n".encode(), "the body")
            message = email.message_from_bytes(surrogate, policy=email.policy.default)
            equal(message["Subject"], "grüß dich", "the subject")
            size = int(client.ok("LIST 1").split()[2])
            equal(size, len(surrogate), "LIST without UTF8")
            equal(client.ok("STAT"), f"+OK 1 {size}", "STAT without UTF8")
        with self.instance.pop3(user) as client:  # the size is right before the mail is read, too
            equal(client.ok("STAT"), f"+OK 1 {len(surrogate)}", "STAT at first")
        with self.instance.pop3(user, utf8=True) as client:
            size = int(client.ok("LIST 1").split()[2])
            whole = client.retr(1)
            equal(len(whole), size, "LIST with UTF8")
            equal(e2e.body_of(whole), e2e.crlf(mail.encode()), "the mail")

    def no_surrogate(self):
        """RFC 6856 §5: a header whose ASCII form would be out of all proportion is for clients with UTF8 only."""
        user = self.user("Subject: before\n\n")
        mail = "From: a@elsewhere.test\n" + "To: ü@ü, ü@ü, ü@ü, ü@ü, ü@ü, ü@ü, ü@ü, ü@ü\n" * 8000 + "\nbody\n"
        self.deliver_utf8(user, mail)
        with self.instance.pop3(user) as client:
            for command in ("RETR 2", "TOP 2 0"):
                client.err(command, "-ERR [UTF8] message 2 needs UTF-8 mode, give UTF8 before logging in")
            client.retr(1)
        with self.instance.pop3(user, utf8=True) as client:
            equal(e2e.body_of(client.retr(2)), e2e.crlf(mail.encode()), "the mail")

    def stls_after_utf8(self):
        with self.fresh() as client:
            client.err("UTF8 1")
            client.ok("UTF8")
            client.err("STLS")  # RFC 6856 §2.1

    def autologout(self):
        """Silence ends the session and deletes nothing."""
        for service in ("pop3", "pop3s"):
            user = self.second.fresh_user()
            self.second.deliver(user, "Subject: stays\n\n")
            with self.second.pop3(user, service) as client:
                client.ok("DELE 1")
                check(client.line().startswith("-ERR"), "a farewell")
                client.ended()
            equal(len(self.second.mails(user)), 1, "mails")

    def settings(self):
        with e2e.Pop3(self.second.connect("pop3").connection) as client:
            client.ok(None)
            offered = self.capa(client)
            check("EXPIRE 30" in offered, offered)
            client.err("BOGUS", "comando")  # default_language=it


def main():
    second = e2e.Instance("--set", "pop3_autologout_seconds=1", "--set", "pop3_expire=30", "--set", "default_language=it", accounts=("user%d:5",))
    with e2e.Instance(accounts=(f"user%d:{ACCOUNTS}",)) as instance, second:
        tests = Tests(instance, second)
        wanted = sys.argv[1:]
        names = [key for key, value in vars(Tests).items()
                 if callable(value) and value.__code__.co_argcount == 1 and not key.startswith("_") and key != "user"]
        e2e.run([(n.replace("_", " "), getattr(tests, n)) for n in names if not wanted or n.replace("_", " ") in wanted])


if __name__ == "__main__":
    main()
