#!/usr/bin/env python3
"""posthornctl doctor against Debian's nsd, with right and wrong zones, in a network of its own: there the ports are the real ones."""
import contextlib
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time

import e2e
import namespaces
import nsd_server
from e2e import check, equal

ADDRESS, OTHER = "192.0.2.25", "192.0.2.99"
DOMAIN, HOST = e2e.DOMAIN, f"mail.{e2e.DOMAIN}"
REVERSE = "2.0.192.in-addr.arpa"
EXIT_UNHEALTHY, EXIT_USAGE = 7, 2
CLOCK = os.path.join(os.environ.get("POSTHORN_BUILD", os.path.join(e2e.ROOT, "build", "gcc")), "tests", "doctor", "clock.so")
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {HOST}\r\nmax_age: 604800\r\n"

# What every zone begins with; a test replaces or adds lines.
RIGHT = {
    "address": f"mail A {ADDRESS}",
    "mx": "@ MX 10 mail",
    "spf": '@ TXT "v=spf1 mx -all"',
    "dmarc": f'_dmarc TXT "v=DMARC1; p=reject; rua=mailto:postmaster@{DOMAIN}"',
    "tlsrpt": f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:postmaster@{DOMAIN}"',
    "sts": f'_mta-sts TXT "v=STSv1; id=1"\nmta-sts A {ADDRESS}',
}
PTR = f"25 PTR {HOST}."


class PolicyServer:
    """https://mta-sts.DOMAIN/.well-known/mta-sts.txt"""

    def __init__(self, folder):
        outer = self
        self.page, self.status = POLICY, 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                right = self.path == "/.well-known/mta-sts.txt" and self.headers["Host"] == f"mta-sts.{DOMAIN}"
                self.send_response(outer.status if right else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", len(outer.page))
                self.end_headers()
                self.wfile.write(outer.page.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ADDRESS, 443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(folder, f"mta-sts.{DOMAIN}"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def certificate(folder, name, days=90):
    """Of the instance's authority."""
    tls = os.path.join(folder, "tls")
    chain, key = os.path.join(tls, f"{name}.pem"), os.path.join(tls, f"{name}.key")
    run = lambda *words: subprocess.run(["openssl", *words], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(os.path.join(tls, "extensions-of-test"), "w", encoding="ascii") as file:
        file.write(f"subjectAltName=DNS:{name}\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test", "-keyout", key, "-out", f"{chain}.request")
    until = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))
    since = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 100 * 86400))
    serial = os.path.join(tls, "index-of-test")
    if not os.path.exists(serial):
        open(serial, "w", encoding="ascii").close()
    with open(os.path.join(tls, "ca.conf"), "w", encoding="ascii") as file:
        file.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={serial}\nnew_certs_dir={tls}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    run("ca", "-batch", "-notext", "-config", os.path.join(tls, "ca.conf"), "-cert", os.path.join(tls, "ca.pem"), "-keyfile", os.path.join(tls, "ca.key"),
        "-extfile", os.path.join(tls, "extensions-of-test"), "-startdate", since, "-enddate", until, "-in", f"{chain}.request", "-out", chain)
    return chain, key


