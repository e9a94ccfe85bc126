# SPDX-License-Identifier: MIT
"""Sends three records with a handler of Python's logging: log_client.py HANDLER HOST PORT"""
import logging
import logging.handlers
import sys

kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
handler = {
    "socket": lambda: logging.handlers.SocketHandler(host, port),
    "datagram": lambda: logging.handlers.DatagramHandler(host, port),
    "syslog": lambda: logging.handlers.SysLogHandler((host, port)),
}[kind]()
logger = logging.getLogger("interop")
logger.addHandler(handler)
logger.setLevel(logging.DEBUG)
logger.debug("first message")
logger.warning("second message")
logger.error("third message")
handler.close()
print("ok")
