# SPDX-License-Identifier: MIT
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from example import PROGRAM, Example, expect

with tempfile.TemporaryDirectory() as folder:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(20)
    manager.bind(f"{folder}/notify")
    os.environ["NOTIFY_SOCKET"] = f"{folder}/notify"
    os.environ["WATCHDOG_USEC"] = "200000"

    # Without a socket of the manager's; the watchdog is fed by the serve loop.
    with Example(0) as example:
        text, stored, _, _ = socket.recv_fds(manager, 100, 4)
        assert text == b"FDSTORE=1\nFDNAME=echo" and len(stored) == 1, (text, stored)
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100).startswith(b"WATCHDOG=1\nSTATUS=0 clients")
        with example.connect() as client:
            expect(client, b"hello\n", b"hello\n")
            while b"STATUS=1 clients, 0 served" not in manager.recv(100):
                pass
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        example.process.send_signal(signal.SIGHUP)
        while not (text := manager.recv(100)).startswith(b"RELOADING=1\nMONOTONIC_USEC="):
            assert text.startswith((b"WATCHDOG=1", b"STATUS=")), text
        assert before <= int(text.partition(b"USEC=")[2]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert manager.recv(100) == b"READY=1"
    while b"STOPPING=1" not in (text := manager.recv(200)):
        assert text.startswith((b"WATCHDOG=1", b"STATUS=")), text
    while manager.recv(200) != b"STOPPING=1":  # the last word, after the loop
        pass
    del os.environ["WATCHDOG_USEC"]

    # With one, as descriptor 3, and LISTEN_PID as it is after fork and exec.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def passed(descriptor):
        os.dup2(descriptor, 3)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="echo")
        os.execv(PROGRAM[0], PROGRAM)

    if len(PROGRAM) == 1:
        # The second is what the process before gave the manager to keep.
        kept = socket.socket(fileno=stored[0])
        for each in listener, kept:
            child = os.fork()
            if child == 0:
                passed(each.fileno())
            client = socket.create_connection(each.getsockname(), timeout=10)
            expect(client, b"through the manager's socket\n", b"through the manager's socket\n")
            assert manager.recv(100) == b"READY=1"
            client.close()
            os.kill(child, signal.SIGTERM)
            while manager.recv(200) != b"STOPPING=1":
                pass
            assert os.waitpid(child, 0)[1] == 0
            late = socket.create_connection(each.getsockname(), timeout=10)  # for the next start

        # As systemd does it when a client comes.
        if shutil.which("systemd-socket-activate"):
            with socket.socket() as one:
                one.bind(("127.0.0.1", 0))
                address = one.getsockname()
            activated = subprocess.Popen(
                ["systemd-socket-activate", "--listen=%s:%d" % address, "--fdname=echo",
                 "--setenv=NOTIFY_SOCKET", *PROGRAM], stderr=subprocess.DEVNULL)
            while True:
                try:
                    client = socket.create_connection(address, timeout=10)
                    break
                except ConnectionRefusedError:
                    assert activated.poll() is None
                    time.sleep(0.01)
            expect(client, b"activated\n", b"activated\n")
            assert manager.recv(100) == b"READY=1"
            client.close()
            activated.terminate()
            assert activated.wait(timeout=20) == 0
        else:
            print("skipped: systemd-socket-activate is not installed")

    if shutil.which("systemd-analyze"):
        units = pathlib.Path(sys.argv[2])
        for unit in "echo.socket", "echo.service":
            text = (units / unit).read_text().replace("/usr/local/bin/echo-service", PROGRAM[-1])
            pathlib.Path(folder, unit).write_text(text)
        checked = subprocess.run(["systemd-analyze", "verify", "--man=no", f"{folder}/echo.service"],
                                 capture_output=True, text=True, timeout=20)
        assert checked.returncode == 0 and "echo." not in checked.stderr, checked
