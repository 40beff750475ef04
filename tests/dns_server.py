"""A name server for tests, which answers for everything: from a zone in the form of lib/dns/dns_zone.h, over UDP and TCP on
loopback.

    with DnsServer("example.org TXT \"v=spf1 -all\"\n…") as server: … server.address … server.asked
    dns_server.py ZONEFILE [PORT]              by hand
"""
import ipaddress
import re
import socket
import socketserver
import struct
import sys
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "TLSA": 52}
FAILED, NO_NAME, UDP_MAX = 2, 3, 1232


def wire_name(name):
    labels = [] if name == "." else name.rstrip(".").split(".")
    return b"".join(bytes([len(label)]) + label.encode("utf-8") for label in labels) + b"\0"


def rdata(kind, text):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(text).packed
    if kind == "MX":
        preference, host = text.split()
        return struct.pack(">H", int(preference)) + wire_name(host)
    if kind == "SRV":
        priority, weight, port, host = text.split()
        return struct.pack(">HHH", int(priority), int(weight), int(port)) + wire_name(host)
    if kind == "TXT":
        strings = [s.encode("utf-8", "surrogateescape") for s in re.findall(r'"([^"]*)"', text)]
        pieces = [s[i:i + 255] for s in strings for i in range(0, max(len(s), 1), 255)]
        return b"".join(bytes([len(p)]) + p for p in pieces)
    if kind == "TLSA":
        usage, selector, matching, digits = text.split()
        return bytes([int(usage), int(selector), int(matching)]) + bytes.fromhex(digits)
    return wire_name(text)


class Zone:
    def __init__(self, text):
        self.records, self.failing = {}, set()
        for line in text.splitlines():
            line = line.strip()
            if not line or line.startswith(";"):
                continue
            name, kind, *rest = line.split(None, 2)
            name = name.lower().rstrip(".")
            if kind == "FAIL" or rest == ["FAIL"]:
                self.failing.add((name, None if kind == "FAIL" else kind))
            else:
                self.records.setdefault(name, []).append((kind, rdata(kind, rest[0])))

    def answer(self, name, number):
        """(rcode, [(name, type, rdata)])"""
        found = []
        for _ in range(10):
            kind = next((k for k, n in TYPES.items() if n == number), None)
            if (name, None) in self.failing or (name, kind) in self.failing:
                return FAILED, []
            records = self.records.get(name, [])
            same = [(name, number, data) for k, data in records if TYPES[k] == number]
            alias = next((data for k, data in records if k == "CNAME"), None)
            if same or alias is None or number == TYPES["CNAME"]:
                exists = records or any(n.endswith("." + name) for n in self.records)
                return (0 if found or exists else NO_NAME), found + same
            found.append((name, TYPES["CNAME"], alias))
            name = read_name(alias, 0)[0]
        return FAILED, []


def read_name(packet, at):
    labels = []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("utf-8", "replace"))
        at += 1 + packet[at]
    return ".".join(labels).lower(), at + 1


def reply(zone, packet, limit):
    name, at = read_name(packet, 12)
    number, _ = struct.unpack(">HH", packet[at:at + 4])
    rcode, records = zone.answer(name, number)
    body = b"".join(wire_name(n) + struct.pack(">HHIH", t, 1, 60, len(d)) + d for n, t, d in records)
    question = packet[12:at + 4]
    # an authority's SOA lets the answer that there is nothing be kept
    soa = b"" if records else b"\0" + struct.pack(">HHIH", 6, 1, 60, 22) + b"\0\0" + struct.pack(">IIIII", 1, 60, 60, 60, 60)
    header = packet[:2] + struct.pack(">HHHHH", 0x8580 | rcode, 1, len(records), 1 if soa else 0, 0)
    whole = header + question + body + soa
    if len(whole) <= limit:
        return name, number, whole
    return name, number, packet[:2] + struct.pack(">HHHHH", 0x8780, 1, 0, 0, 0) + question


class DnsServer:
    """silent: a function of a name; True for those that it never answers for, by UDP."""

    def __init__(self, zone, port=0, silent=lambda name: False):
        self.zone, self.port, self.silent, self.asked = Zone(zone), port, silent, []
        self.stopping = threading.Event()

    def set_zone(self, text):
        self.zone = Zone(text)

    def __enter__(self):
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                stream = self.request.makefile("rb")
                while len(size := stream.read(2)) == 2:
                    answer = outer.answer(stream.read(struct.unpack(">H", size)[0]), 65535)
                    self.request.sendall(struct.pack(">H", len(answer)) + answer)

        for attempt in range(100):
            try:
                self.bind(Handler)
                break
            except OSError:  # the port is free for one of the two only
                if self.port or attempt == 99:
                    raise
        self.port = self.datagrams.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.streams.serve_forever, daemon=True).start()
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def bind(self, handler):
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.streams = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), handler)
        self.streams.daemon_threads = True
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.datagrams.bind(self.streams.server_address)
        except OSError:
            self.streams.server_close()
            self.datagrams.close()
            raise

    def answer(self, packet, limit):
        name, number, answer = reply(self.zone, packet, limit)
        self.asked.append((name, next((k for k, n in TYPES.items() if n == number), str(number))))
        return answer

    def serve(self):
        while not self.stopping.is_set():
            try:
                packet, sender = self.datagrams.recvfrom(65535)
                answer = self.answer(packet, UDP_MAX)
                if not self.silent(read_name(packet, 12)[0]):
                    self.datagrams.sendto(answer, sender)
            except OSError:
                return

    def __exit__(self, *_):
        self.stopping.set()
        self.streams.shutdown()
        self.streams.server_close()
        self.datagrams.close()


if __name__ == "__main__":
    with open(sys.argv[1]) as file, DnsServer(file.read(), int(sys.argv[2]) if len(sys.argv) > 2 else 0) as server:
        print(server.address, flush=True)
        threading.Event().wait()
