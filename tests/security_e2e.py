#!/usr/bin/env python3
"""Mail to other hosts over TLS: DANE with signed zones of Debian's nsd, MTA-STS with policy servers, REQUIRETLS, TLS-Required, and reports."""
import contextlib
import email
import gzip
import hashlib
import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time

import e2e
import nsd_server
from e2e import check, equal
from smtp_sink import OFFERS, Sink

# Domains by what is special about them; each has an MX host "mail" with an address of its own.
SIGNED = ("good", "wrong", "clear", "odd", "anchor", "ask", "free", "strict", "alias", "fallen", "outward", "tampered", "moved",
          "bare", "expired", "longer")
PLAIN = ("ignored", "enforced", "forged", "unnamed", "trial", "silent", "promise", "watched", "distrusted", "garbled", "huge", "elsewhere", "brief")
ADDRESS = {name: f"127.0.1.{i + 1}" for i, name in enumerate(SIGNED + PLAIN)}
WEB = "127.0.2.1"
REPORTS_TO = f"user39@{e2e.DOMAIN}"


def openssl(*words, text=None):
    return subprocess.run(["openssl", *words], check=True, input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


class Authority:
    def __init__(self, folder):
        self.folder = folder
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=Authority of the test",
                "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"))
        os.chmod(self.path("ca.pem"), 0o644)

    def path(self, name):
        return os.path.join(self.folder, name)

    def certificate(self, name, days=9):
        key, chain, request, extensions = (self.path(name + end) for end in (".key", ".pem", ".csr", ".ext"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", request)
        with open(extensions, "w", encoding="ascii") as out:
            out.write(f"subjectAltName=DNS:{name}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", str(days),
                "-extfile", extensions, "-out", chain)
        with open(chain, "ab") as out, open(self.path("ca.pem"), "rb") as authority:
            out.write(authority.read())
        return chain, key

    def context(self, name, days=9):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(name, days))
        return context


def key_digest(chain, algorithm="sha256"):
    return hashlib.new(algorithm, openssl("pkey", "-pubin", "-outform", "DER", text=openssl("x509", "-in", chain, "-noout", "-pubkey"))).hexdigest()


class Web:
    """The policies of MTA-STS by domain; None is 404, an address of the web is where the policy is said to be."""

    def __init__(self, authority, policies):
        outer = self
        self.policies, self.asked, self.posted = policies, [], []
        names = [f"mta-sts.{name}" for name in policies if name != "distrusted.plain.test"] + ["web.plain.test"]
        contexts = {name: authority.context(name) for name in names}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                domain = self.headers["Host"].removeprefix("mta-sts.")
                outer.asked.append(domain)
                page = outer.policies.get(domain) if self.path == "/.well-known/mta-sts.txt" else None
                moved = page and page.startswith("https:")
                self.send_response(301 if moved else 200 if page else 404)
                if moved:
                    self.send_header("Location", page)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", len(page or ""))
                self.end_headers()
                with contextlib.suppress(OSError):  # of a page that is too long for who asked
                    self.wfile.write((page or "").encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.path, self.headers["Content-Type"], body))
                self.send_response(201 if self.path == "/tlsrpt" else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        def choose(connection, name, _):
            connection.context = contexts.get(name, connection.context)

        main = next(iter(contexts.values()))
        main.sni_callback = choose
        self.server = http.server.ThreadingHTTPServer((WEB, 0), Handler)
        self.server.socket = main.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def policy(mode, host, max_age=604800):
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: {max_age}\r\n"


class World:
    def __init__(self, folder):
        self.authority = Authority(folder)
        self.web = Web(self.authority, {
            "enforced.plain.test": policy("enforce", "mail.enforced.plain.test"), "forged.plain.test": policy("enforce", "*.forged.plain.test"),
            "unnamed.plain.test": policy("enforce", "other.unnamed.plain.test"), "trial.plain.test": policy("testing", "other.trial.plain.test"),
            "silent.plain.test": None, "promise.plain.test": policy("enforce", "mail.promise.plain.test"),
            "watched.plain.test": policy("testing", "mail.watched.plain.test"), "distrusted.plain.test": policy("enforce", "no.distrusted.plain.test"),
            "garbled.plain.test": "version: STSv1\r\nmode: perhaps\r\n", "huge.plain.test": policy("enforce", "no.huge.plain.test\r\n" * 500000),
            "elsewhere.plain.test": "https://mta-sts.unnamed.plain.test/.well-known/mta-sts.txt", "brief.plain.test": policy("enforce", "no.brief.plain.test", 0),
        })
        self.sinks, self.digests, self.ids = {}, {}, {}
        port = 0
        for name, address in ADDRESS.items():
            host = f"mail.{name}.{'signed' if name in SIGNED else 'plain'}.test"
            wrong = name in ("forged", "trial", "watched")
            offers = OFFERS + (("REQUIRETLS",) if name in ("promise", "ask", "strict") else ())
            context = None if name == "clear" else self.authority.context("elsewhere.test" if wrong else host, -1 if name == "expired" else 9)
            sink = Sink(address, port, offers=offers, context=context).__enter__()
            self.sinks[name], port = sink, sink.port
            if context:
                self.digests[name] = key_digest(self.authority.path("elsewhere.test.pem" if wrong else host + ".pem"))
        self.port = port
        self.dns = nsd_server.NsdServer(self.zones(), signed=("signed.test",),
                                         forged={"22" * 32: self.digests["tampered"], "mail.moved.signed.test.\n": "mail.free.signed.test.\n"}).start()

    def zones(self):
        return {"signed.test": self.signed(), "plain.test": self.plain()}

    def hosts(self, names):
        places = {"alias": "CNAME host.alias", "fallen": "CNAME host.fallen", "outward": "CNAME host.outward.plain.test."}
        return [f"{name} MX 10 mail.{name}\nmail.{name} {places.get(name, 'A ' + ADDRESS[name])}" for name in names]

    def signed(self):
        authority = key_digest(self.authority.path("ca.pem"))
        records = {"good": f"3 1 1 {self.digests['good']}", "wrong": f"3 1 1 {'00' * 32}", "clear": f"3 1 1 {'00' * 32}",
                   "odd": f"0 1 1 {'00' * 32}", "anchor": f"2 1 1 {authority}", "ask": f"3 1 1 {self.digests['ask']}",
                   "free": f"3 1 1 {'00' * 32}", "strict": f"3 1 1 {'00' * 32}", "alias": f"3 1 1 {'00' * 32}",
                   "fallen": f"3 1 1 {self.digests['fallen']}", "outward": f"3 1 1 {self.digests['outward']}",
                   "tampered": f"3 1 1 {'22' * 32}", "expired": f"3 1 1 {self.digests['expired']}",
                   "longer": f"3 1 2 {key_digest(self.authority.path('mail.longer.signed.test.pem'), 'sha512')}"}
        lines = [f'_smtp._tls.{name} TXT "v=TLSRPTv1; rua=mailto:{REPORTS_TO}"' for name in ("good", "wrong", "clear")]
        lines += [f"host.{name} A {ADDRESS[name]}" for name in ("alias", "fallen")]
        lines.append(f"_{self.port}._tcp.host.alias TLSA 3 1 1 {self.digests['alias']}")
        return "\n".join(self.hosts(SIGNED) + lines + [f"_{self.port}._tcp.mail.{name} TLSA {record}" for name, record in records.items()])

    def plain(self):
        lines = self.hosts(PLAIN) + [f"_{self.port}._tcp.mail.ignored TLSA 3 1 1 {'00' * 32}"]
        lines += [f"web A {WEB}", f"host.outward A {ADDRESS['outward']}"]
        lines += [f'_smtp._tls.{name} TXT "v=TLSRPTv1; rua=mailto:{REPORTS_TO}"' for name in ("silent", "distrusted", "garbled")]
        for name in ("watched", "forged"):
            page = f"https://web.plain.test:{self.web.port}"
            lines.append(f'_smtp._tls.{name} TXT "v=TLSRPTv1; rua={page}/broken,{page}/tlsrpt"')
        for domain in self.web.policies:
            name = domain.split(".")[0]
            lines.append(f'_mta-sts.{name} TXT "v=STSv1; id={self.ids.get(name, 1)}"\nmta-sts.{name} A {WEB}')
        return "\n".join(lines)


def domain_of(name):
    return f"{name}.{'signed' if name in SIGNED else 'plain'}.test"


def send(name, header="", parameters=""):
    """Submits a mail for the domain; its queue id."""
    user = instance.fresh_user()
    with instance.smtp("submission", user=user) as client:
        client.say(f"MAIL FROM:<{user}>{parameters}", "250")
        client.say(f"RCPT TO:<bob@{domain_of(name)}>", "250")
        reply = client.data(f"From: {user}\r\nSubject: to {name}\r\n{header}\r\nhello\r\n".encode())[0]
    check(reply.startswith("250"), reply)
    return e2e.QUEUED.search(reply).group(1)


def attempt_of(queue_id):
    """What the log says of the first attempt."""
    found = []

    def logged():
        found[:] = [line for line in instance.log().splitlines() if " attempt " in line and queue_id in line]
        return found
    e2e.until(logged, f"an attempt for {queue_id}")
    return found[0].replace("\\x20", " ")


def must_arrive(name, tls, **options):
    before = len(world.sinks[name].mails)
    line = attempt_of(send(name, **options))
    check("delivered" in line or "relayed" in line, line)
    check(tls in line, f"{tls}: {line}")
    mail = world.sinks[name].wait_mails(before + 1)[before]
    equal(mail.session.tls, True, "inside TLS")
    return mail


def must_wait(name, why, outcome="deferred", **options):
    before = len(world.sinks[name].mails)
    line = attempt_of(send(name, **options))
    check(outcome in line, line)
    check(why in line, f"{why}: {line}")
    equal(len(world.sinks[name].mails), before, "mails that came all the same")


def dane_by_key():
    """Also by its SHA-512, and whatever else the certificate says: of DANE-EE the key alone counts (RFC 7672 §3.1.1)."""
    for name in ("good", "longer", "expired"):
        must_arrive(name, "dane")


def dane_denied():
    """The signed zone says that there are no records."""
    must_arrive("bare", "opportunistic")


def dane_by_anchor():
    must_arrive("anchor", "dane")


def dane_wrong_key():
    must_wait("wrong", "matches no TLSA record")


def dane_without_starttls():
    must_wait("clear", "STARTTLS")


def dane_at_aliases():
    """RFC 7672 §2.2.3: at the name that an alias leads to, then at its own; also where it leads to what is not signed."""
    for name in ("alias", "fallen", "outward"):
        must_arrive(name, "dane")


def dane_forged():
    """What the signatures do not fit is neither taken nor passed over: no TLSA records that are not to be had, RFC 7672 §2.1.2."""
    must_wait("tampered", "does not say whether the host has TLSA records")
    must_wait("moved", "fails DNSSEC")


def dane_unusable():
    must_arrive("odd", "opportunistic")


def unsigned_records_count_for_nothing():
    must_arrive("ignored", "opportunistic")


def tls_optional():
    must_arrive("free", "opportunistic", header="TLS-Required: No\r\n")


def sts_enforced():
    must_arrive("enforced", "verified")


def sts_wrong_certificate():
    must_wait("forged", "another name")


def sts_wrong_host():
    must_wait("unnamed", "does not name this host")


def sts_testing():
    must_arrive("trial", "opportunistic")


def sts_without_policy():
    for name in ("silent", "distrusted", "garbled", "huge", "elsewhere"):
        must_arrive(name, "opportunistic")


def sts_expires():
    """A policy holds as long as it said (RFC 8461 §5.1), at least for the mail it is fetched for, and no longer when it cannot be fetched again."""
    name = send("brief")
    check("does not name this host" in attempt_of(name), attempt_of(name))
    world.web.policies["brief.plain.test"] = None
    e2e.until(lambda: instance.ctl("queue", "retry", name, check=False) and world.sinks["brief"].mails, "delivery without the policy")


def sts_is_remembered():
    must_arrive("enforced", "verified")
    asked = world.web.asked.count("enforced.plain.test")
    equal(asked, 1, "fetches")
    old = instance.pids("relay")
    for pid in old:
        e2e.kill(pid)
    e2e.until(lambda: instance.pids("relay") not in ([], old), "another relay")
    must_arrive("enforced", "verified")
    equal(world.web.asked.count("enforced.plain.test"), 1, "fetches")


def sts_is_replaced():
    """Another id in the record, another policy (RFC 8461 §3.1): here the domain takes its policy back (§2.1)."""
    send("unnamed")
    world.web.policies["unnamed.plain.test"] = "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
    world.ids["unnamed"] = 2
    world.dns.set_zones(world.zones())
    for program in ("resolver", "relay"):  # which know the record for a minute
        for pid in instance.pids(program):
            e2e.kill(pid)
    e2e.until(lambda: instance.ctl("queue", "retry", "--domain", domain_of("unnamed"), check=False) and world.sinks["unnamed"].mails, "delivery")
    check("mta-sts domain=unnamed.plain.test id=2 mode=none" in instance.log(), "the policy was not fetched")


def require_tls():
    for name, tls in (("ask", "dane"), ("promise", "verified")):
        mail = must_arrive(name, tls, parameters=" REQUIRETLS")
        check("REQUIRETLS" in mail.parameters, mail.parameters)


def require_tls_not_kept():
    must_wait("good", "REQUIRETLS", outcome="failed", parameters=" REQUIRETLS")
    must_wait("ignored", "vouches", outcome="failed", parameters=" REQUIRETLS")
    must_wait("strict", "TLSA", outcome="failed", parameters=" REQUIRETLS")


RESULTS = {"starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "validation-failure", "tlsa-invalid",
           "dnssec-invalid", "dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"}


def has_fields(value, must, may=()):
    """An object with these fields and no others: name → type."""
    check(set(must) <= set(value) <= set(must) | set(may), f"fields {sorted(value)}")
    for name, kind in {**dict(must), **dict(may)}.items():
        check(name not in value or isinstance(value[name], kind), f"{name} of {value}")


def conforms(report):
    """RFC 8460 §4.4."""
    has_fields(report, {"organization-name": str, "date-range": dict, "contact-info": str, "report-id": str, "policies": list})
    has_fields(report["date-range"], {"start-datetime": str, "end-datetime": str})
    for time in report["date-range"].values():
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time), time)
    for one in report["policies"]:
        has_fields(one, {"policy": dict, "summary": dict}, {"failure-details": list})
        has_fields(one["policy"], {"policy-type": str, "policy-domain": str}, {"policy-string": list, "mx-host": list})
        check(one["policy"]["policy-type"] in ("tlsa", "sts", "no-policy-found"), one)
        has_fields(one["summary"], {"total-successful-session-count": int, "total-failure-session-count": int})
        failures = one.get("failure-details", [])
        for failure in failures:
            has_fields(failure, {"result-type": str, "failed-session-count": int},
                       {"sending-mta-ip": str, "receiving-mx-hostname": str, "receiving-ip": str, "failure-reason-code": str})
            check(failure["result-type"] in RESULTS, failure)
        equal(sum(f["failed-session-count"] for f in failures), one["summary"]["total-failure-session-count"], "failures")


