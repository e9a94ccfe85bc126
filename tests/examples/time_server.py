# SPDX-License-Identifier: MIT
import socket
import time

from example import Example

with Example(0) as example, example.connect(socket.SOCK_DGRAM) as client:
    before = int(time.time())
    client.send(b"")
    reply = client.recv(64)
    after = int(time.time())
    assert len(reply) == 4, reply
    assert before <= int.from_bytes(reply, "big") - 2208988800 <= after, reply
assert example.errors == "", example.errors
