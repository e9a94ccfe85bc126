# SPDX-License-Identifier: MIT
"""Runs an example program for the test of it: python3 -B <test>.py <program>.

Every wait is bounded: by an alarm here, by the end of this process in the program (it gets SIGKILL then).
"""

import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

signal.alarm(50)  # its default action ends this process

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)
# The program, in an emulator if it is for another machine.
PROGRAM = [*os.environ.get("SOCKETSERVER_TEST_EMULATOR", "").split(), sys.argv[1]]


class Example:
    """The program, serving; `with` ends it by a signal and wants the exit status 0 and nothing on stderr."""

    def __init__(self, *arguments, addresses=1, stop=signal.SIGTERM, status=0, setup=lambda: None):
        self.stop, self.status, self.errors, self.is_told = stop, status, "", False

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            setup()

        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)], text=True, preexec_fn=prepare,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addresses = [self._read_address() for _ in range(addresses)]

    def _read_address(self):
        line = self.process.stderr.readline()
        words = line.split()
        assert words[:2] == ["serving", "on"], f"no address, but: {line}{self.process.stderr.read()}"
        text = words[2]
        if text.startswith("@"):
            return "\0" + text[1:]
        if text.startswith("/"):
            return text
        host, _, port = text.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def address(self):
        return self.addresses[0]

    def connect(self, kind=socket.SOCK_STREAM, source=None):
        """A connected client of the (first) address."""
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        client = socket.socket(family, kind)
        client.settimeout(10)
        if source is not None or (family == socket.AF_UNIX and kind == socket.SOCK_DGRAM):
            client.bind(source or "")  # "" for a Unix client: a name that the kernel chooses
        client.connect(self.address)
        return client

    def _wait_until_asleep(self):
        """Until all threads sleep in the kernel.

        ThreadSanitizer keeps a signal that comes between two system calls until the next one, but in the state of
        the fiber that ran: with the fiber asleep it is kept for ever.
        """
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        for _ in range(10_000):
            if all(map(sleeps, tasks.glob("*/stat"))):
                return
            time.sleep(0.001)

    def send_stop(self):
        """The signal that ends the program; then `with` sends none."""
        self.is_told = True
        if "TSAN_OPTIONS" in os.environ:
            self._wait_until_asleep()
        self.process.send_signal(self.stop)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.process.kill()
            try:
                sys.stderr.write("".join(self.process.communicate(timeout=5)))
            except subprocess.TimeoutExpired:
                sys.stderr.write("a child of the program holds its standard error open\n")
            return
        if not self.is_told:  # a second signal would break off what is left
            self.send_stop()
        self.output, self.errors = self.process.communicate(timeout=20)
        assert self.process.returncode == self.status, (self.process.returncode, self.errors)


def sleeps(stat):
    """Whether the thread of this file in /proc waits in the kernel, or has ended."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] in "SZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


def ask(client, data, size=65536):
    """What comes back for `data` until the server ends the connection or `size` bytes are there."""
    if data:
        client.sendall(data)
    reply = b""
    while len(reply) < size and (part := client.recv(size - len(reply))):
        reply += part
    return reply


def expect(client, data, expected):
    """That exactly `expected` comes back for `data`."""
    reply = ask(client, data, len(expected))
    assert reply == expected, (data, reply, expected)
