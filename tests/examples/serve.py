# SPDX-License-Identifier: MIT
"""Ctrl-C ends it, whether a client is connected or not; SIGHUP makes it read its limits again."""

import pathlib
import signal
import subprocess
import sys
import tempfile

from example import PROGRAM, Example, expect

for policy in sys.argv[2:]:
    with Example(policy, 0, stop=signal.SIGINT) as example:
        client = example.connect()
        expect(client, b"hello\n", b"hello\n")
        if policy in ("synchronous", "forking", "prefork"):
            client.close()  # a request that is served is finished, by a process that has the pipes of this one
    client.close()
    assert "ended in order" in example.errors, (policy, example.errors)

for policy in sys.argv[2:]:
    with tempfile.TemporaryDirectory() as folder:
        limits = pathlib.Path(folder, "limits")
        limits.write_text("idle_timeout 60\n")
        example = Example(policy, 0, limits, stop=signal.SIGINT)

        def told(text, expected):
            """What the server says when it has read `text`."""
            limits.write_text(text)
            example.process.send_signal(signal.SIGHUP)
            while expected not in (line := example.process.stderr.readline()):
                assert line, expected

        with example:
            told("idle_timeout 1\nmax_connections 100\n", "new limits from")
            with example.connect() as client:  # closed, because it says nothing more
                expect(client, b"hello\n", b"hello\n")
                assert client.recv(1) == b""
            told("max_connections many\n", "not a name and a number; nothing is changed")
            told("most_connections 1\n", "there is no most_connections; nothing is changed")

for arguments in ["telepathy"], ["threading", "99999"], ["threading", "http"], ["threading", "0", "/nowhere"]:
    mistaken = subprocess.run([*PROGRAM, *arguments], stderr=subprocess.PIPE, text=True, timeout=20)
    assert mistaken.returncode == 2 and "usage: serve [policy] [port]" in mistaken.stderr, (arguments, mistaken)
