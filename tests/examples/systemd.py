# SPDX-License-Identifier: MIT
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from example import PROGRAM, Example, expect

with tempfile.TemporaryDirectory() as folder:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(20)
    manager.bind(f"{folder}/notify")
    os.environ["NOTIFY_SOCKET"] = f"{folder}/notify"
    os.environ["WATCHDOG_USEC"] = "200000"

    # Without a socket of the manager's; the watchdog is fed by the serve loop.
    with Example(0) as example:
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"WATCHDOG=1\nSTATUS=0 clients"
        with example.connect() as client:
            expect(client, b"hello\n", b"hello\n")
            while manager.recv(100) != b"WATCHDOG=1\nSTATUS=1 clients":
                pass
    rest = [manager.recv(100)]
    while rest[-1] != b"STOPPING=1":
        rest.append(manager.recv(100))
    del os.environ["WATCHDOG_USEC"]

    # With one, as descriptor 3, and LISTEN_PID as it is after fork and exec.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def passed():
        os.dup2(listener.fileno(), 3)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="echo")
        os.execv(PROGRAM[0], PROGRAM)

    if len(PROGRAM) == 1:
        child = os.fork()
        if child == 0:
            passed()
        client = socket.create_connection(listener.getsockname(), timeout=10)
        expect(client, b"through the manager's socket\n", b"through the manager's socket\n")
        assert manager.recv(100) == b"READY=1"
        client.close()
        os.kill(child, signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert os.waitpid(child, 0)[1] == 0
        late = socket.create_connection(listener.getsockname(), timeout=10)  # for the next start

    if shutil.which("systemd-analyze"):
        units = pathlib.Path(sys.argv[2])
        for unit in "echo.socket", "echo.service":
            text = (units / unit).read_text().replace("/usr/local/bin/echo-service", PROGRAM[-1])
            pathlib.Path(folder, unit).write_text(text)
        checked = subprocess.run(["systemd-analyze", "verify", "--man=no", f"{folder}/echo.service"],
                                 capture_output=True, text=True, timeout=20)
        assert checked.returncode == 0 and "echo." not in checked.stderr, checked
