# SPDX-License-Identifier: MIT
"""The balancer under the policy of the last argument, before servers of Python's own that come and go."""

import functools
import http.server
import pathlib
import random
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from example import Example, ask

signal.alarm(110)  # several programs, one after the other
POLICY = sys.argv[2]
ONE_BY_ONE = POLICY == "synchronous"  # one client at a time
WORKERS = ["--workers", 32] if POLICY == "pool" else []


class Echo(socketserver.BaseRequestHandler):
    """Says who it is, echoes, and says goodbye once the client has ended its side."""

    def handle(self):
        self.request.sendall(self.server.name)
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
            self.request.sendall(b"goodbye")
        except ConnectionError:
            pass  # a health check, or a client that was broken off


class Upstream(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True

    def __init__(self, name, port=0, handler=Echo):
        super().__init__(("127.0.0.1", port), handler)
        self.name, self.port = name, self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def end(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


def name_of(example):
    """Which server a new connection leads to; and the connection."""
    client = example.connect()
    return ask(client, b"", 1), client


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_balance(first, second):
    with Example(0, "--policy", POLICY, *WORKERS, "--to", f"127.0.0.1:{first.port}", "--to", f"127.0.0.1:{second.port}",
                 "--check-interval", 0.1, "--drain", 1) as example:
        # Both directions at once, and each end for itself.
        data = random.Random(1).randbytes(5_000_000)
        with example.connect() as client:
            sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
            sender.start()
            reply = ask(client, b"", 10_000_000)
            sender.join()
            assert reply[:1] in b"AB" and reply[1:] == data + b"goodbye"
        if not ONE_BY_ONE:
            clients = [name_of(example) for _ in range(10)]
            names = [name for name, _ in clients]
            assert names.count(b"A") == names.count(b"B") == 5, names
            for name, client in clients:
                if name == b"A":
                    client.close()

            def lead_to_the_less_busy():
                more = [name_of(example) for _ in range(4)]
                for _, client in more:
                    client.close()
                return [name for name, _ in more] == [b"A"] * 4

            wait_for(lead_to_the_less_busy)  # the balancer has to learn that they left
            for _, client in clients:
                client.close()
        # One goes, and nobody loses a connection; it comes again, and is found.
        port = first.port
        first.end()
        for _ in range(6):
            name, client = name_of(example)
            client.close()
            assert name == b"B", name
        first = Upstream(b"A", port)

        def found():
            name, client = name_of(example)
            client.close()
            return name == b"A"

        wait_for(found)
        # All are gone: a client gets the end of the stream, and the balancer goes on.
        second_port = second.port
        first.end()
        second.end()
        with example.connect() as client:
            assert client.recv(1) == b""
        first = Upstream(b"A", port)
        wait_for(found)
        second = Upstream(b"B", second_port)
        # A drain ends the client's side of a connection that is silent, and the server behind it says goodbye.
        name, left = name_of(example)
    assert ask(left, b"") == b"goodbye"
    left.close()
    for word in f"127.0.0.1:{port} is down\n", f"127.0.0.1:{port} is up\n":
        assert word in example.errors, example.errors
    return first, second


def check_idle(first):
    with Example(0, "--policy", POLICY, *WORKERS, "--to", f"127.0.0.1:{first.port}", "--idle-timeout", 0.2) as example:
        name, client = name_of(example)
        begin = time.monotonic()
        assert client.recv(100) == b"" and time.monotonic() - begin > 0.1, name
        client.close()


def check_http_over_tls(folder):
    (pathlib.Path(folder) / "page").write_bytes(b"0123456789" * 100_000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    http.server.SimpleHTTPRequestHandler.log_message = lambda *_: None
    upstream = Upstream(b"", handler=handler)
    from certificate import make_certificate  # ends the test where openssl is missing: so last
    cert, key = make_certificate(folder)
    with Example(0, "--policy", POLICY, *WORKERS, "--to", f"127.0.0.1:{upstream.port}", "--certfile", cert,
                 "--keyfile", key, "--drain", 1) as example:
        context = ssl.create_default_context(cafile=cert)
        with context.wrap_socket(example.connect(), server_hostname="localhost") as client:
            reply = ask(client, b"GET /page HTTP/1.0\r\n\r\n", 10_000_000)
            assert reply.endswith(b"0123456789" * 100_000)
        if shutil.which("curl"):
            done = subprocess.run(["curl", "--silent", "--max-time", "20", "--cacert", cert, "--resolve",
                                   f"localhost:{example.address[1]}:127.0.0.1",
                                   f"https://localhost:{example.address[1]}/page"],
                                  capture_output=True, timeout=30, check=True)
            assert done.stdout == b"0123456789" * 100_000
        else:
            print("passed over: curl is not installed")
    assert example.errors == "", example.errors
    upstream.end()


servers = [Upstream(b"A"), Upstream(b"B")]
try:
    servers = check_balance(*servers)
    check_idle(servers[0])
finally:
    for each in servers:
        each.end()
with tempfile.TemporaryDirectory() as work:
    check_http_over_tls(work)
