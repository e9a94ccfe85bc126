# SPDX-License-Identifier: MIT
import signal

from example import Example, ask, expect

with Example(0, 1, status=-signal.SIGTERM) as example:
    with example.connect() as silent, example.connect() as endless:
        expect(endless, b"get\n", b"Well begun is half done.\n")
        assert ask(endless, b"x" * 512) == b"goodbye: a line has 512 bytes at most\n"
        assert ask(silent, b"") == b"goodbye: you have been silent for too long\n"
    with example.connect() as client:
        longest = b"x" * 507  # with "add " before it and the line's end behind it, 512 bytes
        expect(client, b"add " + longest + b"\nget\n", b"added\n" + longest + b"\n")
assert example.errors == "", example.errors
