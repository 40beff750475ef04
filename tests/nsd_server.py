"""Debian's nsd as the name server of a test: right and wrong zones, signed ones too.

    with NsdServer({"example.test": "@ SOA … "}) as server: … server.address … server.set_zones({…})
"""
import os
import shutil
import socket
import subprocess
import tempfile

import e2e
import ports

HEAD = """$ORIGIN %s.
$TTL 60
@ IN SOA ns.nameserver.test. hostmaster.nameserver.test. 1 3600 600 86400 60
@ IN NS ns.nameserver.test.
"""


class NsdServer:
    """zones: name → lines of a zone file, without SOA and NS. signed: names of those that are signed; anchor is then a file with their
    keys, as dns_trust_anchor wants it. forged: what is replaced in the signed zones when they are signed."""

    def __init__(self, zones, signed=(), forged=None, host="127.0.0.1"):
        for tool in ["nsd"] + (["ldns-keygen", "ldns-signzone"] if signed else []):
            if not shutil.which(tool):
                e2e.skip(f"there is no {tool}")
        self.zones, self.signed, self.forged, self.process = zones, signed, forged or {}, None
        self.folder = tempfile.mkdtemp(prefix="posthorn-nsd-")
        self.host, self.port = host, ports.take(self.folder, 1, [host])[0]
        self.address = f"{host}:{self.port}"
        self.anchor = os.path.join(self.folder, "anchor")
        self.keys = {name: self.make_key(name) for name in signed}

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_key(self, zone):
        made = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone], cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True)
        key = made.stdout.strip()
        with open(self.path(key + ".key"), encoding="ascii") as public, open(self.anchor, "a", encoding="ascii") as anchor:
            anchor.write(public.read())
        os.chmod(self.anchor, 0o644)
        return key

    def write_zone(self, name, text):
        file = self.path(name + ".zone")
        with open(file, "w", encoding="utf-8") as out:
            out.write(HEAD % name + text + "\n")
        if name in self.signed:
            subprocess.run(["ldns-signzone", "-f", file + ".signed", file, self.keys[name]], cwd=self.folder, check=True)
            file += ".signed"
            self.forge(file)
        return f'zone:\n  name: "{name}"\n  zonefile: "{file}"\n'

    def forge(self, file):
        with open(file, encoding="utf-8") as zone:
            text = zone.read()
        for old, new in self.forged.items():
            e2e.check(old in text, f"{old} is not in the zone")
            text = text.replace(old, new)
        with open(file, "w", encoding="utf-8") as zone:
            zone.write(text)

    def start(self):
        zones = "".join(self.write_zone(name, text) for name, text in self.zones.items())
        with open(self.path("nsd.conf"), "w", encoding="utf-8") as out:
            out.write(f'server:\n  ip-address: {self.host}\n  port: {self.port}\n  username: ""\n  chroot: ""\n  server-count: 1\n'
                      f'  pidfile: "{self.path("pid")}"\n  database: ""\n  xfrdfile: "{self.path("xfrd")}"\n  zonelistfile: "{self.path("list")}"\n'
                      f'  xfrdir: "{self.folder}"\n  zonesdir: "{self.folder}"\n  cookie-secret-file: ""\n  logfile: "{self.path("log")}"\nremote-control:\n  control-enable: no\n{zones}')
        self.process = subprocess.Popen(["nsd", "-d", "-c", self.path("nsd.conf")])
        e2e.until(self.answers, "an answer of nsd")
        return self

    def answers(self):
        e2e.check(self.process.poll() is None, "nsd has ended: " + self.log())
        question = b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(x)]) + x.encode() for x in next(iter(self.zones)).split(".")) + b"\0\0\6\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(0.2)
            try:
                asker.sendto(question, (self.host, self.port))
                return asker.recv(4096)[:2] == b"\x12\x34"
            except OSError:
                return False

    def log(self):
        try:
            with open(self.path("log"), encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(e2e.TIMEOUT)
            self.process = None

    def set_zones(self, zones):
        self.stop()
        self.zones = zones
        self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