def reported(report):
    """Domain → (kind of policy, successes, results of failures of all policies, policy)."""
    conforms(report)
    check(report["date-range"]["start-datetime"].endswith("T00:00:00Z"), report)
    facts = {}
    for p in report["policies"]:
        failures = {f["result-type"]: f for f in p.get("failure-details", [])}
        domain = p["policy"]["policy-domain"]
        if domain in facts:
            failures |= facts[domain][2]
        facts[domain] = (p["policy"]["policy-type"], p["summary"]["total-successful-session-count"], failures, p["policy"])
    return facts


def reports():
    must_arrive("watched", "opportunistic")
    for name in ("good", "wrong", "clear", "forged", "silent", "distrusted", "garbled"):
        attempt_of(send(name, header="X-Again: 1\r\n")) if not mentioned(name) else None
    instance.ctl("tlsrpt", "send")
    mails = []

    def arrived():
        mails[:] = [email.message_from_bytes(mail) for mail in instance.mails(REPORTS_TO)]
        return len(mails) >= 6 and len([p for p in world.web.posted if p[0] == "/tlsrpt"]) >= 2
    e2e.until(arrived, "the reports")
    facts = {}
    for mail in mails:
        check(mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt", mail["Content-Type"])
        domain, submitter = mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]
        subject = " ".join(mail["Subject"].split())
        check(re.fullmatch(rf"Report Domain: {re.escape(domain)} Submitter: {re.escape(submitter)} Report-ID: <[^<>\s]+@{re.escape(submitter)}>", subject), subject)
        equal(mail["TLS-Required"], "No", "TLS-Required")
        part = mail.get_payload()[1]
        equal(part.get_content_type(), "application/tlsrpt+gzip", "the type")
        check(re.fullmatch(rf"{re.escape(submitter)}!{re.escape(domain)}!\d+!\d+\.json\.gz", part.get_filename()), part.get_filename())
        facts |= reported(json.loads(gzip.decompress(part.get_payload(decode=True))))
    for path, kind, body in world.web.posted:
        equal(kind, "application/tlsrpt+gzip", path)
        facts |= reported(json.loads(gzip.decompress(body)))
    kind, successes, failures, applied = facts["good.signed.test"]
    equal((kind, failures), ("tlsa", {}), "good")
    check(successes >= 1, facts)
    check(applied["policy-string"][0].lower() == f"3 1 1 {world.digests['good']}", applied)
    check("certificate-not-trusted" in facts["wrong.signed.test"][2], facts["wrong.signed.test"])
    check("starttls-not-supported" in facts["clear.signed.test"][2], facts["clear.signed.test"])
    for name, result in (("silent", "sts-policy-fetch-error"), ("distrusted", "sts-webpki-invalid"), ("garbled", "sts-policy-invalid")):
        check(result in facts[f"{name}.plain.test"][2], facts[f"{name}.plain.test"])
    for name in ("watched", "forged"):
        kind, _, failures, applied = facts[f"{name}.plain.test"]
        equal(kind, "sts", name)
        failure = failures["certificate-host-mismatch"]
        equal((failure["receiving-mx-hostname"], failure["receiving-ip"]), (f"mail.{name}.plain.test", ADDRESS[name]), name)
        check("version: STSv1" in applied["policy-string"] and len(applied["mx-host"]) == 1, applied)
    e2e.until(lambda: "good.signed.test" not in instance.ctl("tlsrpt", "list").stdout, "what was sent is forgotten")


