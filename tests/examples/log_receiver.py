# SPDX-License-Identifier: MIT
"""What Python's own logging handlers send."""

import logging
import logging.handlers
import os
import socket
import struct

from example import Example

logging.raiseExceptions = True
log = logging.getLogger("app.module")
log.setLevel(logging.DEBUG)
log.propagate = False

with Example(0, 0, addresses=2) as example:
    tcp, udp = example.addresses
    output = example.process.stdout
    lines = []
    for make in (lambda: logging.handlers.SocketHandler(*tcp), lambda: logging.handlers.DatagramHandler(*udp)):
        log.handlers = [make()]
        log.warning("disk %s is %d %% full", "sda", 93)
        log.error("größer als %s", "gedacht")
        log.handlers[0].close()
        for text in "WARNING app.module: disk sda is 93 % full\n", "ERROR app.module: größer als gedacht\n":
            line = output.readline()
            assert line.endswith(text) and " bytes: " in line, line

    log.handlers = [logging.handlers.SysLogHandler(udp)]
    log.critical("the sky falls")
    line = output.readline()
    assert line == "syslog: <10>the sky falls\n", line  # facility user (1) * 8 + LOG_CRIT (2)
    log.handlers[0].close()

    # A record that would run code if it were unpickled is but a string, and one that lies does no harm.
    evil = b"cos\nsystem\n(X\x0d\0\0\0touch pwned.x\ntR."
    with socket.create_connection(tcp) as client:
        client.sendall(struct.pack(">L", len(evil)) + evil)
        assert output.readline() == f"{len(evil)} bytes: ? ?: ?\n"
        client.sendall(struct.pack(">L", 0xFFFFFFFF))
        client.settimeout(10)
        assert client.recv(1) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(udp)
        for data in b"", b"abc", b"\0\0\0\x05X\xff\xff\xff\xff", b"\0\0\0\x0dX\x03\0\0\0msgX":
            client.send(data)
            size = max(0, len(data) - 4)
            assert output.readline() == f"{size} bytes: ? ?: ?\n"
assert not os.path.exists("pwned.x")
assert "a record of 4294967295 bytes" in example.errors, example.errors
