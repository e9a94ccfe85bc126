# SPDX-License-Identifier: MIT
import signal

from example import Example, ask

with Example(0, status=-signal.SIGTERM) as example:
    for _ in range(2):
        with example.connect() as client:
            assert ask(client, b"") == b"Well begun is half done.\n"
assert example.errors == "", example.errors