def report_of_a_day_that_is_over():
    """It goes out when its time has come, without a word of the administrator's."""
    before = len(instance.mails(REPORTS_TO))
    must_arrive("good", "dane")
    e2e.until(lambda: "good.signed.test" in instance.ctl("tlsrpt", "list").stdout, "it is counted")
    instance.count_earlier("tls-report", 2)
    e2e.until(lambda: len(instance.mails(REPORTS_TO)) == before + 1, "the report of that day")
    mail = email.message_from_bytes(instance.mails(REPORTS_TO)[-1])
    report = json.loads(gzip.decompress(mail.get_payload()[1].get_payload(decode=True)))
    conforms(report)
    equal(report["date-range"]["start-datetime"], time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 2 * 86400)), "the day")
    e2e.until(lambda: "good.signed.test" not in instance.ctl("tlsrpt", "list").stdout, "what was sent is forgotten")


def mentioned(name):
    return any(" attempt " in line and f"@{domain_of(name)}" in line for line in instance.log().splitlines())


def main():
    global instance, world
    tests = [
        ("DANE: the key of a TLSA record is taken", dane_by_key),
        ("DANE: a trust anchor of a TLSA record is taken", dane_by_anchor),
        ("DANE: another key is not", dane_wrong_key),
        ("DANE: no records, no demands", dane_denied),
        ("DANE: no TLS, no mail", dane_without_starttls),
        ("DANE: aliases", dane_at_aliases),
        ("DANE: forged records hold the mail back", dane_forged),
        ("DANE: records that can't be used demand TLS and no more", dane_unusable),
        ("DANE: records without DNSSEC count for nothing", unsigned_records_count_for_nothing),
        ("TLS-Required: No sets policies aside", tls_optional),
        ("MTA-STS: the certificate is checked", sts_enforced),
        ("MTA-STS: one for another name is refused", sts_wrong_certificate),
        ("MTA-STS: a host that is not named is not used", sts_wrong_host),
        ("MTA-STS: testing changes nothing", sts_testing),
        ("MTA-STS: a record without policy changes nothing", sts_without_policy),
        ("MTA-STS: a policy ends with its time", sts_expires),
        ("MTA-STS: policies outlive relay", sts_is_remembered),
        ("MTA-STS: another id brings another policy", sts_is_replaced),
        ("REQUIRETLS is handed on", require_tls),
        ("REQUIRETLS: what can't be promised comes back", require_tls_not_kept),
        ("TLSRPT: what came of it is reported by mail and by HTTPS", reports),
        ("TLSRPT: the report of a day that is over goes out by itself", report_of_a_day_that_is_over),
    ]
    chosen = sys.argv[1:]
    with e2e.tempfile.TemporaryDirectory(prefix="posthorn-security-") as folder:
        os.chmod(folder, 0o755)
        world = World(folder)
        try:
            arguments = [f"relay_port={world.port}", f"relay_https_port={world.web.port}", f"relay_ca_file={world.authority.path('ca.pem')}",
                         f"dns_trust_anchor={world.dns.anchor}", "relay_ipv6=no"]
            with e2e.Instance("--dns", world.dns.address, *(word for a in arguments for word in ("--set", a))) as instance:
                e2e.run([t for t in tests if not chosen or any(word in t[0] for word in chosen)])
        finally:
            world.dns.stop()


instance = world = None
if __name__ == "__main__":
    main()
