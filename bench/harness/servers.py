# SPDX-License-Identifier: MIT
"""The servers there are to measure, and how each is started."""

import atexit
import dataclasses
import functools
import os
import pathlib
import subprocess
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class ServerKind:
    """`argv` has "{}" where the address goes, and "{pem}" where the file with a certificate and its
    key does; its first word is an executable of the build, or "python:MODULE" for an interpreter
    that has that module."""

    name: str
    argv: tuple

    def command(self, build, address):
        """The words to start it with, or None if it is not built."""
        program = self.argv[0]
        rest = [word.replace("{}", address) for word in self.argv[1:]]
        if "{pem}" in rest:
            pem = certificate()
            if pem is None:
                return None
            rest = [word.replace("{pem}", pem) for word in rest]
        if program.startswith("python:"):
            interpreter = python_with(program.split(":")[1])
            if interpreter is None:
                return None
            return [interpreter, str(BENCH / "peers" / rest[0]), *rest[1:]]
        path = build / "bench" / program
        if not path.exists():
            path = build / program  # bench configured on its own
        return [str(path), *rest] if os.access(path, os.X_OK) else None


@functools.cache
def certificate():
    """A file with a certificate for this run and its key; None without the openssl command."""
    folder = tempfile.TemporaryDirectory(prefix="bench-")
    atexit.register(folder.cleanup)
    path = pathlib.Path(folder.name)
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                        "-keyout", path / "key", "-out", path / "certificate"],
                       capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    (path / "pem").write_text((path / "certificate").read_text() + (path / "key").read_text())
    return str(path / "pem")


@functools.cache
def python_with(module):
    for interpreter in (sys.executable, "/usr/bin/python3"):
        try:
            if subprocess.run([interpreter, "-c", f"import {module}"], capture_output=True,
                              timeout=20, check=False).returncode == 0:
                return interpreter
        except (OSError, subprocess.TimeoutExpired):
            pass
    return None


def kind(name, *argv):
    return ServerKind(name, argv)


RAW_SYNC = kind("raw sync", "raw_sync", "{}")
RAW_THREAD = kind("raw thread", "raw_thread", "{}")
RAW_FORK = kind("raw fork", "raw_fork", "{}")
RAW_EPOLL = kind("raw epoll", "raw_epoll", "{}")
RAW_EPOLL_2 = kind("raw epoll, 2 threads", "raw_epoll", "{}", "2")
RAW_UDP = kind("raw udp", "raw_udp", "{}")

SYNC = kind("sync", "socketserver_echo", "sync", "{}")
THREADING = kind("threading", "socketserver_echo", "threading", "{}")
FORKING = kind("forking", "socketserver_echo", "forking", "{}")
UDP = kind("udp", "socketserver_echo", "udp", "{}")
UDP_TOGETHER = kind("udp, replies together", "socketserver_echo", "udp", "{}", "--reply-delay", "100")
# Handlers that compute for some microseconds.
UDP_WORKER = kind("udp, 1 worker", "socketserver_echo", "udp-workers", "{}", "--work", "20")
UDP_WORKERS_2 = kind("udp, 2 workers", "socketserver_echo", "udp-workers", "{}", "--work", "20",
                     "--workers", "2")
UDP_SHARED_2 = kind("udp, 2 workers, one socket", "socketserver_echo", "udp-shared", "{}", "--work",
                    "20", "--workers", "2")
SYNC_CORKED = kind("sync, wbufsize", "socketserver_echo", "sync", "{}", "--wbufsize", "65536")
POOL = kind("pool", "socketserver_echo", "pool", "{}")
PREFORK = kind("prefork", "socketserver_echo", "prefork", "{}")

FIBER = kind("fiber", "socketserver_fiber_echo", "fiber", "{}")
FIBER_CORKED = kind("fiber, wbufsize", "socketserver_fiber_echo", "fiber", "{}",
                    "--wbufsize", "65536")


def prefork_fibers(processes):
    return kind(f"fiber, {processes} processes", "socketserver_fiber_echo", "prefork", "{}",
                "--workers", str(processes))


FIBER_2 = kind("fiber, 2 workers", "socketserver_fiber_echo", "fiber", "{}", "--workers", "2")
FIBER_TIMEOUT = kind("fiber, idle timeout", "socketserver_fiber_echo", "fiber", "{}",
                     "--timeout", "60")
COMPUTING = ("socketserver_fiber_echo", "fiber", "{}", "--work", "200")
FIBER_CPU = kind("fiber, computing", *COMPUTING)
FIBER_CPU_2 = kind("fiber, computing, 2 workers", *COMPUTING, "--workers", "2")

RAW_TLS = kind("raw TLS", "raw_tls", "{}", "{pem}")
TLS_FIBER = kind("TLS fiber", "socketserver_tls_echo", "fiber", "{}", "--pem", "{pem}")
TLS_THREADING = kind("TLS threading", "socketserver_tls_echo", "threading", "{}", "--pem", "{pem}")
TLS_PEERS = (
    kind("asio ssl::stream", "peer_asio_tls", "{}", "{pem}"),
    kind("libevent, OpenSSL", "peer_libevent_tls", "{}", "{pem}"),
    kind("go crypto/tls", "peer_go", "{}", "{pem}"),
    kind("asyncio ssl", "python:ssl", "asyncio_echo.py", "{}", "{pem}"),
)

PEERS = (
    kind("libuv", "peer_libuv", "{}"),
    kind("asio callbacks", "peer_asio_callback", "{}"),
    kind("asio stackful", "peer_asio_stackful", "{}"),
    kind("boost.fiber", "peer_boost_fiber", "{}"),
    kind("libevent", "peer_libevent", "{}"),
    kind("go", "peer_go", "{}"),
    kind("gevent", "python:gevent", "gevent_echo.py", "{}"),
    kind("asyncio", "python:asyncio", "asyncio_echo.py", "{}"),
    kind("uvloop", "python:uvloop", "asyncio_echo.py", "{}", "uvloop"),
)
UDP_PEERS = (
    kind("libuv", "peer_libuv_udp", "{}"),
    kind("libuv, recvmmsg", "peer_libuv_udp", "{}", "recvmmsg"),
    kind("asio callbacks", "peer_asio_udp", "{}"),
    kind("go", "peer_go_udp", "{}"),
)
# A thread or a process for each connection: not for thousands of them.
PEERS_FOR_FEW = (
    kind("python threading", "python:socketserver", "socketserver_echo.py", "{}", "threading"),
    kind("python forking", "python:socketserver", "socketserver_echo.py", "{}", "forking"),
)
