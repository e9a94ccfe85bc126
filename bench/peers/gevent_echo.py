# SPDX-License-Identifier: MIT
"""Line echo on gevent: a greenlet per connection."""

from gevent.server import StreamServer
from gevent.socket import socket

from python_common import announce, listening_socket


def serve(connection, _):
    held = b""
    while data := connection.recv(65536):
        complete = data.rfind(b"\n") + 1
        if complete == len(data) and not held:
            connection.sendall(data)
        elif complete:
            connection.sendall(held + data[:complete])
            held = data[complete:]
        else:
            held += data


plain = listening_socket()
listener = socket(plain.family, plain.type, fileno=plain.detach())
listener.setblocking(False)
server = StreamServer(listener, serve)
server.max_accept = 100
announce(listener)
server.serve_forever()
