# SPDX-License-Identifier: MIT
import signal

from example import Example, expect

with Example(0, status=-signal.SIGTERM) as example:
    with example.connect() as first:
        expect(first, b"add Time flies.\n", b"added\n")
    with example.connect() as second:
        expect(second, b"get\nget\nget\n", b"Well begun is half done.\nTime flies.\nWell begun is half done.\n")
        expect(second, b"sing\n", b"unknown: sing\n")
assert example.errors == "", example.errors
