#!/usr/bin/env python3
"""posthorn-resolver against a name server of our own: what it answers, what it keeps, and what a broken server or asker does to it.

  resolver_test.py ASK RESOLVER
"""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import dns_server
import e2e
from e2e import equal

ASK, RESOLVER = sys.argv[1:3]
ZONE = """
example.test A 192.0.2.1
example.test A 192.0.2.2
example.test AAAA 2001:db8::1
example.test MX 10 mail.example.test
example.test TXT "v=spf1 " "-all"
alias.test CNAME example.test
null.test MX 0 .
broken.test FAIL
1.2.0.192.in-addr.arpa PTR example.test
_25._tcp.mail.example.test TLSA 3 1 1 00ff
long.test TXT "%s"
loop.test CNAME pool.test
pool.test CNAME loop.test
""" % ("x" * 5000)


def ask(questions, address, *settings):
    """The lines that come back, without the last one, which says how the resolver ended."""
    command = [ASK, RESOLVER, f"dns_forward={address}", "dns_trust_anchor=", "log_level=error", *settings]
    ran = subprocess.run(command, input="\n".join(questions), stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    *lines, end = ran.stdout.splitlines()
    equal(end, "ended 0", "the end of the resolver")
    return lines


def answers():
    with dns_server.DnsServer(ZONE) as server:
        wanted = {
            "example.test A": "found c0000201 c0000202", "example.test AAAA": "found 20010db8" + "0" * 22 + "01",
            "example.test MX": "found 000a" + dns_server.wire_name("mail.example.test").hex(),
            "example.test TXT": "found " + (b"\x07v=spf1 \x04-all").hex(), "example.test TLSA": "no-data", "nowhere.test A": "no-name",
            "alias.test A": "found canonical=example.test c0000201 c0000202", "null.test MX": "found 000000", "broken.test A": "failed",
            "1.2.0.192.in-addr.arpa PTR": "found " + dns_server.wire_name("example.test").hex(),
            "_25._tcp.mail.example.test TLSA": "found 03010100ff", "loop.test A": "failed",
        }
        lines = ask(list(wanted), server.address)
        for (question, answer), line in zip(wanted.items(), lines):
            name, kind = question.split()
            expected = answer.split()
            words = line.split()
            equal(words[:2], [name, str(dns_server.TYPES[kind])], "question")
            equal(sorted(words[2:]), sorted(expected), question)


def long_answers():
    """What does not fit into a datagram comes by TCP."""
    with dns_server.DnsServer(ZONE) as server:
        line = ask(["long.test TXT"], server.address)[0]
        equal(bytes.fromhex(line.split()[3]).count(b"x"), 5000, "octets of a long text")


def cache():
    with dns_server.DnsServer(ZONE) as server:
        lines = ask(["example.test A"] * 200, server.address)
        equal(len(lines), 200, "answers")
        e2e.check(server.asked.count(("example.test", "A")) < 5, "the server was asked again and again")


def silent_server():
    """Every question gets its answer in time, though nobody answers the resolver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        lines = ask([f"n{i}.test A" for i in range(100)], f"127.0.0.1:{silent.getsockname()[1]}")
        equal([line.split()[2] for line in lines], ["failed"] * 100, "answers of a server that is silent")


def silent_names():
    """Names that nobody answers for hold up no other one."""
    with dns_server.DnsServer(ZONE, silent=lambda name: name.startswith("dead")) as server:
        lines = ask([f"dead{i}.test A" for i in range(2500)] + ["example.test AAAA", "nowhere.test A"], server.address)
        equal([line.split()[2] for line in lines[:2500]], ["failed"] * 2500, "answers for the silent ones")
        equal([line.split()[2] for line in lines[2500:]], ["found", "no-name"], "answers for the others")


def malformed_question():
    with dns_server.DnsServer(ZONE) as server:
        equal(ask(["garbage A", "example.test A"], server.address)[-1], "closed", "the channel of a peer that sends garbage")
        equal(ask(["example.test 65280"], server.address), ["closed"], "the channel of one that asks for an unknown type")
        equal(ask(["a..b A"], server.address), ["closed"], "the channel of one that asks for no name")


def too_many_questions():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        lines = ask([f"n{i}.test A" for i in range(5100)], f"127.0.0.1:{silent.getsockname()[1]}")
        equal(lines[-1], "closed", "the channel of one that asks 5,100 questions at once")


if __name__ == "__main__":
    e2e.run([("answers", answers), ("long answers", long_answers), ("cache", cache), ("a silent server", silent_server), ("silent names", silent_names),
             ("malformed questions", malformed_question), ("too many questions", too_many_questions)])
