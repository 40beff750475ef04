#!/usr/bin/env python3
"""posthorn-relay against servers that do as they should and servers that do not: where mail goes, what is said of each recipient, what
a hostile server costs, and what the next queue hears.

  relay_test.py GIVE RELAY [NAME…]     NAME: of the tests to run
"""
import collections
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import e2e
from e2e import check, equal, until
from relay_certificates import Authority
from smtp_sink import CLOSE, DRIP, ENDLESS, OFFERS, SILENT, Sink

GIVE, RELAY = sys.argv[1:3]
FOLDER = tempfile.mkdtemp(prefix="posthorn-relay-")
AUTHORITY = Authority(FOLDER)
MAIL = b"From: a@own.test\r\nSubject: x\r\n\r\nhello\r\n.\r\n..dots\r\n\r\n.\r\n"
EIGHT_BIT, SMTPUTF8, REQUIRE_TLS, SIGNED = 1, 2, 4, 16
Result = collections.namedtuple("Result", "outcome places code status host address tls reply")


def port_of_everybody():
    """A port that is free on all addresses of this host."""
    with socket.create_server(("0.0.0.0", 0)) as probe:
        return probe.getsockname()[1]


PORT = port_of_everybody()
addresses = (f"127.77.{i // 250}.{1 + i % 250}" for i in range(60000))


def write(name, data):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


class Relay:
    """The program, with a zone and settings."""

    def __init__(self, zone="", *settings):
        usual = ["hostname=mail.own.test", f"relay_port={PORT}", "relay_timeout_percent=2", "relay_ca_file=" + AUTHORITY.path, "log_level=error"]
        command = [GIVE, RELAY, write("zone", zone.encode()), *usual, *settings]
        environment = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.results, self.done, self.others = collections.defaultdict(list), {}, []
        self.number = 0
        self.mail = write("mail", MAIL)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            words = line.rstrip("\n").split(" ")
            if words[0] == "result":
                number, *rest = line.rstrip("\n")[7:].split("\t")
                self.results[int(number)].append(Result(*rest))
            elif words[0] == "done":
                self.done[int(words[1])] = words[2]
            else:
                self.others.append(line.rstrip("\n"))

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def give(self, destination, *recipients, mail=None, flags=0, sender="s@own.test"):
        self.number += 1
        self.say("job", self.number, destination, mail or self.mail, flags, sender, *(recipients or [f"x@{destination}"]))
        return self.number

    def wait(self, number, seconds=30):
        """The results of a job, which is then noted; its reach."""
        until(lambda: number in self.done, f"the end of job {number}: {self.results[number]} {self.others}", seconds)
        self.say("noted", number)
        return self.results[number], self.done[number]

    def one(self, destination, **options):
        """The only result of a job with one recipient, with what it says of the destination."""
        results, reach = self.wait(self.give(destination, **options))
        equal(len(results), 1, "results")
        return results[0], reach

    def end(self):
        self.say("drain")
        until(lambda: any(line.startswith("ended") for line in self.others), "the end of relay")
        equal(self.others[-1], "ended 0", "how it ended")

    def __enter__(self):
        until(lambda: self.others, "RELAY_UP")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()
        self.process.kill()
        self.process.wait()


def mx(domain, *hosts):
    """Zone lines of a domain with these addresses as its hosts, best first."""
    return "".join(f"{domain} MX {10 * i} mx{i}.{domain}\nmx{i}.{domain} {'AAAA' if ':' in a else 'A'} {a}\n" for i, a in enumerate(hosts, 1))


def sink(actions=None, address=None, **options):
    return Sink(address or next(addresses), PORT, actions, **options)


# ---- delivery ---------------------------------------------------------------------------------------


