# SPDX-License-Identifier: MIT
"""The DNS server under the policy of the last argument, asked by dig, and by hand where dig is too polite. "dnsperf"
stands for a policy of threads and one of fibers, asked by dnsperf as fast as they answer."""

import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from example import Example, ask

signal.alarm(110)  # several programs, one after the other
POLICY = sys.argv[2]

ZONE = """
$TTL 3600
@       SOA ns1 admin 1 7200 3600 1209600 300
        NS ns1
        NS ns2.elsewhere.test.
        MX 10 mail
ns1     A 192.0.2.1
        AAAA 2001:db8::1
mail    A 192.0.2.2
www     CNAME web
web     A 192.0.2.3
out     CNAME www.elsewhere.test.
gone    CNAME nothing
loop    CNAME loop
*.wild  TXT "from the wildcard"
a.b.c   A 192.0.2.4
sub     NS ns.sub
ns.sub  A 192.0.2.5
""" + "".join(f'large TXT "{i:03} {"x" * 60}"\n' for i in range(40)) + "".join(
    f"host{i} A 10.0.{i // 256}.{i % 256}\n" for i in range(2000))


def query(name, kind, identification=1, flags=0, extra=b"", counts=(1, 0, 0, 0), class_=1):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"
    return struct.pack("!6H", identification, flags, *counts) + labels + struct.pack("!2H", kind, class_) + extra


def ask_udp(example, data):
    with example.connect(socket.SOCK_DGRAM) as client:
        client.send(data)
        return client.recv(65535)


def rcode(reply):
    return reply[3] & 15