class Tests:
    def __init__(self, instance, nsd, policy):
        self.instance, self.nsd, self.policy = instance, nsd, policy
        self.keys = ""

    def publish(self, reverse=PTR, lists="", **changes):
        lines = [*(RIGHT | changes).values(), self.keys]
        self.nsd.set_zones({DOMAIN: "\n".join(lines), REVERSE: reverse, "spamhaus.org": lists})

    def doctor(self, *words, healthy=None):
        # the caches of libunbound die with the program: every run asks anew
        result = self.instance.ctl("--json", "doctor", *words, check=False)
        check(result.returncode in (0, EXIT_UNHEALTHY), f"{result.returncode}: {result.stderr}")
        findings = json.loads(result.stdout)
        errors = [f for f in findings if f["level"] == "error"]
        equal(result.returncode, EXIT_UNHEALTHY if errors else 0, f"exit code with {errors}")
        if healthy is not None:
            equal(errors == [], healthy, f"health: {errors}")
        return findings

    def finds(self, name, level, text, record=None, words=(), **changes):
        self.publish(**changes)
        findings = self.doctor(DOMAIN, *words)
        fitting = [f for f in findings if f["check"] == name and f["level"] == level and text in f["text"]]
        check(fitting, f"no {level} of {name} with {text!r} in {e2e.short([f for f in findings if f['check'] == name])}")
        if record is not None:
            equal(fitting[0]["record"], record, "the record to publish")

    def make_keys(self):
        self.instance.ctl("dkim", "make", DOMAIN)
        rows = json.loads(self.instance.ctl("--json", "dkim", "record", DOMAIN).stdout)
        check(rows, "dkim record tells the keys")
        self.keys = "\n".join(row["zone"] for row in rows)
        self.publish()

    def right(self):
        self.make_keys()
        findings = self.doctor(healthy=True)
        checks = {f["check"] for f in findings if f["level"] == "ok"}
        wanted = {"disk", "certificate", "dns", "helo", "address", "ptr", "ports", "mx", "spf", "dkim", "dmarc", "mta-sts", "tlsrpt", "dnsbl"}
        check(wanted <= checks, f"not ok: {wanted - checks}")

    def published_zone(self):
        """Who publishes what --zone prints has nothing left to do."""
        self.nsd.set_zones({DOMAIN: RIGHT["address"], REVERSE: "", "spamhaus.org": ""})
        printed = self.instance.ctl("doctor", "--zone", check=False).stdout
        ours = "\n".join(line for line in printed.splitlines() if not line.startswith(";"))
        elsewhere = "\n".join(line[2:] for line in printed.splitlines() if line.startswith("; ") and "\tIN\t" in line)
        check("\tMX\t" in ours and "v=spf1" in ours and "_domainkey" in ours and "v=DMARC1" in ours and "TLSA" in ours and "v=TLSRPTv1" in ours, ours)
        check("\tPTR\t" in elsewhere, elsewhere)
        self.nsd.set_zones({DOMAIN: ours, REVERSE: elsewhere, "spamhaus.org": ""})
        self.doctor(healthy=True)
        rows = json.loads(self.instance.ctl("--json", "doctor", "--zone", check=False).stdout)
        check({"zone": DOMAIN, "owner": DOMAIN, "type": "MX", "data": f"10 {HOST}."} in rows, rows)

    def wrong_mx(self):
        record = f"{DOMAIN}. IN MX 10 {HOST}."
        self.finds("mx", "error", "no MX record", record, mx="")
        self.finds("mx", "error", "no MX is this host", record, mx=f"@ MX 5 other\nother A {OTHER}")
        self.finds("mx", "error", "no address", mx="@ MX 5 nowhere\n@ MX 10 mail")
        self.finds("mx", "error", "is a CNAME", record, mx="@ MX 5 alias\nalias CNAME mail")
        self.finds("mx", "error", "is an address, where a name", mx=f"@ MX 5 {ADDRESS}.\n@ MX 10 mail")
        self.finds("mx", "error", "no MX is this host", record, mx="@ MX 5 local\nlocal A 127.0.0.1")
        self.finds("mx", "error", "null MX", record, mx="@ MX 0 .")
        self.finds("mx", "error", "beside others", mx="@ MX 0 .\n@ MX 10 mail")

    def clients(self):
        """What mail programs look for, RFC 6186."""
        names = (("_submissions", 465), ("_imaps", 993), ("_pop3s", 995))
        records = [f"{name}._tcp.{DOMAIN}. IN SRV 0 1 {port} {HOST}." for name, port in names]
        self.finds("clients", "note", "not told", "\n".join(records))
        right = {name: f"{name}._tcp SRV 5 5 {port} mail" for name, port in names}
        self.finds("clients", "ok", "by themselves", **right)
        self.finds("clients", "note", "not told", records[1], **(right | {"_imaps": ""}))
        self.finds("clients", "warning", f"_pop3s._tcp.{DOMAIN} sends mail programs to other.{DOMAIN}, port 995", records[2],
                   **(right | {"_pop3s": "_pop3s._tcp SRV 0 1 995 other"}))
        self.finds("clients", "warning", "port 1995", records[2], **(right | {"_pop3s": "_pop3s._tcp SRV 0 1 1995 mail"}))

    def wrong_host(self):
        self.finds("address", "error", "has no address", f"{HOST}. IN A {ADDRESS}\n{HOST}. IN A 192.0.2.77", address="x A 192.0.2.1")
        self.finds("address", "warning", OTHER, address=f"mail A {OTHER}\nmail A {ADDRESS}")
        self.finds("address", "error", "is a CNAME", f"{HOST}. IN A {ADDRESS}", address=f"mail CNAME real\nreal A {ADDRESS}")
        self.finds("address", "warning", "which nobody beyond", address=f"mail A {ADDRESS}\nmail A 10.0.0.1")
        record = f"25.{REVERSE}. IN PTR {HOST}."
        self.finds("ptr", "error", "has no name", record, reverse="")
        self.finds("ptr", "error", "leads to other.test instead", record, reverse="25 PTR other.test.")

    def wrong_spf(self):
        record = f'{DOMAIN}. IN TXT "v=spf1 a:{HOST} -all"'
        self.finds("spf", "error", "no SPF record", record, spf="")
        self.finds("spf", "error", "2 SPF records", spf='@ TXT "v=spf1 mx -all"\n@ TXT "v=spf1 -all"')
        self.finds("spf", "error", "is fail", f'{DOMAIN}. IN TXT "v=spf1 a:{HOST} ip4:{OTHER} -all"', spf=f'@ TXT "v=spf1 ip4:{OTHER} -all"')
        self.finds("spf", "error", "everybody may send", f'{DOMAIN}. IN TXT "v=spf1 mx -all"', spf='@ TXT "v=spf1 mx +all"')
        self.finds("spf", "warning", "says nothing about hosts", spf='@ TXT "v=spf1 mx ?all"')
        many = " ".join(f"exists:x{i}.{DOMAIN}" for i in range(11))
        self.finds("spf", "error", "the record is wrong", f'{DOMAIN}. IN TXT "v=spf1 ip4:{ADDRESS} -all"',
                   spf=f'@ TXT "v=spf1 ip4:{ADDRESS} " "{many[:200]}" "{many[200:]} -all"')
        self.finds("spf", "error", "permerror", f'{DOMAIN}. IN TXT "v=spf1 a:{HOST} mx -all"', spf='@ TXT "v=spf1 nonsense mx ip4:1.2.3 -all"')
        self.finds("spf", "error", "does not begin with", record, spf='@ TXT "v=spf1" "mx -all"')

    def too_many_lookups(self):
        """What is proposed keeps the ten, and is content with itself when it is published."""
        services = "\n".join(f'{name} TXT "v=spf1 {" ".join(f"a:h{i}.{DOMAIN}" for i in range(count))} -all"' for name, count in {"s3": 3, "s4": 4, "s9": 9, "s12": 12}.items())
        hosts = "\n".join(f"h{i} A 198.51.100.{i + 1}" for i in range(12))
        include = lambda *counts: " ".join(f"include:s{count}.{DOMAIN}" for count in counts)
        rows = [
            (f"mx a:h0.{DOMAIN} -a:h1.{DOMAIN}/24 {include(3, 4)}", f"ip4:{ADDRESS} ip4:198.51.100.1 -a:h1.{DOMAIN}/24 {include(3, 4)} -all", "addresses of today"),
            (f"{include(4, 9)} mx exp=why.{DOMAIN}", f"{include(4)} mx exp=why.{DOMAIN} ~all", "s9.example.test (10 look-ups)"),
            (f"{include(12)} include:nothing.{DOMAIN} mx", "mx ~all", "more than 10 look-ups"),
            (f"{include(9)} {include(3)}", f"ip4:{ADDRESS} {include(9)} ~all", "s3.example.test (4 look-ups)"),
            (f"{include(3, 4)} mx a:h2.{DOMAIN} redirect=s3.{DOMAIN}", f"{include(3, 4)} mx ip4:198.51.100.3 ~all", "redirect=s3"),
        ]
        for terms, wanted, advice in rows:
            wanted = f"v=spf1 {wanted}"
            self.publish(spf=f'@ TXT "v=spf1 {terms}{"" if "redirect=" in terms else " -all"}"\n{services}\n{hosts}')
            found = [f for f in self.doctor(DOMAIN) if f["check"] == "spf" and f["text"].startswith("the record is wrong")]
            check(found and advice in found[0]["advice"], found)
            equal(found[0]["record"].replace('" "', ""), f'{DOMAIN}. IN TXT "{wanted}"', f"instead of {terms}")
            self.publish(spf=f'@ TXT "{wanted}"\n{services}\n{hosts}')
            equal({f["level"] for f in self.doctor(DOMAIN) if f["check"] == "spf"}, {"ok"}, wanted)

    def wrong_dkim(self):
        keys = self.keys
        try:
            self.keys = ""
            self.finds("dkim", "error", "is not published")
            self.keys = re.sub(r"p=[^\" ;]{8}", "p=AAAAAAAA", keys)
            self.finds("dkim", "error", "is published wrong")
            self.keys = keys.replace("k=ed25519;", "k=ed25519; t=y;")
            self.finds("dkim", "warning", "as a test (t=y)")
        finally:
            self.keys = keys

    def wrong_dmarc(self):
        record = f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@{DOMAIN}"'
        self.finds("dmarc", "error", "no DMARC record", record, dmarc="")
        self.finds("dmarc", "error", "2 DMARC records", record, dmarc='_dmarc TXT "v=DMARC1; p=none"\n_dmarc TXT "v=DMARC1; p=reject"')
        self.finds("dmarc", "error", "makes no sense", record, dmarc='_dmarc TXT "v=DMARC1; p=maybe"')
        self.finds("dmarc", "error", "is no DMARC record: v=DMARC1 p=none", record, dmarc='_dmarc TXT "v=DMARC1 p=none"')
        self.finds("dmarc", "warning", "names no address", dmarc='_dmarc TXT "v=DMARC1; p=reject; rua=postmaster@x.test"')
        self.finds("dmarc", "warning", "psd=y", dmarc='_dmarc TXT "v=DMARC1; p=reject; psd=y"')
        self.finds("dmarc", "note", "only watches", dmarc='_dmarc TXT "v=DMARC1; p=none; rua=mailto:x@' + DOMAIN + '"')
        self.finds("dmarc", "warning", "does not say that it takes them", f'{DOMAIN}._report._dmarc.spamhaus.org. IN TXT "v=DMARC1"',
                   dmarc='_dmarc TXT "v=DMARC1; p=reject; rua=mailto:x@spamhaus.org"')

    def wrong_policies(self):
        self.finds("mta-sts", "note", "no MTA-STS policy", sts="")
        self.finds("mta-sts", "error", "2 MTA-STS records", sts='_mta-sts TXT "v=STSv1; id=1"\n_mta-sts TXT "v=STSv1; id=2"')
        self.finds("mta-sts", "error", "is no MTA-STS record: v=STSv1 id=1", sts='_mta-sts TXT "v=STSv1 id=1"')
        self.finds("mta-sts", "error", "makes no sense", sts='_mta-sts TXT "v=STSv1; x=1"')
        self.finds("mta-sts", "error", "gives no policy", sts='_mta-sts TXT "v=STSv1; id=1"')
        pages = [("version: STSv1\nmode: enforce\nmx: other.test\nmax_age: 604800\n", "error", f"does not name the MX {HOST}"),
                 (POLICY.replace("enforce", "testing"), "note", "mode testing"), (POLICY.replace("604800", "x"), "error", "no valid"),
                 (POLICY.replace(HOST, f"*.{DOMAIN}"), "ok", "names all MX"), (POLICY.replace("STSv1", "2"), "error", "no valid"),
                 (POLICY + "x" * 70000, "error", "too large")]
        try:
            for self.policy.page, level, text in pages:
                self.finds("mta-sts", level, text)
            self.policy.page, self.policy.status = POLICY, 301
            self.finds("mta-sts", "error", "answers 301")
        finally:
            self.policy.page, self.policy.status = POLICY, 200
        self.finds("tlsrpt", "note", "no TLSRPT record", f'_smtp._tls.{DOMAIN}. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@{DOMAIN}"', tlsrpt="")
        self.finds("tlsrpt", "error", "is no TLSRPT record", tlsrpt='_smtp._tls TXT "v=TLSRPTv1 rua=mailto:a@b.test"')
        self.finds("tlsrpt", "error", "names no place", tlsrpt='_smtp._tls TXT "v=TLSRPTv1; rua=mailto:"')
        self.finds("tlsrpt", "error", "names no place", tlsrpt='_smtp._tls TXT "v=TLSRPTv1; x=y"')

    def tlsa(self):
        chain = os.path.join(self.instance.directory, "tls", "server.pem")
        key = subprocess.run(f"openssl x509 -in {chain} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum", shell=True, check=True,
                             stdout=subprocess.PIPE, text=True).stdout.split()[0]
        whole = subprocess.run(f"openssl x509 -in {chain} -outform DER | sha512sum", shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
        record = f"_25._tcp.{HOST}. IN TLSA 3 1 1 {key}"
        self.finds("tlsa", "note", "no TLSA record", record)
        self.finds("tlsa", "ok", "1 TLSA record stands", tlsa=f"_25._tcp.mail TLSA 3 1 1 {key}")
        self.finds("tlsa", "ok", "1 TLSA record stands", tlsa=f"_25._tcp.mail TLSA 3 0 2 {whole}")
        self.finds("tlsa", "error", "do not fit", record, tlsa="_25._tcp.mail TLSA 3 1 1 " + "ab" * 32)
        self.finds("tlsa", "error", "do not fit", record, tlsa=f"_25._tcp.mail TLSA 1 1 1 {key}")

    def lists(self):
        self.finds("dnsbl", "error", "zen.spamhaus.org", lists="25.2.0.192.zen A 127.0.0.4")
        self.finds("dnsbl", "ok", "none has this host", lists="25.2.0.192.zen A 127.255.255.254")

    def certificates(self):
        chain, key = (os.path.join(self.instance.directory, "tls", name) for name in ("server.pem", "server.key"))
        kept = {name: open(name, "rb").read() for name in (chain, key)}
        try:
            for name, days, level, text in ((HOST, -1, "error", "has expired"), (HOST, 5, "warning", "expires in"), ("other.test", 90, "error", "no certificate is for")):
                for made, target in zip(certificate(self.instance.directory, name, days), (chain, key)):
                    shutil.copyfile(made, target)
                self.finds("certificate", level, text)
            with open(key, "wb") as file:
                file.write(b"nonsense")
            self.finds("certificate", "error", "server.key")
        finally:
            for name, octets in kept.items():
                with open(name, "wb") as file:
                    file.write(octets)

    @contextlib.contextmanager
    def configured(self, **settings):
        """As if posthorn.conf said so; nobody but doctor reads it now."""
        path = os.path.join(self.instance.directory, "posthorn.conf")
        with open(path, encoding="utf-8") as file:
            kept = file.read()
        lines = [line for line in kept.splitlines() if line.partition("=")[0].strip() not in settings]
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join([*lines, *(f'{name} = "{value}"' for name, value in settings.items()), ""]))
            yield
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(kept)

    def wrong_name(self):
        """The name that this host says HELO with."""
        with self.configured(hostname="localhost"):
            self.finds("helo", "error", "HELO localhost, which is no full name")
            self.finds("mx", "error", "this host has no name")
        self.finds("helo", "ok", f"HELO {HOST}")

    def disk(self):
        with self.configured(spool_headroom=1 << 39):
            self.finds("disk", "error", "mail is refused for now")
        with self.configured(data_directory="/nowhere"):
            self.finds("disk", "error", "/nowhere cannot be looked at")

    def clock(self):
        wanted = {"right": ("ok", "is synchronised"), "unsynchronised": ("warning", "not synchronised"), "old": ("error", "years behind")}
        if not os.path.exists(CLOCK):
            e2e.skip(f"{CLOCK} was not built")
        kept = dict(os.environ)
        os.environ.update(LD_PRELOAD=CLOCK, ASAN_OPTIONS="verify_asan_link_order=0:" + kept.get("ASAN_OPTIONS", ""))
        try:
            for os.environ["CLOCK"], (level, text) in wanted.items():
                self.finds("clock", level, text)
        finally:
            os.environ.clear()
            os.environ.update(kept)

    def closed_port(self):
        self.publish()
        findings = self.doctor(DOMAIN)
        ports = [f for f in findings if f["check"] == "ports"]
        check(all(f["level"] == "ok" for f in ports) and "smtp on port 25" in ports[0]["text"], ports)
        self.finds("ports", "error", "smtp does not answer on port 25 of 192.0.2.77", address="mail A 192.0.2.77\nmail A " + ADDRESS)

    def silent_dns(self):
        """Nobody answers: it ends, and says so."""
        self.nsd.stop()
        findings = self.doctor(DOMAIN, healthy=False)
        check(any("DNS does not answer" in f["text"] for f in findings), findings)
        self.publish()

    def other_server(self):
        """--dns asks another server; what is no address is refused."""
        self.publish()
        equal(self.instance.ctl("doctor", "--dns", self.nsd.address, check=False).returncode, 0, "exit code")
        equal(self.instance.ctl("doctor", "--dns", "nonsense", check=False).returncode, EXIT_USAGE, "exit code of nonsense")
        text = self.instance.ctl("doctor", DOMAIN, check=False).stdout
        check(f"\n{DOMAIN}\n" in text and "  ok      mx " in text and " errors, " in text, text)


