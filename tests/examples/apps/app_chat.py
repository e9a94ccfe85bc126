# SPDX-License-Identifier: MIT
"""The chat with its page, under the policy of the last argument, or in headless Chromium: "browser"."""

import base64
import hashlib
import http.client
import os
import signal
import socket
import ssl
import struct
import sys
import tempfile

from browser import Browser, have_browser
from example import Example, ask

signal.alarm(110)  # several programs, one after the other
HOW = sys.argv[2]
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def handshake(host, **headers):
    """The request, and the head of the answer that is right."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = {"Host": host, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": key, **headers}
    accepted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    text = "GET /chat HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return text.encode(), base64.b64encode(accepted)


def frame(opcode, data=b"", final=True, masked=True):
    size = len(data)
    head = bytes([opcode | (128 if final else 0)])
    bit = 128 if masked else 0
    head += bytes([bit | size]) if size < 126 else bytes([bit | 126]) + struct.pack("!H", size)
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


class Guest:
    def __init__(self, connection, name=None):
        self.socket = connection
        request, accepted = handshake("chat.test")
        self.socket.sendall(request)
        self.input = self.socket.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.input.readline()
        assert head.startswith(b"HTTP/1.1 101 ") and accepted in head, head
        self.lines, self.pongs = [], []
        if name:
            self.say(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.input.close()
        self.socket.close()

    def send(self, *arguments, **options):
        self.socket.sendall(frame(*arguments, **options))

    def say(self, text):
        self.send(TEXT, text.encode())

    def receive(self):
        """The next frame, as (opcode, data)."""
        first, size = self.input.read(2)
        assert first & 0x70 == 0 and first & 128 and size < 128, (first, size)  # not in pieces, not masked
        if size >= 126:
            size = int.from_bytes(self.input.read(2 if size == 126 else 8), "big")
        return first & 15, self.input.read(size)

    def hear(self, *expected):
        """That the next lines are these; several may come as one message."""
        while len(self.lines) < len(expected):
            opcode, data = self.receive()
            assert opcode in (TEXT, PONG), (opcode, data)
            if opcode == PONG:
                self.pongs.append(data)
            else:
                self.lines += data.decode().splitlines()
        assert tuple(self.lines[:len(expected)]) == expected, (self.lines, expected)
        del self.lines[:len(expected)]

    def expect_close(self, code):
        opcode, data = self.receive()
        assert opcode == CLOSE and struct.unpack("!H", data[:2]) == (code,), (opcode, data)


def check_http(example):
    host, port = example.address
    for method, path, status in (("GET", "/", 200), ("GET", "/other", 404), ("POST", "/", 405), ("GET", "/chat", 404)):
        client = http.client.HTTPConnection(host, port, timeout=10)
        client.request(method, path)
        response = client.getresponse()
        body = response.read()
        assert response.status == status and (b"new WebSocket(" in body) == (status == 200), (path, response.status)
        client.close()
    good, _ = handshake("chat.test")
    for request, answer in ((b"nonsense\r\n\r\n", b"400"), (good.replace(b"GET", b"POST"), b"404"),
                            (good.replace(b"Version: 13", b"Version: 12"), b"426"),
                            (good.replace(b"Sec-WebSocket-Key", b"Other"), b"400"),
                            (handshake("chat.test", Origin="https://evil.test")[0], b"403"),
                            (handshake("chat.test", Origin="null")[0], b"403"),
                            (handshake("chat.test", Origin="https://chat.test")[0], b"101")):
        with example.connect() as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            reply = ask(client, b"")
            assert reply.startswith(b"HTTP/1.1 " + answer), (request, reply)


def check_chat(example):
    with Guest(example.connect(), "Ann") as ann:
        ann.hear("* Ann enters, 1 are here")
        with Guest(example.connect(), "Bob") as bob:
            for each in ann, bob:
                each.hear("* Bob enters, 2 are here")
            ann.say("grüße")
            for each in ann, bob:
                each.hear("Ann: grüße")
            # What comes together, a message in pieces with a ping between them, and one as long as it may be.
            bob.socket.sendall(frame(TEXT, b"one") + frame(TEXT, b"t", final=False) + frame(PING, b"there?")
                               + frame(0, b"wo") + frame(TEXT, b"x" * 4096) + frame(TEXT, b"a\nAnn: b"))
            for each in ann, bob:
                each.hear("Bob: one", "Bob: two", "Bob: " + "x" * 4096, "Bob: a Ann: b")
            assert bob.pongs == [b"there?"]
            # In pieces of one byte.
            bob.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in frame(TEXT, b"slowly"):
                bob.socket.sendall(bytes([byte]))
            ann.hear("Bob: slowly")
            bob.hear("Bob: slowly")
            bob.send(CLOSE, struct.pack("!H", 1000))
            bob.expect_close(1000)
            assert bob.input.read() == b""
        ann.hear("* Bob leaves")
        # What no client may send ends it, and nobody else.
        for name, data, code in (("unmasked", frame(TEXT, b"x", masked=False), 1002),
                                 ("long", frame(TEXT, b"x" * 4097), 1009),
                                 ("long in pieces", frame(TEXT, b"x" * 4000, final=False) + frame(0, b"x" * 97), 1009),
                                 ("no text", frame(TEXT, b"\xff\xfe"), 1007), ("unknown", frame(3), 1002),
                                 ("long ping", b"\x89\xfe\x00\x7e" + bytes(130), 1002), ("continued", frame(0, b"x"), 1002)):
            with Guest(example.connect(), name) as guest:
                guest.hear(f"* {name} enters, 2 are here")
                guest.socket.sendall(data)
                guest.expect_close(code)
            ann.hear(f"* {name} enters, 2 are here", f"* {name} leaves")
        with Guest(example.connect(), "cut off") as guest:
            guest.hear("* cut off enters, 2 are here")
            guest.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ann.hear("* cut off enters, 2 are here", "* cut off leaves")


def check_crowd(example):
    """Each of many hears everybody, in one order."""
    guests = [Guest(example.connect(), f"g{i}") for i in range(20)]

    def next_lines(guest):
        return guest.receive()[1].decode().splitlines()

    for guest in guests:
        while not next_lines(guest)[-1].endswith(" 20 are here"):
            pass
    for i, guest in enumerate(guests):
        for j in range(10):
            guest.say(f"{i} {j}")
    heard = []
    for guest in guests:
        lines = []
        while len(lines) < 200:
            lines += next_lines(guest)
        heard.append(lines)
    assert all(lines == heard[0] for lines in heard)
    assert sorted(heard[0]) == sorted(f"g{i}: {i} {j}" for i in range(20) for j in range(10))
    for guest in guests:
        guest.send(CLOSE, struct.pack("!H", 1000))
        guest.input.read()
        guest.__exit__()


def check_tls(folder):
    from certificate import make_certificate  # ends the test where openssl is missing: so last
    cert, key = make_certificate(folder)
    context = ssl.create_default_context(cafile=cert)
    with Example(0, "--policy", HOW, "--certfile", cert, "--keyfile", key) as example:
        with Guest(context.wrap_socket(example.connect(), server_hostname="localhost"), "Ann") as ann:
            ann.hear("* Ann enters, 1 are here")
            ann.socket.sendall(frame(TEXT, b"one") + frame(TEXT, b"two"))
            ann.hear("Ann: one", "Ann: two")
    assert example.errors == "", example.errors


def check_browser(example, folder):
    host, port = example.address
    with Guest(example.connect(), "Ann") as ann:
        ann.hear("* Ann enters, 1 are here")
        with Browser(folder) as browser:
            def say(text):
                browser.run("document.getElementById('text').value = arguments[0]; document.forms[0].requestSubmit();",
                            text)

            def see(text):
                browser.wait_for("return document.getElementById('lines').innerText.includes(arguments[0])", text)

            browser.open(f"http://{host}:{port}/")
            browser.run("return new Promise(done => socket.readyState == 1 ? done() : socket.onopen = done)")
            say("Bob <b>")
            ann.hear("* Bob <b> enters, 2 are here")
            see("* Bob <b> enters, 2 are here")
            say("grüße <script>")
            ann.hear("Bob <b>: grüße <script>")
            ann.say("from Ann")
            ann.hear("Ann: from Ann")
            see("Ann: from Ann")
            complaints = browser.complaints()
            assert complaints == [], complaints
        ann.hear("* Bob <b> leaves")


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
    if HOW == "browser":
        if not have_browser():
            sys.exit(77)
        with Example(0, "--drain", 5) as server:
            check_browser(server, work)
        sys.exit()
    workers = ["--workers", 32] if HOW == "pool" else []
    with Example(0, "--policy", HOW, *workers, "--drain", 5) as server:
        check_http(server)
        if HOW != "synchronous":  # where one guest would be alone
            check_chat(server)
            check_crowd(server)
        with Guest(server.connect(), "the last") as last:
            last.hear("* the last enters, 1 are here")
            if HOW != "synchronous":
                server.send_stop()
                last.expect_close(1001)
    assert server.errors == "", server.errors
    check_tls(work)
