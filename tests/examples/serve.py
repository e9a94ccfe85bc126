# SPDX-License-Identifier: MIT
"""Ctrl-C ends it, whether a client is connected or not."""

import signal
import subprocess
import sys

from example import PROGRAM, Example, expect

for policy in sys.argv[2:]:
    with Example(policy, 0, stop=signal.SIGINT) as example:
        client = example.connect()
        expect(client, b"hello\n", b"hello\n")
        if policy in ("synchronous", "forking", "prefork"):
            client.close()  # a request that is served is finished, by a process that has the pipes of this one
    client.close()
    assert "ended in order" in example.errors, (policy, example.errors)

for arguments in ["telepathy"], ["threading", "99999"], ["threading", "http"]:
    mistaken = subprocess.run([*PROGRAM, *arguments], stderr=subprocess.PIPE, text=True, timeout=20)
    assert mistaken.returncode == 2 and "usage: serve [policy] [port]" in mistaken.stderr, (arguments, mistaken)
