# SPDX-License-Identifier: MIT
from example import Example, ask

with Example(0, "127.0.0.0/30", "10.0.0.0/8") as example:
    example.addresses = [("127.0.0.1", example.address[1])]  # it serves on 0.0.0.0
    with example.connect(source=("127.0.0.3", 0)) as client:
        assert ask(client, b"") == b"hello, 127.0.0.3\n"
    with example.connect(source=("127.0.0.4", 0)) as client:
        assert ask(client, b"") == b""
assert example.errors == "", example.errors
