# SPDX-License-Identifier: MIT
import signal

from example import Example, ask, expect

with Example(0, status=-signal.SIGTERM) as example, example.connect() as client:
    expect(client, b"get\n", b"Well begun is half done.\n")
    expect(client, b"sing\nget\n", b"unknown: sing\nWell begun is half done.\n")
    client.sendall(b"the last line has no end")
    client.shutdown(1)  # SHUT_WR
    assert ask(client, b"") == b"unknown: the last line has no end"
assert example.errors == "", example.errors
