# SPDX-License-Identifier: MIT
"""Ctrl-C ends it, whether a client is connected or not."""

import signal
import subprocess
import sys

from example import Example, expect

for policy in "threading", "forking":
    with Example(policy, 0, stop=signal.SIGINT) as example, example.connect() as client:
        expect(client, b"hello\n", b"hello\n")
    assert "ended in order" in example.errors, (policy, example.errors)

with Example("synchronous", 0, stop=signal.SIGINT) as example:
    with example.connect() as client:
        expect(client, b"hello\n", b"hello\n")
assert "ended in order" in example.errors, example.errors

for arguments in ["telepathy"], ["threading", "99999"], ["threading", "http"]:
    mistaken = subprocess.run([sys.argv[1], *arguments], stderr=subprocess.PIPE, text=True, timeout=20)
    assert mistaken.returncode == 2 and "usage: serve [policy] [port]" in mistaken.stderr, (arguments, mistaken)
