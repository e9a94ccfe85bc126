# SPDX-License-Identifier: MIT
"""Line echo on Python's own socketserver; the second argument is its policy."""

import socketserver
import sys

from python_common import announce, listening_socket

MIXINS = {
    "sync": (),
    "threading": (socketserver.ThreadingMixIn,),
    "forking": (socketserver.ForkingMixIn,),
}


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


class Server(*MIXINS[sys.argv[2]], socketserver.TCPServer):
    daemon_threads = True
    max_children = 1_000_000  # the usual 40 would leave the other connections without an answer

    def get_request(self):
        connection, address = self.socket.accept()
        return connection, address or "unix"


server = Server(None, Echo, bind_and_activate=False)
server.socket.close()
server.socket = listening_socket()
announce(server.socket)
server.serve_forever()