def main():
    if not shutil.which("ip") or not namespaces.enter("net"):
        print("1..1\nok 1 - doctor # SKIP a network namespace needs unshare, ip and the right to it")
        return
    for command in ("link set lo up", f"addr add {ADDRESS}/24 dev lo", "addr add 192.0.2.77/32 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    try:
        nsd = nsd_server.NsdServer({DOMAIN: RIGHT["address"]})
    except e2e.Skipped as reason:
        print(f"1..1\nok 1 - doctor # SKIP {reason}")
        return
    listeners = [word for name, port in (("smtp", 25), ("submission", 587), ("submissions", 465), ("imap", 143), ("imaps", 993), ("pop3", 110), ("pop3s", 995))
                 for word in ("--set", f"listen_{name}=127.0.0.1:{port},{ADDRESS}:{port}")]
    with nsd, e2e.Instance("--base", "0", "--dns", nsd.address, *listeners, accounts=("alice",)) as instance:
        os.environ["SSL_CERT_FILE"] = instance.facts["ca"]
        tests = Tests(instance, nsd, PolicyServer(instance.directory))
        functions = [tests.right, tests.published_zone, tests.wrong_mx, tests.clients, tests.wrong_host, tests.wrong_spf, tests.too_many_lookups, tests.wrong_dkim, tests.wrong_dmarc,
                     tests.wrong_policies, tests.tlsa, tests.lists, tests.certificates, tests.wrong_name, tests.disk, tests.clock,
                     tests.closed_port, tests.silent_dns, tests.other_server]
        names = sys.argv[1:]
        e2e.run([(f"doctor: {function.__name__.replace('_', ' ')}", function) for function in functions if not names or function.__name__ in names])


if __name__ == "__main__":
    main()
