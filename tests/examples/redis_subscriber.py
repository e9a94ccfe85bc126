# SPDX-License-Identifier: MIT
"""The example between its clients and a Redis of its own."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from example import Example, expect

if shutil.which("redis-server") is None:
    print("skipped: there is no redis-server (Debian: redis-server)")
    sys.exit(77)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*words):
    """A command for Redis, and its reply, which is one line."""
    text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    redis.sendall(text.encode())
    reply = b""
    while not reply.endswith(b"\r\n"):
        part = redis.recv(100)
        assert part, reply
        reply += part
    return reply.decode().strip()


def publish(channel, text, receivers):
    """Once so many have subscribed."""
    while command("PUBLISH", channel, text) != f":{receivers}":
        time.sleep(0.001)


with tempfile.TemporaryDirectory() as folder:
    port = free_port()
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(10_000):
            try:
                redis = socket.create_connection(("127.0.0.1", port), 10)
                break
            except ConnectionRefusedError:
                time.sleep(0.001)
        with Example(port, 0) as example:
            first, second, third = (example.connect() for _ in range(3))
            first.sendall(b"news\n")
            publish("news", "one", 1)
            expect(first, b"", b"one\n")
            second.sendall(b"news\n")
            third.sendall(b"weather\n")
            publish("weather", "rain", 1)
            expect(third, b"", b"rain\n")
            publish("news", "two", 2)
            got = first.recv(100)  # as often as it was published until the second one was there
            assert got and (b"two\n" * 25).startswith(got), got
            assert second.recv(100) == b"two\n"
            big = "x" * 500_000
            publish("weather", big, 1)
            expect(third, b"", big.encode() + b"\n")
            first.close()  # its subscription ends as well
            second.sendall(b"enough\n")
            assert second.recv(100) == b""
            while command("PUBLISH", "news", "three") != ":0":
                time.sleep(0.001)
            publish("weather", "sun", 1)
            expect(third, b"", b"sun\n")
            # third still waits, for both, when the server is told to end
        assert third.recv(100) == b""
        assert example.errors == "", example.errors
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)
