# SPDX-License-Identifier: MIT
"""Echoes lines, or datagrams, through Python's socket module: echo_client.py KIND ADDRESS..."""
import os
import socket
import sys

kind, *where = sys.argv[1:]
address = where[0] if kind.startswith("unix") else (where[0], int(where[1]))
family = socket.AF_UNIX if kind.startswith("unix") else socket.AF_INET
datagrams = kind in ("udp", "unix-datagram")
lines = [b"hello\n", "näh\n".encode(), b"x" * 5000 + b"\n"]

with socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM) as client:
    client.settimeout(10)
    own = f"{where[0]}.client"
    if kind == "unix-datagram":
        client.bind(own)
    try:
        client.connect(address)
        if datagrams:
            for line in lines:
                client.send(line)
                assert client.recv(65536) == line, line
        else:
            with client.makefile("rwb") as stream:
                for line in lines:
                    stream.write(line)
                    stream.flush()
                    assert stream.readline() == line, line
                client.shutdown(socket.SHUT_WR)
                assert stream.read() == b""
    finally:
        if kind == "unix-datagram":
            os.unlink(own)
print("ok")
