#!/usr/bin/env python3
"""Two post offices as hosts of a network: each in a namespace of its own, with mail at port 25 and a name server with signed zones between them.
What a client of one submits a client of the other reads, by POP3 and by IMAP; signed, and by DANE both ways. Without root in a namespace of users."""
import contextlib
import ctypes
import imaplib
import json
import os
import re
import shutil
import subprocess

import e2e
import namespaces
import nsd_server
import world_e2e
from e2e import check, equal

ALPHA, BETA, NAMES = "alpha", "beta", "names"
ADDRESSES = {ALPHA: "10.77.0.1", BETA: "10.77.0.2", NAMES: "10.77.0.53"}
CLONE_NEWNET = 0x40000000
WRONG = "wrong" # a domain of the host's, whose TLSA record fits no key


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def full_name(name):
    return f"posthorn-{os.getpid()}-{name}"


@contextlib.contextmanager
def inside(name):
    """This thread, and what it starts, in the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as here, open(f"/run/netns/{full_name(name)}", "rb") as there:
        equal(libc.setns(there.fileno(), CLONE_NEWNET), 0, f"setns: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            libc.setns(here.fileno(), CLONE_NEWNET)


@contextlib.contextmanager
def network():
    """A bridge in the namespace of the name server, to which the hosts are joined."""
    made = []
    try:
        for name in ADDRESSES:
            ip("netns", "add", full_name(name))
            made.append(full_name(name))
            ip("-n", full_name(name), "link", "set", "lo", "up")
        ip("-n", full_name(NAMES), "link", "add", "bridge", "type", "bridge")
        ip("-n", full_name(NAMES), "address", "add", f"{ADDRESSES[NAMES]}/24", "dev", "bridge")
        ip("-n", full_name(NAMES), "link", "set", "bridge", "up")
        for name in (ALPHA, BETA):
            ip("link", "add", "world", "netns", full_name(name), "type", "veth", "peer", "name", name, "netns", full_name(NAMES))
            ip("-n", full_name(NAMES), "link", "set", name, "master", "bridge", "up")
            ip("-n", full_name(name), "address", "add", f"{ADDRESSES[name]}/24", "dev", "world")
            ip("-n", full_name(name), "link", "set", "world", "up")
        yield
    finally:
        for name in made:
            ip("netns", "delete", name)


class Host(world_e2e.Office):
    """Its methods are called inside its namespace."""

    def __init__(self, name, nsd):
        self.name, self.domain, self.address = name, f"{name}.test", ADDRESSES[name]
        settings = (f"listen_smtp={self.address}:25", f"dns_trust_anchor={nsd.anchor}", "relay_ipv6=no")
        words = [word for setting in settings for word in ("--set", setting)]
        e2e.Instance.__init__(self, "--domain", self.domain, "--dns", nsd.address, *words, accounts=("alice", "bob"))

    def zone(self):
        self.ctl("dkim", "make", self.domain)
        keys = json.loads(self.ctl("--json", "dkim", "record", self.domain).stdout)
        wrong = f"{WRONG} MX 10 mx.{WRONG}\nmx.{WRONG} A {self.address}\n_25._tcp.mx.{WRONG} TLSA 3 1 1 {'ab' * 32}"
        return "\n".join([f"@ MX 10 mail\nmail A {self.address}\n_25._tcp.mail TLSA {self.tlsa()}\n{wrong}", '@ TXT "v=spf1 mx -all"',
                          '_dmarc TXT "v=DMARC1; p=reject"', *(row["zone"] for row in keys)])

    def by_imap(self, name):
        """All mails of an INBOX."""
        with imaplib.IMAP4_SSL("localhost", self.port("imaps"), ssl_context=self.tls()) as client:
            client.login(self.user(name), e2e.PASSWORD)
            client.select("INBOX")
            return [part[1] for part in client.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(part, tuple)]


def exchange(here, there):
    sender, recipient, subject = here.user("alice"), there.user("bob"), f"from {here.name}"
    with inside(here.name):
        queue_id = here.submit(sender, [recipient], world_e2e.letter(sender, recipient, subject, message_id=here.name))
    with inside(there.name):
        mail = there.wait_for("bob", subject)
        equal(there.by_imap("bob"), there.inbox("bob"), "the same by IMAP and by POP3")
    results = re.sub(r"\s+", " ", mail["Authentication-Results"])
    for part in ("iprev=pass", "spf=pass", "dkim=pass", "dmarc=pass"):
        check(part in results, f"{part} is not in {results}")
    with inside(here.name):
        attempt, = (event for event in here.trace(queue_id) if event["event"] == "attempt")
    equal((attempt["outcome"], attempt["address"], attempt["tls"].split()[-1]), ("delivered", there.address, "dane"), "the attempt")


def not_to_another_key(here, there):
    """The signed zone decides: nothing goes to a host that shows another key than its TLSA record says."""
    sender = here.user("alice")
    with inside(here.name):
        recipient = f"bob@{WRONG}.{there.domain}"
        queue_id = here.submit(sender, [recipient], world_e2e.letter(sender, recipient, "wrong"))
        attempts = lambda: [event for event in here.trace(queue_id) if event["event"] == "attempt"]
        e2e.until(attempts, "an attempt")
        attempt = attempts()[0]
        equal((attempt["outcome"], attempt["address"]), ("deferred", there.address), "the attempt")
        check("DANE" in attempt["reply"] or "TLSA" in attempt["reply"], attempt)


def run():
    with network(), inside(NAMES):
        zones = {f"{name}.test": "" for name in (ALPHA, BETA)}
        nsd = nsd_server.NsdServer(zones, signed=tuple(zones), host=ADDRESSES[NAMES])
        with nsd, contextlib.ExitStack() as stack:
            hosts = [Host(name, nsd) for name in (ALPHA, BETA)]
            for host in hosts:
                stack.enter_context(inside(host.name))
                stack.enter_context(host)
                zones[host.domain] = host.zone()
            zones["77.10.in-addr.arpa"] = "\n".join(f"{a.split('.')[-1]}.0 PTR mail.{name}.test." for name, a in ADDRESSES.items())
            with inside(NAMES):
                nsd.set_zones(zones)
            alpha, beta = hosts
            e2e.run([("from one to the other", lambda: exchange(alpha, beta)), ("and back", lambda: exchange(beta, alpha)),
                     ("not to another key", lambda: not_to_another_key(alpha, beta))])


def has_own_run():
    """Where who is not root can keep the names of namespaces."""
    return namespaces.enter("net", "mount") and ctypes.CDLL(None).mount(b"none", b"/run", b"tmpfs", 0, None) == 0


def can_have_namespaces():
    """Not where / is no mount point, as below chroot."""
    name = full_name("probe")
    try:
        return all(subprocess.run(["ip", *words], check=False, stderr=subprocess.DEVNULL).returncode == 0
                   for words in (("netns", "add", name), ("-n", name, "link", "set", "lo", "up")))
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def main():
    tools = all(shutil.which(tool) for tool in ("ip", "nsd", "ldns-signzone"))
    if not tools or not (os.getuid() == 0 or has_own_run()) or not can_have_namespaces():
        print("1..1\nok 1 - two hosts # SKIP namespaces of a network need ip, nsd, ldns-signzone and the right to them")
        return
    run()


if __name__ == "__main__":
    main()
