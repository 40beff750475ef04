#!/usr/bin/env python3
"""Mail from strangers whose DNS was made to harm: records without end, loops, keys that are none, names that are none. Each mail is answered
with the result that the RFCs ask for and after a bounded number of questions, and the process that looked goes on."""
import base64
import functools
import hashlib

import dns_server
import e2e
import sender_e2e
from e2e import check

QUESTIONS_MAX = 30  # for one mail: terms of SPF, names of a host, keys and policies; what fails is asked again
LONG_LABEL = "a" * 63


def txt(name, text):
    return f'{name} TXT "{text}"'


# domain → (its zone, what Authentication-Results has to say of SPF)
SPF = {
    "loop.test": (txt("loop.test", "v=spf1 include:loop.test -all"), "spf=permerror"),
    "round.test": (txt("round.test", "v=spf1 include:b.round.test") + "\n" + txt("b.round.test", "v=spf1 redirect=round.test"), "spf=permerror"),
    "eleven.test": (txt("eleven.test", "v=spf1 " + "a " * 11 + "-all") + "\neleven.test A 192.0.2.1", "spf=permerror"),
    "ten.test": (txt("ten.test", "v=spf1 " + "a " * 10 + "-all") + "\nten.test A 192.0.2.1", "spf=fail"),
    "void.test": (txt("void.test", "v=spf1 a:x.void.test a:y.void.test a:z.void.test ?all"), "spf=permerror"),
    "huge.test": (txt("huge.test", "v=spf1 " + "ip4:192.0.2.1 " * 4400 + "-all"), "spf=fail"),
    "macro.test": (txt("macro.test", "v=spf1 exists:" + "%{l}.%{s}.%{i}." * 400 + "test -all"), "spf=permerror"),
    "wide.test": (txt("wide.test", "v=spf1 " + " ".join(f"include:i{i}.wide.test" for i in range(9)) + " -all") + "\n" +
                  "\n".join(txt(f"i{i}.wide.test", "v=spf1 " + " ".join(f"include:i{j}.wide.test" for j in range(9))) for i in range(9)), "spf=permerror"),
    "mx.test": (txt("mx.test", "v=spf1 mx -all") + "\n" + "\n".join(f"mx.test MX 1 m{i}.mx.test\nm{i}.mx.test A 192.0.2.1" for i in range(1500)), "spf=permerror"),
    "cname.test": ("cname.test CNAME b.cname.test\nb.cname.test CNAME cname.test", "spf=temperror"),
    "two.test": (txt("two.test", "v=spf1 +all") + "\n" + txt("two.test", "v=spf1 -all"), "spf=permerror"),
    "long.test": (txt("long.test", f"v=spf1 exists:{'.'.join([LONG_LABEL] * 20)}.test -all"), "spf=fail"),
    "policies.test": ("\n".join(txt("_dmarc.policies.test", f"v=DMARC1; p={p}") for p in ("reject", "none")), "dmarc=none"),
    "manytxt.test": ("\n".join(txt("manytxt.test", f"record {i}") for i in range(1500)), "spf=none"),
}

# selector → (its record, the result)
KEYS = {
    "none": (None, "permerror"), "empty": ("v=DKIM1; p=", "permerror"), "text": ("v=DKIM1; p=!!!!", "permerror"), "odd": ("v=DKIM1; p=AAAA", "permerror"),
    "short": ("v=DKIM1; k=ed25519; p=AAAA", "permerror"), "kind": ("v=DKIM1; k=dsa; p=AAAA", "permerror"), "huge": ("v=DKIM1; p=" + "A" * 60000, "permerror"),
    "large": (None, "permerror"), "fail": ("FAIL", "temperror"),
}

