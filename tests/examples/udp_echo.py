# SPDX-License-Identifier: MIT
import socket

from example import Example, expect

with Example(0) as example, example.connect(socket.SOCK_DGRAM) as client:
    for data in b"ping", b"\0" * 65507:  # the longest that UDP carries
        expect(client, data, data)
assert example.errors == "", example.errors
