# SPDX-License-Identifier: MIT
"""The proxy between a client and a server of Python's own."""

import os
import socketserver
import threading

from example import Example, ask, expect


class Upstream(socketserver.BaseRequestHandler):
    """Says hello first, echoes, and says goodbye once the client has ended its side."""

    def handle(self):
        self.request.sendall(b"hello\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b"goodbye\n")


with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upstream) as upstream:
    upstream.daemon_threads = True
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with Example("localhost", upstream.server_address[1], 0) as example:
        with example.connect() as first, example.connect() as second:
            expect(second, b"", b"hello\n")
            expect(second, b"second\n", b"second\n")

            big = os.urandom(5_000_000)

            def send():
                first.sendall(big)
                first.shutdown(1)  # SHUT_WR: the other direction goes on

            sending = threading.Thread(target=send)
            sending.start()
            assert ask(first, b"", 1 << 30) == b"hello\n" + big + b"goodbye\n"
            sending.join()
    upstream.shutdown()
assert example.errors == "", example.errors
