# SPDX-License-Identifier: MIT
import select

from example import Example, expect

with Example(0) as example:
    first, second, third = (example.connect() for _ in range(3))
    with first, second, third:
        expect(first, b"one\n", b"one\n")
        expect(second, b"two\n", b"two\n")
        third.sendall(b"three\n")
        assert not select.select([third], [], [], 0.2)[0], "three were served at a time"
        first.close()
        expect(third, b"", b"three\n")
assert example.errors == "", example.errors
