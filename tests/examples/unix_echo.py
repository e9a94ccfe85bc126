# SPDX-License-Identifier: MIT
import os
import stat
import tempfile

from example import Example, expect

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "echo.sock")
    with Example(path) as example, example.connect() as client:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        expect(client, b"over a path\n", b"over a path\n")
        client.close()
    assert not os.path.exists(path)
    assert example.errors == "", example.errors

    name = "@socketserver-" + os.path.basename(folder)
    with Example(name) as example, example.connect() as client:
        expect(client, b"over a name\n", b"over a name\n")
        client.close()
    assert example.errors == "", example.errors
