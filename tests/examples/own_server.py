# SPDX-License-Identifier: MIT
import re

from example import Example, ask, expect

with Example(0) as example:
    with example.connect() as first, example.connect() as second:
        expect(first, b"word\n", b"word\n")
        assert ask(second, b"fail\n") == b""
        expect(first, b"count\n", b"3 lines, 1 failures\n")
failure, turns = example.output.splitlines()
assert failure == "127.0.0.1 failed: as asked", example.output
assert int(re.fullmatch(r"(\d+) turns of the loop", turns)[1]) >= 2, turns
assert example.errors == "", example.errors
