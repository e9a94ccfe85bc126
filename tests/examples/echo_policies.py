# SPDX-License-Identifier: MIT
"""One program, every policy on every transport: the policies are this test's arguments."""

import os
import socket
import sys
import tempfile

from example import Example, expect

with tempfile.TemporaryDirectory() as folder:
    for policy in sys.argv[2:]:
        for transport, where, kind in (
            ("tcp", 0, socket.SOCK_STREAM),
            ("udp", 0, socket.SOCK_DGRAM),
            ("unix", os.path.join(folder, "stream"), socket.SOCK_STREAM),
            ("unix-datagram", os.path.join(folder, "datagram"), socket.SOCK_DGRAM),
        ):
            with Example(policy, transport, where) as example:
                for number in range(3):
                    with example.connect(kind) as client:
                        for line in b"one\n", b"two\n":
                            expect(client, line, line)
            assert example.errors == "", (policy, transport, example.errors)
