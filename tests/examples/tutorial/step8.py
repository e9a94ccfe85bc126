# SPDX-License-Identifier: MIT
import os
import socket
import tempfile

from example import Example, expect

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "quotes.sock")
    with Example(0, path, addresses=3) as example:
        tcp, local, udp = example.addresses
        assert local == path
        with socket.create_connection(tcp, 10) as client:
            expect(client, b"add Time flies.\n", b"added\n")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(local)
            expect(client, b"get\n", b"Well begun is half done.\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(udp)
            for query, reply in (b"get", b"Time flies.\n"), (b"sing", b"unknown: sing\n"):
                client.send(query)
                assert client.recv(512) == reply
    assert not os.path.exists(path)
    assert example.errors == "", example.errors
