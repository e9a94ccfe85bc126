# SPDX-License-Identifier: MIT
"""Line echo on asyncio with a Protocol, its fastest form; with "uvloop" as second argument on
that loop; with a file that has a certificate and its key, over TLS."""

import asyncio
import ssl
import sys

from python_common import announce, listening_socket


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.held = b""

    def data_received(self, data):
        complete = data.rfind(b"\n") + 1
        if complete == len(data) and not self.held:
            self.transport.write(data)
        elif complete:
            self.transport.write(self.held + data[:complete])
            self.held = data[complete:]
        else:
            self.held += data


def context():
    if len(sys.argv) < 3 or sys.argv[2] == "uvloop":
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(sys.argv[2])
    return made


async def main():
    listener = listening_socket()
    if listener.family.name == "AF_UNIX":
        server = await asyncio.get_running_loop().create_unix_server(Echo, sock=listener)
    else:
        server = await asyncio.get_running_loop().create_server(Echo, sock=listener, ssl=context())
    announce(listener)
    await server.serve_forever()


if sys.argv[2:] == ["uvloop"]:
    import uvloop

    uvloop.install()
asyncio.run(main())