def delivered():
    for offers in (OFFERS, (), ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING")):
        with sink(offers=offers) as server, Relay(mx("a.test", server.address)) as relay:
            results, reach = relay.wait(relay.give("a.test", "x@a.test", "y@a.test"))
            equal([(r.outcome, r.places, r.code, r.host, r.address) for r in results],
                  [("delivered" if "DSN" in offers else "relayed", "0,1", "250", "mx1.a.test", server.address)], "results")
            equal(reach, "reached", "reach")
            mail, = server.mails
            equal((mail.sender, mail.recipients, mail.data), ("s@own.test", ["x@a.test", "y@a.test"], MAIL), "the mail")
            verbs = [line.split(" ")[0] for line in mail.session.lines]
            equal(verbs[:5], ["EHLO", "MAIL", "RCPT", "RCPT", "BDAT" if "CHUNKING" in offers else "DATA"], "commands")
            equal(mail.session.ahead, ["MAIL", "RCPT", "RCPT"] if "PIPELINING" in offers else [], "what was sent before the answer to it")


def null_sender():
    with sink() as server, Relay(mx("a.test", server.address)) as relay:
        relay.one("a.test", sender="-")
        equal(server.mails[0].sender, "", "sender")


def require_tls_of_reports():
    """RFC 8689 §5: a report goes with REQUIRETLS where that is to be had, and without where it is not."""
    for context, offers in ((None, OFFERS), (AUTHORITY.context("other.test"), OFFERS), (AUTHORITY.context("mx1.a.test"), OFFERS + ("REQUIRETLS",))):
        with sink(context=context, offers=offers) as server, Relay(mx("a.test", server.address)) as relay:
            equal(relay.one("a.test", sender="-", flags=REQUIRE_TLS)[0].outcome, "delivered", "a report")
            equal("REQUIRETLS" in server.mails[0].parameters, "REQUIRETLS" in offers, "asked for")
            result, reach = relay.one("a.test", flags=REQUIRE_TLS)
            equal((result.outcome, reach), ("delivered" if "REQUIRETLS" in offers else "failed", "reached"), "another mail")


def each_recipient_has_its_result():
    actions = {"RCPT": ["250 2.1.5 ok", "550 5.1.1 no such user", "451 4.2.1 later", "250 2.1.5 ok"]}
    with sink(actions) as server, Relay(mx("a.test", server.address)) as relay:
        results, reach = relay.wait(relay.give("a.test", *(f"{c}@a.test" for c in "abcd")))
        got = {place: (r.outcome, r.code, r.status) for r in results for place in r.places.split(",")}
        equal(got, {"0": ("delivered", "250", "2.0.0"), "1": ("failed", "550", "5.1.1"), "2": ("deferred", "451", "4.2.1"),
                    "3": ("delivered", "250", "2.0.0")}, "results")
        equal((reach, server.mails[0].recipients), ("reached", ["a@a.test", "d@a.test"]), "what the server got")


def too_many_recipients():
    """452 for more than two at a time: further transactions over the same connection."""
    def limited(session, line):
        return "452 4.5.3 too many" if len(session.mail.recipients) >= 2 else "250 2.1.5 ok"
    with sink({"RCPT": limited}) as server, Relay(mx("a.test", server.address)) as relay:
        results, _ = relay.wait(relay.give("a.test", *(f"r{i}@a.test" for i in range(7))))
        equal(sorted(p for r in results for p in r.places.split(",")), [str(i) for i in range(7)], "places")
        equal({r.outcome for r in results}, {"delivered"}, "outcomes")
        equal((len(server.sessions), sorted(len(m.recipients) for m in server.mails)), (1, [1, 2, 2, 2]), "transactions")


def large_mail():
    big = b"Subject: big\r\n\r\n" + b"".join(b".%07d line of a large mail\r\n" % i for i in range(150000))
    path = write("big", big)
    for offers, context in ((OFFERS, None), (("PIPELINING",), None), (OFFERS, AUTHORITY.context("mx1.a.test"))):
        with sink(offers=offers, context=context) as server, Relay(mx("a.test", server.address), "relay_timeout_percent=100") as relay:
            result, _ = relay.one("a.test", mail=path)
            check(result.outcome in ("delivered", "relayed"), result)
            check(server.mails[0].data == big, "the mail is another one")


def what_a_server_cannot_take():
    with sink(offers=("SIZE 10",)) as small, sink(offers=()) as plain, Relay(mx("a.test", small.address) + mx("b.test", plain.address)) as relay:
        result, reach = relay.one("a.test")
        equal((result.outcome, result.status, reach), ("failed", "5.3.4", "reached"), result)
        result, reach = relay.one("b.test", flags=EIGHT_BIT | SIGNED)
        equal((result.outcome, result.status, reach), ("failed", "5.6.3", "reached"), result)
        equal(small.mails + plain.mails, [], "mails")
        for _ in range(2): # over a connection that is there already
            equal(relay.one("b.test")[0].outcome, "relayed", "outcome")
            equal(relay.one("b.test", flags=EIGHT_BIT | SIGNED)[0].status, "5.6.3", "status")
        equal((len(plain.sessions), len(plain.mails)), (1, 2), "sessions and mails")


def converted():
    """What a host does not take is made 7 bits for it, and only for it; a signed mail goes back."""
    text = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"
    eight = write("eight", text % (b"8bit", "caf\u00e9\r\n".encode()))
    seven = text % (b"quoted-printable", b"caf=C3=A9\r\n")
    binary = write("binary", text % (b"binary", b"a\nb\0\r\n"))
    base64 = text % (b"base64", b"YQpiAA0K\r\n")
    encrypted = write("encrypted", b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n")
    with sink(offers=("SIZE 1000",)) as plain, sink() as modern:
        with Relay(mx("a.test", plain.address) + mx("b.test", modern.address)) as relay:
            def bring(domain, mail, flags=0):
                result, _ = relay.one(domain, mail=mail, flags=flags)
                return result.outcome, result.status
            equal(bring("a.test", eight, EIGHT_BIT), ("relayed", "2.0.0"), "8 bits to a host of 7")
            equal(bring("a.test", binary), ("relayed", "2.0.0"), "binary to a host of 7 bits")
            equal(bring("b.test", eight, EIGHT_BIT), ("delivered", "2.0.0"), "8 bits")
            equal(bring("b.test", binary), ("delivered", "2.0.0"), "binary")
            equal([m.data for m in plain.mails], [seven, base64], "as the old host has them")
            equal([m.data for m in modern.mails], [open(eight, "rb").read(), base64], "as the other has them")
            equal(plain.mails[0].parameters.split(), [f"SIZE={len(seven)}"], "of the size that it has now")
            for domain in ("a.test", "b.test"):
                equal(bring(domain, binary, SIGNED), ("failed", "5.6.3"), "signed and binary")
            equal(bring("a.test", encrypted, EIGHT_BIT), ("failed", "5.6.3"), "encrypted")
            equal(len(plain.mails + modern.mails), 4, "mails")


def converted_for_one_host_only():
    eight = write("eight", b"Subject: x\r\n\r\n\xe9\r\n")
    with sink({"RCPT": CLOSE}, offers=()) as plain, sink() as modern, Relay(mx("a.test", plain.address, modern.address)) as relay:
        result, _ = relay.one("a.test", mail=eight, flags=EIGHT_BIT)
        equal((result.outcome, modern.mails[0].data), ("delivered", b"Subject: x\r\n\r\n\xe9\r\n"), "as it came")
        check("BODY=8BITMIME" in modern.mails[0].parameters, modern.mails[0].parameters)
        check(len(plain.sessions) == 1, "the other host was asked")


def utf8_is_needed_where_a_header_has_it():
    """Some clients ask for SMTPUTF8 with every mail: a host without it gets those that need it not."""
    body = write("body", b"Subject: x\r\n\r\n\xc3\xa9\r\n")
    header = write("header", b"Subject: \xc3\xa9\r\n\r\nx\r\n")
    with sink(offers=("8BITMIME",)) as server, Relay(mx("a.test", server.address)) as relay:
        flags = EIGHT_BIT | SMTPUTF8 | SIGNED
        equal(relay.one("a.test", mail=body, flags=flags)[0].outcome, "relayed", "in its body")
        equal(relay.one("a.test", mail=header, flags=flags)[0].status, "5.6.7", "in its header")
        equal([m.parameters.split() for m in server.mails], [["BODY=8BITMIME"]], "parameters")


# ---- routes -----------------------------------------------------------------------------------------


def routes():
    servers = [sink() for _ in range(4)]
    first, second, third, fourth = servers
    zone = f"""
null.test MX 0 .
loop.test MX 10 mail.own.test
behind.test MX 10 mx.behind.test
behind.test MX 20 mail.own.test
behind.test MX 30 worse.behind.test
mx.behind.test A {first.address}
worse.behind.test A {second.address}
implicit.test A {third.address}
alias.test MX 10 cname.alias.test
cname.alias.test CNAME implicit.test
nowhere.test MX 10 gone.nowhere.test
text.test TXT "no address"
failing.test FAIL
half.test MX 10 lost.half.test
lost.half.test FAIL
cnamed.test CNAME behind.test
"""
    wanted = {
        "null.test": ("failed", "556", "5.1.10"), "loop.test": ("failed", "0", "5.4.6"), "missing.test": ("failed", "0", "5.1.2"),
        "nowhere.test": ("failed", "0", "5.4.4"), "text.test": ("failed", "0", "5.1.2"), "failing.test": ("deferred", "0", "4.4.3"),
        "half.test": ("deferred", "0", "4.4.3"), "[300.1.1.1]": ("failed", "0", "5.1.2"),
    }
    hosts = {"behind.test": first, "implicit.test": third, "alias.test": third, f"[{fourth.address}]": fourth, "cnamed.test": first}
    with first, second, third, fourth, Relay(zone) as relay:
        for destination, result in wanted.items():
            got, reach = relay.one(destination)
            equal((got.outcome, got.code, got.status), result, destination)
            equal(reach, "reached" if got.outcome == "failed" else "unreachable", destination)
        for destination, server in hosts.items():
            got, reach = relay.one(destination)
            equal((got.outcome, got.address, reach), ("delivered", server.address, "reached"), destination)
        equal(second.sessions, [], "sessions at a host that is worse than this one")


def own_address():
    """This host under another name: it and what is not better is dropped, a better one is used."""
    own, natted = next(addresses), next(addresses)
    with sink() as better, sink() as worse:
        zone = mx("worse.test", own, worse.address) + mx("better.test", better.address, own) + f"implicit.test A {own}\n" + mx("nat.test", natted)
        zone += f"equal.test MX 10 mx1.worse.test\nequal.test MX 10 mx2.equal.test\nmx2.equal.test A {natted}\n"
        with Relay(zone, f"listen_smtp={own}:{PORT}", f"own_addresses={natted}") as relay:
            for destination in ("worse.test", "implicit.test", "nat.test", "equal.test", f"[{own}]"):
                result, reach = relay.one(destination)
                equal((result.outcome, result.status, reach), ("failed", "5.4.6", "reached"), f"{destination}: {result}")
            equal(relay.one("better.test")[0].outcome, "delivered", "to a better one")
        with sink({"RCPT": "451 4.2.0 later"}, address=natted):
            with Relay(zone, f"listen_smtp={own}:{PORT}") as relay:
                equal(relay.one("nat.test")[0].status, "4.2.0", "an address that is not said to be ours")
        with Relay(mx("all.test", "127.0.0.1", worse.address), f"listen_smtp=*:{PORT}") as relay:
            equal(relay.one("all.test")[0].status, "5.4.6", "where all addresses are listened at")
        with Relay(zone, f"listen_smtp={own}:{PORT + 1}") as relay:
            equal(relay.one("worse.test")[0].outcome, "delivered", "another port is another server")
        equal(len(worse.mails), 1, "mails")


def unreachable():
    """Nobody listens: the next host; when there is none, deferred."""
    with sink() as server, Relay(mx("a.test", next(addresses), server.address) + mx("b.test", next(addresses))) as relay:
        result, reach = relay.one("a.test")
        equal((result.outcome, result.host, reach), ("delivered", "mx2.a.test", "reached"), result)
        result, reach = relay.one("b.test")
        equal((result.outcome, result.status, reach), ("deferred", "4.4.1", "unreachable"), result)
        check("refused" in result.reply, result)


def families():
    if not os.path.exists("/proc/net/if_inet6") or "00000000000000000000000000000001" not in open("/proc/net/if_inet6").read():
        e2e.skip("no IPv6 here")
    address = next(addresses)
    zone = f"a.test MX 1 mx.a.test\nmx.a.test AAAA ::1\nmx.a.test A {address}\n"
    with Sink("::1", PORT) as six, Sink(address, PORT) as four:
        with Relay(zone) as relay:
            equal(relay.one("a.test")[0].address, "::1", "address")
        with Relay(zone, "relay_ipv6=no") as relay:
            equal(relay.one("a.test")[0].address, address, "address without IPv6")
        with Relay(zone, "relay_ipv4=no") as relay:
            equal(relay.one("[IPv6:::1]")[0].outcome, "delivered", "a literal")
        equal((len(six.mails), len(four.mails)), (2, 1), "mails")


def source_address():
    own = next(addresses)
    with sink() as server, Relay(mx("a.test", server.address), "relay_source_address=" + own) as relay:
        result, _ = relay.one("a.test")
        equal(result.outcome, "delivered", result)
        equal(server.sessions[0].peer[0], own, "where it came from")


# ---- servers that do not as they should ---------------------------------------------------------------


def next_host_when_a_session_fails():
    """The first host breaks off, refuses the session or says nonsense; the second one takes the mail."""
    wrongs = [{step: CLOSE} for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")]
    wrongs += [{"CONNECT": "421 4.3.2 busy"}, {"CONNECT": "554 5.7.1 go away"}, {"EHLO": "421 4.3.2 busy"}, {"MAIL": "451 4.3.0 not now"},
               {"CONNECT": "rubbish"}, {"EHLO": "250-a\r\nb"}, {"RCPT": "421 4.3.2 closing"}]
    for wrong in wrongs:
        with sink(wrong, offers=("PIPELINING",)) as bad, sink() as good, Relay(mx("a.test", bad.address, good.address)) as relay:
            result, reach = relay.one("a.test")
            equal((result.outcome, result.host, reach), ("delivered", "mx2.a.test", "reached"), f"{wrong}: {result}")
            equal((len(good.mails), bad.mails), (1, []), f"{wrong}: mails")


def only_host_fails():
    wanted = [({"CONNECT": "554 5.7.1 go away"}, "failed", "5.7.1", "refused"), ({"CONNECT": "421 4.3.2 busy"}, "deferred", "4.3.2", "refused"),
              ({"MAIL": "550 5.7.1 not you"}, "failed", "5.7.1", "reached"), ({"MAIL": "451 4.7.1 later"}, "deferred", "4.7.1", "reached"),
              ({"DATA": "554 5.6.0 no"}, "failed", "5.6.0", "reached"), ({"END": "554 5.7.1 spam"}, "failed", "5.7.1", "reached"),
              ({"END": "451 4.3.0 later"}, "deferred", "4.3.0", "reached"), ({"EHLO": CLOSE}, "deferred", "4.4.2", "unreachable")]
    for actions, outcome, status, reach in wanted:
        with sink(actions, offers=("PIPELINING", "ENHANCEDSTATUSCODES")) as server, Relay(mx("a.test", server.address)) as relay:
            result, got = relay.one("a.test")
            equal((result.outcome, result.status, got), (outcome, status, reach), f"{actions}: {result}")


def lost_answer():
    """The answer to the content is lost: deferred, and no other host is given a second copy now."""
    for offers in (("PIPELINING",), OFFERS):
        with sink({"END": CLOSE}, offers=offers, keep_before_answer=True) as bad, sink() as good:
            with Relay(mx("a.test", bad.address, good.address)) as relay:
                result, _ = relay.one("a.test")
                equal((result.outcome, result.status, result.host), ("deferred", "4.4.2", "mx1.a.test"), result)
                equal((len(bad.mails), len(good.mails)), (1, 0), "mails")


def silent_servers():
    """One that says nothing at any step, drips, or never ends a reply costs a bounded time."""
    wrongs = [{step: SILENT} for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")]
    wrongs += [{step: ENDLESS} for step in ("CONNECT", "EHLO", "MAIL", "END")] + [{step: DRIP} for step in ("CONNECT", "EHLO", "RCPT")]
    servers = [sink(wrong, offers=("PIPELINING",)) for wrong in wrongs]
    zone = "".join(mx(f"d{i}.test", server.address) for i, server in enumerate(servers))
    began = time.monotonic()
    with Relay(zone, "relay_timeout_percent=1") as relay:
        for server in servers:
            server.__enter__()
        jobs = [relay.give(f"d{i}.test") for i in range(len(servers))]
        for job, wrong in zip(jobs, wrongs):
            (result,), _ = relay.wait(job, 60)
            equal((result.outcome, result.status[:2]), ("deferred", "4."), f"{wrong}: {result}")
        for server in servers:
            server.__exit__()
    check(time.monotonic() - began < 60, "it took too long")


def injection_before_tls():
    """What comes behind the 220 to STARTTLS in plain text must not be taken for a part of the session (CVE-2011-0411)."""
    inject = {"STARTTLS": "220 2.0.0 go ahead\r\n250 2.0.0 injected"}
    with sink(inject, context=AUTHORITY.context("mx1.a.test")) as bad, sink() as good, Relay(mx("a.test", bad.address, good.address)) as relay:
        result, _ = relay.one("a.test")
        equal((result.outcome, result.host, bad.mails), ("delivered", "mx2.a.test", []), result)


# ---- TLS --------------------------------------------------------------------------------------------


def opportunistic_tls():
    with sink(context=AUTHORITY.context("other.test")) as server, Relay(mx("a.test", server.address)) as relay:
        result, _ = relay.one("a.test")
        equal(result.outcome, "delivered", result)
        check(result.tls.startswith("TLSv1.3 ") and server.mails[0].session.tls, result)


def broken_tls_falls_back():
    for wrong in ({"TLS": CLOSE}, {"STARTTLS": "454 4.7.0 not now"}, {"STARTTLS": CLOSE}):
        with sink(wrong, context=AUTHORITY.context("mx1.a.test")) as server, Relay(mx("a.test", server.address)) as relay:
            result, _ = relay.one("a.test")
            equal((result.outcome, result.tls, server.mails[0].session.tls), ("delivered", "", False), f"{wrong}: {result}")
            sessions = len(server.sessions)
            equal(relay.one("a.test")[0].outcome, "delivered", "the second mail")
            check(len(server.sessions) <= sessions + 1, "TLS was tried again at once")


def demanded_tls():
    good, wrong = AUTHORITY.context("mx1.a.test"), AUTHORITY.context("other.test")
    cases = [("must", None, "deferred", "4.7.4"), ("must", wrong, "delivered", "2.0.0"), ("verify", wrong, "deferred", "4.7.5"),
             ("verify", good, "delivered", "2.0.0"), ("no", good, "delivered", "2.0.0")]
    for level, context, outcome, status in cases:
        with sink(context=context) as server, Relay(mx("a.test", server.address), "relay_tls=" + level) as relay:
            result, _ = relay.one("a.test")
            equal((result.outcome, result.status), (outcome, status), f"{level}: {result}")
            equal([m.session.tls for m in server.mails], [level != "no"] if outcome == "delivered" else [], level)


# ---- smarthost and transports ---------------------------------------------------------------------------


def smarthost():
    password = write("password", b"s3cret word\n")
    settings = ["smarthost_user=alice", "smarthost_password_file=" + password, f"transport=near.test=smtp:{next(addresses)}"]
    for offers, first in ((OFFERS + ("AUTH PLAIN LOGIN",), False), (OFFERS + ("AUTH LOGIN",), False), (OFFERS + ("AUTH PLAIN",), True)):
        with sink(offers=offers, context=AUTHORITY.context("smart.test"), tls_first=first) as server:
            where = [f"smarthost=smart.test:{PORT}", "smarthost_tls=" + ("first" if first else "verify")]
            with Relay(f"smart.test A {server.address}\n", *settings, *where) as relay:
                result, _ = relay.one("anywhere.test")
                equal((result.outcome, result.host), ("delivered", "smart.test"), result)
                equal((server.sessions[0].login, server.mails[0].session.tls), (("alice", "s3cret word"), True), "log-in")
                equal(relay.one("near.test")[0].status, "4.4.1", "what has a transport of its own does not go there")


def smarthost_by_scram():
    """No password goes over the wire, the host proves that it knows it; where SCRAM is refused inside TLS, PLAIN follows."""
    settings = ["smarthost_user=alice", "smarthost_password_file=" + write("password", b"s3cret word\n")]
    offers = OFFERS + ("AUTH LOGIN PLAIN SCRAM-SHA-256",)
    for tls, told, proves, outcome in ((False, "s3cret word", True, "delivered"), (True, "s3cret word", True, "delivered"),
                                       (False, "another", True, "deferred"), (True, "another", True, "delivered"),
                                       (True, "s3cret word", False, "deferred")):
        with sink(offers=offers, context=AUTHORITY.context("smart.test") if tls else None, password=told, proves=proves) as server:
            where = [f"smarthost=smart.test:{PORT}", "smarthost_tls=" + ("verify" if tls else "no")]
            with Relay(f"smart.test A {server.address}\n", *settings, *where) as relay:
                result, _ = relay.one("anywhere.test")
                equal(result.outcome, outcome, f"{tls} {told} {proves}: {result}")
                tries = [line.split()[1] for line in server.sessions[0].lines if line.startswith("AUTH")]
                equal(tries, ["SCRAM-SHA-256", "PLAIN"] if tls and told == "another" else ["SCRAM-SHA-256"], "mechanisms")


def no_password_in_the_clear():
    password = write("password", b"s3cret\n")
    settings = ["smarthost_user=alice", "smarthost_password_file=" + password, "smarthost_tls=may"]
    with sink(offers=OFFERS + ("AUTH PLAIN",)) as server, Relay("", *settings, f"smarthost={server.address}:{PORT}") as relay:
        result, _ = relay.one("anywhere.test")
        equal((result.outcome, result.status), ("deferred", "4.7.4"), result)
        check(not any("AUTH" in line for s in server.sessions for line in s.lines), "AUTH was sent")


def refused_log_in():
    password = write("password", b"wrong\n")
    settings = ["smarthost_user=alice", "smarthost_password_file=" + password, "smarthost_tls=no"]
    with sink({"AUTH": "535 5.7.8 no"}, offers=OFFERS + ("AUTH PLAIN",)) as server, Relay("", *settings, f"smarthost={server.address}:{PORT}") as relay:
        result, _ = relay.one("anywhere.test")
        equal((result.outcome, result.code), ("deferred", "535"), result)


def lmtp():
    with sink({"END": ["250 2.0.0 ok", "452 4.2.2 full", "550 5.2.1 off"]}, lmtp=True) as server:
        with Relay("", f"transport=a.test=lmtp:{server.address}:{PORT}") as relay:
            results, _ = relay.wait(relay.give("a.test", "x@a.test", "y@a.test", "z@a.test"))
            got = {r.places: (r.outcome, r.status) for r in results}
            equal(got, {"0": ("delivered", "2.0.0"), "1": ("deferred", "4.2.2"), "2": ("failed", "5.2.1")}, "results")
            check(server.sessions[0].lines[0].startswith("LHLO "), "LHLO")


def lmtp_over_a_unix_socket():
    """Master makes the connection: relay's sandbox has none of that kind."""
    path = os.path.join(FOLDER, "lmtp.sock")
    with Relay("", f"transport=.test=lmtp:unix:{path}") as relay:
        result, reach = relay.one("a.test")
        equal((result.outcome, result.status, reach), ("deferred", "4.4.1", "unreachable"), result)
        with Sink(path, 0, {"END": ["250 2.0.0 ok", "550 5.2.1 off", "250 2.0.0 ok"]}, lmtp=True) as server:
            until(lambda: relay.wait(relay.give("a.test", "x@a.test", "y@a.test"))[1] == "reached", "the end of its back-off")
            got = {r.places: (r.outcome, r.status, r.host, r.address) for r in relay.results[relay.number]}
            equal(got, {"0": ("delivered", "2.0.0", path, path), "1": ("failed", "5.2.1", path, path)}, "results")
            equal(relay.one("b.test")[0].outcome, "delivered", "over the same connection")
            equal((len(server.sessions), server.sessions[0].lines[0][:5]), (1, "LHLO "), "sessions")


# ---- connections --------------------------------------------------------------------------------------


def reuse():
    with sink() as server, Relay(mx("a.test", server.address)) as relay:
        for _ in range(20):
            equal(relay.one("a.test")[0].outcome, "delivered", "outcome")
        equal((len(server.mails), len(server.sessions)), (20, 1), "mails and sessions")


def reused_connection_was_closed():
    """A server that ends sessions after a mail, with or without a word: that is no failure of the next mail."""
    for last in (CLOSE, "421 4.4.2 idle too long"):
        def second(session, line, last=last):
            return last if session.mails else "250 2.1.0 ok"
        with sink({"MAIL": second, "RSET": lambda session, line, last=last: last}) as server, Relay(mx("a.test", server.address)) as relay:
            for _ in range(3):
                result, reach = relay.one("a.test")
                equal((result.outcome, reach), ("delivered", "reached"), f"{last}: {result}")


def idle_connections_end():
    with sink() as server, Relay(mx("a.test", server.address), "relay_idle_seconds=1") as relay:
        relay.one("a.test")
        until(lambda: server.open_now == 0, "the end of the connection")
        equal(server.sessions[0].lines[-1], "QUIT", "its last line")


def connections_per_host():
    with sink() as server, Relay(mx("a.test", server.address), "relay_connections_per_host_max=3") as relay:
        jobs = [relay.give("a.test") for _ in range(60)]
        for job in jobs:
            results, _ = relay.wait(job)
            equal(results[0].outcome, "delivered", "outcome")
        check(server.open_most <= 3, f"{server.open_most} connections at a time")
        equal(len(server.mails), 60, "mails")


def resting_connections_make_room():
    """One host under several names, of which each has its own connections."""
    with sink() as server, Relay(mx("a.test", server.address) + mx("b.test", server.address), "relay_connections_per_host_max=2",
                                 "relay_idle_seconds=300") as relay:
        for destinations in (("a.test", "a.test"), ("b.test", "b.test"), ("a.test", "b.test")):
            for job in [relay.give(destination) for destination in destinations]:
                equal(relay.wait(job)[0][0].outcome, "delivered", "outcome")
        check(server.open_most <= 2, f"{server.open_most} connections at a time")
        equal(len(server.mails), 6, "mails")


def connections_in_all():
    servers = [sink() for _ in range(12)]
    for server in servers:
        server.__enter__()
    zone = "".join(mx(f"d{i}.test", server.address) for i, server in enumerate(servers))
    with Relay(zone, "relay_connections_max=4") as relay:
        jobs = [relay.give(f"d{i}.test") for i in range(len(servers))] + [relay.give(f"d{i}.test") for i in range(4)]
        for job in jobs[:16]:
            results, _ = relay.wait(job)
            equal(results[0].outcome, "delivered", "outcome")
    for server in servers:
        server.__exit__()
    equal(sum(len(server.mails) for server in servers), 16, "mails")


def dead_hosts_delay_nobody():
    with sink({"CONNECT": SILENT}) as dead, sink() as living:
        zone = "".join(f"dead{i}.test MX 1 dead.test\n" for i in range(100)) + f"dead.test A {dead.address}\n" + mx("a.test", living.address)
        with Relay(zone, "relay_timeout_percent=1") as relay:
            jobs = [relay.give(f"dead{i}.test") for i in range(100)]
            for _ in range(50):
                equal(relay.one("a.test")[0].outcome, "delivered", "outcome")
            check(not relay.done.keys() & set(jobs), "the dead ones were done before")
            for job in jobs:
                equal(relay.wait(job, 60)[0][0].outcome, "deferred", "outcome")


def names_without_answer_delay_nobody():
    """As many as queue gives of those that nothing is known of."""
    with sink() as living, Relay(mx("a.test", living.address)) as relay:
        jobs = [relay.give(f"mute{i}.test") for i in range(1500)]
        equal(relay.one("a.test")[0].outcome, "delivered", "outcome")
        check(not relay.done.keys() & set(jobs), "those without an answer were done before")
        relay.say("unmute")
        for job in jobs:
            equal(relay.wait(job)[0][0].outcome, "deferred", "outcome")


def silent_hosts_make_room():
    """Where most connections are taken, one that says no word of greeting has not all its time."""
    silent = [sink({"CONNECT": SILENT}) for _ in range(4)]
    for server in silent:
        server.__enter__()
    zone = "".join(mx(f"d{i}.test", server.address) for i, server in enumerate(silent))
    with sink() as living, Relay(zone + mx("a.test", living.address), "relay_connections_max=4", "relay_timeout_percent=10") as relay:
        jobs = [relay.give(f"d{i}.test") for i in range(len(silent))]
        until(lambda: all(server.sessions for server in silent), "all connections are taken")
        results, _ = relay.wait(relay.give("a.test"), 20)
        equal(results[0].outcome, "delivered", "outcome")
        for job in jobs:
            equal(relay.wait(job, 60)[0][0].status, "4.4.2", "what becomes of the silent ones")
    for server in silent:
        server.__exit__()


def dead_host_is_left_alone():
    """It is not tried for each mail; after a while it is tried again."""
    dead = next(addresses)
    with Relay(mx("a.test", dead)) as relay:
        equal(relay.one("a.test")[0].status, "4.4.1", "status")
        with sink(address=dead) as server:
            equal(relay.one("a.test")[0].status, "4.4.1", "status while it is left alone")
            until(lambda: relay.one("a.test")[0].outcome == "delivered", "delivery")
            equal(len(server.mails), 1, "mails")


# ---- queue ------------------------------------------------------------------------------------------


def next_queue():
    """What is under way goes on without queue; the next one hears of it, and gets all results that were not noted."""
    gate = threading.Event()

    def wait_for_gate(session, line):
        gate.wait(20)
        return "250 2.0.0 taken"
    with sink({"END": wait_for_gate}) as slow, sink() as quick, Relay(mx("slow.test", slow.address) + mx("quick.test", quick.address)) as relay:
        first = relay.give("quick.test", "a@quick.test", "b@quick.test")
        second = relay.give("slow.test")
        until(lambda: first in relay.done, "the first job")
        relay.done.clear()
        relay.results.clear()
        relay.say("requeue")
        until(lambda: sum(line.startswith("up") for line in relay.others) == 2, "RELAY_UP")
        held = {line.split()[2]: line.split() for line in relay.others if line.startswith("held")}
        equal(sorted((mail, words[3]) for mail, words in held.items()), [(str(1000 + first), "0,1"), (str(1000 + second), "0")], "held")
        check(relay.others[-1].startswith("up"), "RELAY_UP comes last")
        done = int(held[str(1000 + first)][1])
        results, _ = relay.wait(done)
        equal((results[0].outcome, results[0].places), ("delivered", "0,1"), "told again")
        gate.set()
        results, _ = relay.wait(int(held[str(1000 + second)][1]))
        equal((results[0].outcome, len(slow.mails)), ("delivered", 1), "went on")
        relay.say("requeue")
        until(lambda: sum(line.startswith("up") for line in relay.others) == 3, "RELAY_UP")
        equal(sum(line.startswith("held") for line in relay.others), 2, "jobs held after they were noted")


def drain():
    """A relay that drains brings to its end what it has, and ends when that is noted."""
    gate = threading.Event()

    def wait_for_gate(session, line):
        gate.wait(20)
        return "250 2.0.0 taken"
    with sink({"END": wait_for_gate}) as server:
        relay = Relay(mx("a.test", server.address)).__enter__()
        job = relay.give("a.test")
        until(lambda: server.sessions and any("BDAT" in line for line in server.sessions[0].lines[-1:]), "the content")
        relay.say("drain")
        until(lambda: "up 0" in relay.others, "no more jobs")
        gate.set()
        results, _ = relay.wait(job)
        equal(results[0].outcome, "delivered", "outcome")
        until(lambda: "ended 0" in relay.others, "the end")
        relay.process.wait(10)


TESTS = [delivered, null_sender, require_tls_of_reports, each_recipient_has_its_result, too_many_recipients, large_mail, what_a_server_cannot_take, converted, converted_for_one_host_only,
         utf8_is_needed_where_a_header_has_it, routes, unreachable,
         own_address, families, source_address, next_host_when_a_session_fails, only_host_fails, lost_answer, silent_servers, injection_before_tls,
         opportunistic_tls, broken_tls_falls_back, demanded_tls, smarthost, smarthost_by_scram, no_password_in_the_clear, refused_log_in, lmtp, lmtp_over_a_unix_socket, reuse,
         reused_connection_was_closed, idle_connections_end, connections_per_host, resting_connections_make_room, connections_in_all,
         dead_hosts_delay_nobody, names_without_answer_delay_nobody, silent_hosts_make_room, dead_host_is_left_alone, next_queue, drain]

if __name__ == "__main__":
    chosen = sys.argv[3:]
    e2e.run([(test.__name__.replace("_", " "), test) for test in TESTS if not chosen or test.__name__ in chosen])
