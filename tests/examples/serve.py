# SPDX-License-Identifier: MIT
"""Ctrl-C ends it, whether a client is connected or not."""

import signal

from example import Example, expect

for policy in "threading", "forking":
    with Example(policy, 0, stop=signal.SIGINT) as example, example.connect() as client:
        expect(client, b"hello\n", b"hello\n")
    assert "ended in order" in example.errors, (policy, example.errors)

with Example("synchronous", 0, stop=signal.SIGINT) as example:
    with example.connect() as client:
        expect(client, b"hello\n", b"hello\n")
assert "ended in order" in example.errors, example.errors
