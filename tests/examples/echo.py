# SPDX-License-Identifier: MIT
"""The echo of the README, with its fixed port: in a network of its own, where the kernel lets us have one."""

import fcntl
import signal
import socket
import struct
import time

from example import Example, expect, libc

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

if libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
    with socket.socket() as any_socket:  # a new network's loopback interface is down
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
else:
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.1", 9999)) != 0, "port 9999 is another program's"

# It knows nothing of signals: SIGTERM does what it does by default.
with Example(addresses=0, status=-signal.SIGTERM) as example:
    example.addresses = [("127.0.0.1", 9999)]
    while True:  # it does not say when it serves; the alarm bounds this
        try:
            first = example.connect()
            break
        except ConnectionRefusedError:
            assert example.process.poll() is None, "it has ended"
            time.sleep(0.01)
    with first, example.connect() as second:
        expect(second, b"the second does not wait\n", b"the second does not wait\n")
        expect(first, b"one\ntwo\n", b"one\ntwo\n")