def check_by_hand(example):
    reply = ask_udp(example, query("Web.Example.TEST", 1, 0x1234, 0x0100))
    assert reply[:2] == b"\x12\x34" and reply[2] == 0x85 and rcode(reply) == 0, reply
    assert b"\3Web\7Example\4TEST\0" in reply and reply.endswith(b"\xc0\x00\x02\x03"), reply
    # 512 bytes without EDNS, 1232 with it, whatever the client says; cut at a whole section.
    opt = lambda size, version=0: b"\0" + struct.pack("!2H4BH", 41, size, 0, version, 0, 0, 0)  # noqa: E731
    for extra, counts in (b"", (1, 0, 0, 0)), (opt(1000), (1, 0, 0, 1)), (opt(65535), (1, 0, 0, 1)):
        reply = ask_udp(example, query("large.example.test", 16, extra=extra, counts=counts))
        assert reply[2] & 2 and reply[6:8] == b"\0\0" and len(reply) < 512, reply
    reply = ask_udp(example, query("web.example.test", 1, extra=opt(1232, 1), counts=(1, 0, 0, 1)))
    assert rcode(reply) == 0 and reply[6:8] == b"\0\0" and reply[-6] == 1, reply  # BADVERS
    for data, code in ((query("web.example.test", 1, flags=0x2800), 4), (query("web.other.test", 1), 5),
                       (query("web.example.test", 1, class_=3), 5), (query("example.test", 252), 1),
                       (query("web.example.test", 1)[:-3], 1), (query("web.example.test", 1, counts=(2, 0, 0, 0)), 1)):
        reply = ask_udp(example, data)
        assert rcode(reply) == code and reply[2] & 0x80, (data, reply)
    # A name that points to itself.
    assert rcode(ask_udp(example, struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1")) == 1
    # Replies, and what is too short, are not answered; nothing that comes ends the server.
    chance = random.Random(1)
    with example.connect(socket.SOCK_DGRAM) as client:
        client.send(query("web.example.test", 1, flags=0x8000))
        client.send(b"short")
        for turn in range(2000):
            data = bytearray(query("web.example.test", 255, extra=opt(1232), counts=(1, 0, 0, 1)))
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(2, len(data))] = chance.randrange(256)
            client.send(data)
            if turn % 50 == 0:  # not more at once than the server's queue holds
                client.send(query("web.example.test", 1, 0xabcd))
                while client.recv(65535)[:2] != b"\xab\xcd":
                    pass
    reply = ask_udp(example, query("web.example.test", 1, 77))
    assert reply[:2] == b"\0\x4d"

    # Several queries on one connection, in pieces.
    with example.connect() as client:
        data = b"".join(struct.pack("!H", len(each)) + each
                        for each in (query("web.example.test", 1, i) for i in range(100)))
        for i in range(0, len(data), 7):
            client.sendall(data[i:i + 7])
        for i in range(100):
            size, = struct.unpack("!H", ask(client, b"", 2))
            assert ask(client, b"", size)[:2] == struct.pack("!H", i)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def check_dig(example):
    host, port = example.address

    def dig(*words):
        done = subprocess.run(["dig", f"@{host}", "-p", str(port), "+time=5", "+tries=2", "+nocookie", *words],
                              capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def short(*words):
        return dig("+short", *words).split("\n")[:-1]

    for how in [], ["+tcp"], ["+noedns"]:
        assert short("web.example.test", "A", *how) == ["192.0.2.3"]
        assert short("www.example.test", "A", *how) == ["web.example.test.", "192.0.2.3"]
        assert short("x.y.wild.example.test", "TXT", *how) == ['"from the wildcard"']
    assert short("out.example.test", "A") == ["www.elsewhere.test."]
    assert short("example.test", "MX") == ["10 mail.example.test."]
    text = dig("example.test", "MX")
    assert "status: NOERROR" in text and "flags: qr aa rd" in text and "192.0.2.2" in text, text
    for name, kind, status, answers in (
            ("nothing.example.test", "A", "NXDOMAIN", 0), ("web.example.test", "AAAA", "NOERROR", 0),
            ("b.c.example.test", "A", "NOERROR", 0), ("wild.example.test", "TXT", "NOERROR", 0),
            ("gone.example.test", "A", "NXDOMAIN", 1), ("other.test", "A", "REFUSED", 0)):
        text = dig(name, kind)
        assert f"status: {status}" in text and f"ANSWER: {answers}," in text, text
        assert status == "REFUSED" or "SOA\tns1.example.test." in text, text
    text = dig("x.sub.example.test", "A")
    assert "flags: qr rd;" in text and "ns.sub.example.test." in text and "192.0.2.5" in text, text
    # Too large for a datagram: dig comes back by TCP.
    assert len(short("large.example.test", "TXT")) == 40
    assert "Truncated, retrying in TCP mode" in dig("large.example.test", "TXT")
    text = dig("example.test", "AXFR")
    assert text.count("SOA\tns1.example.test.") == 2 and text.count("\tA\t10.0.") == 2000, text[-2000:]
    assert "XFR size" in text
    assert "Transfer failed" in dig("web.example.test", "AXFR")


def check_dnsperf(example, queries, mode):
    """A bounded run: so many times all queries, which the server must answer, and answer right."""
    host, port = example.address
    times = 20
    done = subprocess.run(
        ["dnsperf", "-s", host, "-p", str(port), "-m", mode, "-d", str(queries), "-n", str(times), "-l", "30", "-c", "4",
         "-T", "1", "-e"], capture_output=True, text=True, timeout=60, check=True)
    words = dict(re.findall(r"^  (\S.*?): +(.*)$", done.stdout, re.MULTILINE))
    count = times * len(queries.read_text().splitlines())
    assert int(words["Queries sent"]) == count, done.stdout
    # The kernel may lose a datagram where its queue is full; a connection loses none.
    completed = int(words["Queries completed"].split()[0])
    assert completed == count if mode == "tcp" else completed >= 0.99 * count, done.stdout
    codes = {name: int(number) for name, number in re.findall(r"(\w+) (\d+) \(", words["Response codes"])}
    assert codes.keys() == {"NOERROR", "NXDOMAIN"} and sum(codes.values()) == completed, done.stdout
    assert abs(codes["NXDOMAIN"] - completed / 4) <= count - completed + 1, done.stdout


def check_with_dnsperf(folder, zone):
    # A quarter of them asks for what is not there.
    queries = pathlib.Path(folder) / "queries"
    queries.write_text("".join(f"{'x' if i % 4 == 3 else ''}host{i}.example.test A\n" for i in range(400)))
    known = subprocess.run([sys.argv[1], "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
    for policy in [each for each in ("threading", "fiber") if each in known]:
        with Example(0, "--policy", policy, "--zone", f"example.test={zone}", "--drain", 1, addresses=2) as example:
            for mode in "udp", "tcp":
                check_dnsperf(example, queries, mode)
        assert example.errors == "", example.errors


if POLICY == "dnsperf":
    if not shutil.which("dnsperf"):
        sys.exit(77)
    with tempfile.TemporaryDirectory() as work:
        zone = pathlib.Path(work) / "example.zone"
        zone.write_text(ZONE)
        check_with_dnsperf(work, zone)
    sys.exit()
with tempfile.TemporaryDirectory() as work:
    zone = pathlib.Path(work) / "example.zone"
    zone.write_text(ZONE)
    arguments = [0, "--policy", POLICY, "--zone", f"example.test={zone}", "--drain", 1]
    with Example(*arguments, addresses=2) as server:
        assert server.addresses[0] == server.addresses[1]
        check_by_hand(server)
        if shutil.which("dig"):
            check_dig(server)
        else:
            print("passed over: dig is not installed")
    assert server.errors == "", server.errors
    with Example(*arguments, "--transfer-to", "192.0.2.0/24", addresses=2) as server, server.connect() as client:
        data = query("example.test", 252)
        assert rcode(ask(client, struct.pack("!H", len(data)) + data, 14)[2:]) == 5
    for wrong, text in ("@ SOA ns1 admin 1 2 3\n", ":1: "), ("www A 192.0.2.1\n", "no SOA"), (
            "@ SOA ns1 admin 1 2 3 4 5\n", "no NS"):
        zone.write_text(wrong)
        done = subprocess.run([sys.argv[1], "0", "--zone", f"example.test={zone}"], capture_output=True, text=True,
                              timeout=20, check=False)
        assert done.returncode == 1 and text in done.stderr, done
