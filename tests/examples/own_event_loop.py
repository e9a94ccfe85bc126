# SPDX-License-Identifier: MIT
import socket

from example import Example, ask, expect

with Example(0, addresses=2) as example:
    tcp, udp = example.addresses
    for _ in range(2):
        with example.connect() as client:
            assert ask(client, b"") == b"hello\n"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(udp)
            expect(client, b"datagram", b"datagram")
assert example.errors == "", example.errors
