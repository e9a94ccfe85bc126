# SPDX-License-Identifier: MIT
"""Starting and ending servers, and running the load client against them. Nothing waits for ever."""

import json
import os
import resource
import select
import signal
import subprocess
import tempfile
import time

START_SECONDS = 20
STOP_SECONDS = 10


class BenchError(Exception):
    """A server or the client did not do what it has to: no figure may come of this."""


def raise_descriptor_limit(wanted=1_048_576):
    """As high as it goes; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            continue
    return soft


class Cores:
    """Where the server and the client run."""

    def __init__(self, mode):
        available = sorted(os.sched_getaffinity(0))
        last, other = {available[-1]}, {available[-2 if len(available) > 1 else -1]}
        self.mode = mode
        self.server = set(available) if mode == "free" else last
        self.client = {"same": last, "split": other, "free": set(available)}[mode]


def _pin(cores):
    # Between fork and exec, in a process with one thread.
    return lambda: os.sched_setaffinity(0, cores)


class Server:
    """A running server in a session of its own; a context manager that ends it."""

    def __init__(self, argv, cores, unix_path=None):
        self.argv = argv
        self._unix_path = unix_path
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors,
            start_new_session=True, preexec_fn=_pin(cores.server))
        self.pid = self._process.pid

    def __enter__(self):
        try:
            line = self._first_line()
            if line == "ready":
                self.address = self._unix_path
            elif line.startswith("port "):
                self.address = line.split()[1]
            else:
                raise BenchError(f"{self._name()} said {line!r} at start\n{self._stderr()}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, value, traceback):
        ended = self._end()
        if not ended and kind is None:
            raise BenchError(f"{self._name()} did not end within {STOP_SECONDS} s of SIGTERM")

    def _first_line(self):
        line = b""
        deadline = time.monotonic() + START_SECONDS
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise BenchError(f"{self._name()} did not start within {START_SECONDS} s")
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                break
            line += byte
        return line.decode(errors="replace").strip()

    def _exited(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _end(self):
        """True if SIGTERM was enough. Children that are left go with the session: its number is
        ours as long as the server has not been waited for."""
        if not self._exited():
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while not (ended := self._exited()) and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait()
        self._process.stdout.close()
        return ended

    def _name(self):
        return os.path.basename(self.argv[0])

    def _stderr(self):
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]


def run_load(load, workload, server, cores, seconds):
    """One run of the client; its figures."""
    argv = [load, workload.mode, server.address, "--server-pid", str(server.pid),
            "--seconds", str(seconds), *workload.arguments()]
    limit = 60 + 3 * seconds + workload.connections / 200
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit, check=False, preexec_fn=_pin(cores.client))
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(argv)}: not done after {limit:.0f} s") from None
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: status {done.returncode}\n"
                         f"{done.stderr.strip()}\nserver: {' '.join(server.argv)}")
    figures = json.loads(done.stdout)
    if figures["errors"] != 0:
        raise BenchError(f"{' '.join(argv)}: {figures['errors']} errors")
    return figures
