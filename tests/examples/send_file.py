# SPDX-License-Identifier: MIT
import os
import tempfile

from example import Example, ask

with tempfile.TemporaryDirectory() as folder:
    big = os.urandom(20_000_000)
    inside = os.path.join(folder, "served")
    os.mkdir(inside)
    for path, content in ("served/big", big), ("served/empty", b""), ("served/.hidden", b"x"), ("secret", b"x"):
        with open(os.path.join(folder, path), "wb") as file:
            file.write(content)
    os.symlink("../secret", os.path.join(inside, "link"))
    os.mkdir(os.path.join(inside, "sub"))

    with Example(0, inside) as example:
        for name, expected in ("big", big), ("empty", b""):
            with example.connect() as client:
                assert ask(client, name.encode() + b"\n", 1 << 30) == expected
        for name in "../secret", "link", "sub", "none", ".hidden", "", "..", os.path.join(folder, "secret"):
            with example.connect() as client:
                assert ask(client, name.encode() + b"\n") == f"no such file: {name}\n".encode(), name
    assert example.errors == "", example.errors
