# SPDX-License-Identifier: MIT
from example import Example, ask

with Example(0) as example:
    for word in b"hello world", b"a second client":
        with example.connect() as client:
            assert ask(client, word) == word.upper()
assert example.errors == "", example.errors