PTRS = {
    "NUL": "1.0.0.127.in-addr.arpa PTR a\0b.test", "blanks": "1.0.0.127.in-addr.arpa PTR a\u00a0b.test", "control": "1.0.0.127.in-addr.arpa PTR a\x1b[2J.test",
    "long": f"1.0.0.127.in-addr.arpa PTR {'.'.join([LONG_LABEL] * 3)}.{'b' * 61}",
    "many": "\n".join(f"1.0.0.127.in-addr.arpa PTR p{i}.test\np{i}.test A 192.0.2.1" for i in range(1500)),
    "itself": "1.0.0.127.in-addr.arpa PTR 1.0.0.127.in-addr.arpa", "loop": "1.0.0.127.in-addr.arpa CNAME x.test\nx.test CNAME 1.0.0.127.in-addr.arpa",
    "root": "1.0.0.127.in-addr.arpa PTR .",
}


def large_key():
    """An RSA key of 16384 bits, by its parts: nobody could wait until one was found."""
    def der(tag, content):
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
        return bytes([tag]) + (bytes([len(content)]) if len(content) < 128 else bytes([0x80 | len(size)]) + size) + content
    number = der(2, b"\0" + b"\xf1" * 2048)
    rsa = der(0x30, number + der(2, b"\1\0\1"))
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d010101") + b"\5\0")
    return "v=DKIM1; k=rsa; p=" + base64.b64encode(der(0x30, algorithm + der(3, b"\0" + rsa))).decode()


def key_zone():
    records = {name: record for name, (record, _) in KEYS.items()} | {"large": large_key()}
    lines = [f"{name}._domainkey.keys.test {'TXT FAIL' if record == 'FAIL' else f'TXT {chr(34)}{record}{chr(34)}'}" for name, record in records.items() if record]
    return "\n".join(lines)


def results_of(server, tests, sender, mail):
    """What is said of the mail."""
    before = len(server.asked)
    text, _ = tests.results(sender, mail)
    asked = server.asked[before:]
    check(len(asked) <= QUESTIONS_MAX, f"{len(asked)} questions: {asked}")
    return text


def says(server, tests, domain, wanted):
    text = results_of(server, tests, f"a@{domain}", f"From: a@{domain}\r\n\r\nhello\r\n".encode())
    check(wanted in text, f"{wanted} is not in {text}")


def key_is(server, tests, selector, wanted):
    algorithm = "ed25519-sha256" if selector == "short" else "rsa-sha256"
    body_hash = base64.b64encode(hashlib.sha256(b"hello\r\n").digest()).decode()
    header = f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d=keys.test; s={selector}; h=from;\r\n bh={body_hash}; b={'A' * 2730}AA\r\n"
    text = results_of(server, tests, "a@keys.test", header.encode() + b"From: a@keys.test\r\n\r\nhello\r\n")
    check(f"dkim={wanted}" in text, f"{wanted} is not in {text}")


def ptr_is_odd(server, tests, zone):
    server.set_zone(zone)
    for pid in tests.instance.pids("resolver"):
        e2e.kill(pid)
    e2e.until(lambda: tests.instance.pids("resolver"), "a resolver that knows nothing yet")
    text = results_of(server, tests, "a@ptr.test", b"From: a@ptr.test\r\n\r\nhello\r\n")
    check("iprev=pass" not in text and "\0" not in text and "\x1b" not in text, text)


def main():
    zone = "\n".join([zone for zone, _ in SPF.values()] + [key_zone()])
    with dns_server.DnsServer(zone) as server, e2e.Instance("--dns", server.address) as instance:
        tests = sender_e2e.Tests(instance, None)
        cases = [(f"SPF and DMARC: {name}", functools.partial(says, server, tests, name, wanted)) for name, (_, wanted) in SPF.items()]
        cases += [(f"DKIM: key {name}", functools.partial(key_is, server, tests, name, wanted)) for name, (_, wanted) in KEYS.items()]
        cases += [(f"PTR: {name}", functools.partial(ptr_is_odd, server, tests, zone)) for name, zone in PTRS.items()]
        e2e.run(cases)


if __name__ == "__main__":
    main()
