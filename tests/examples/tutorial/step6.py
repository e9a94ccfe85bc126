# SPDX-License-Identifier: MIT
import signal

from example import Example, ask, expect

with Example(0, status=-signal.SIGTERM) as example:
    with example.connect() as client:
        name = "{}:{}".format(*client.getsockname())
        assert ask(client, b"x" * 512) == b""
    assert example.process.stderr.readline() == f"{name} sent a line without end\n"
    with example.connect() as client:
        expect(client, b"get\n", b"Well begun is half done.\n")
assert example.errors == "", example.errors
