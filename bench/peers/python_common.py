# SPDX-License-Identifier: MIT
"""What the Python peers share: a listening socket, and how to say where it listens."""

import resource
import socket
import sys

BACKLOG = 4096


def listening_socket() -> socket.socket:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = sys.argv[1]
    if address.startswith(("/", "@")):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
    else:
        listener = socket.socket()
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", int(address)))
    listener.listen(BACKLOG)
    return listener


def announce(listener: socket.socket) -> None:
    name = listener.getsockname()
    print(f"port {name[1]}" if isinstance(name, tuple) else "ready", flush=True)
