# SPDX-License-Identifier: MIT
"""The programs of examples/apps beside servers of the same kind, under clients that people use.

The figure is requests per second of the server's CPU time, as in the other scenarios.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import processes
from .processes import BenchError

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 1024; use epoll; }}
http {{
  include /etc/nginx/mime.types;
  sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  access_log {log}; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


HTTP_PEERS = {"nginx": "nginx", "go": "Go's net/http", "beast": "Boost.Beast", "httplib": "cpp-httplib",
              "python": "Python's http.server"}

# http.server speaks HTTP/1.0 if it is not told otherwise, and makes a connection for each request then.
PYTHON_HTTP = """
import functools, http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
handler = functools.partial(Handler, directory=sys.argv[2])
sys.stderr = open(sys.argv[3], "a")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
"""

# As cheap as HAProxy passes bytes on: no log, no counters of its own kept by clients, a long time to wait.
HAPROXY = """
global
  nbthread 1
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{backend}
"""


def tool(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def program(build, name):
    path = build / "examples" / "apps" / "bin" / name
    return str(path) if os.access(path, os.X_OK) else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server on `port` of 127.0.0.1, in the foreground; a context manager."""

    def __init__(self, argv, port, cores):
        self.port = port
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
            preexec_fn=lambda: os.sched_setaffinity(0, cores.server))

    def __enter__(self):
        deadline = time.monotonic() + processes.START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    self._errors.seek(0)
                    raise BenchError(self._errors.read().decode(errors="replace")) from None
                time.sleep(0.01)

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(processes.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_ns(self):
        """Of all threads, by the process's clock: CPUCLOCK_SCHED of its id."""
        return time.clock_gettime_ns(~self._process.pid << 3 | 2)


def run(argv, cores):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False,
                              stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: os.sched_setaffinity(0, cores.client))
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(argv)}: not done after 120 s") from None
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def figures(server, requests_of, seconds=None):
    """What a run of a client costs the server: requests_of() is the number of requests."""
    before, began = server.cpu_ns(), time.monotonic()
    requests = requests_of()
    return {"requests": requests, "server_cpu_ns": server.cpu_ns() - before,
            "seconds": seconds or time.monotonic() - began}


class Http:
    """wrk over keep-alive connections, against the file server and another one; both write a log."""

    def __init__(self, build, size, peer="nginx"):
        self.size = size
        self.peer = peer
        self.label, self.target = f"fiber, {peer}", 0.9 if peer == "nginx" else 1.0
        self.missing = [] if tool("wrk") else ["wrk"]
        if peer == "nginx":
            self.command = tool("nginx")
        elif peer == "python":
            self.command = tool("python3")
        else:
            path = build / "bench" / f"peer_http_{peer}"
            self.command = str(path) if os.access(path, os.X_OK) else None
        if not self.command:
            self.missing.append(peer)
        self.ours = program(build, "http")
        if not self.ours:
            self.missing.append("http")
        self.folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.path = pathlib.Path(self.folder.name)
        (self.path / "www").mkdir()
        (self.path / "www" / "file.txt").write_bytes(b"0123456789abcdef" * (size // 16))
        os.chmod(self.path, 0o755)

    def measure(self, is_ours, seconds, cores):
        port = free_port()
        log = str(self.path / "log")
        if is_ours:
            argv = [self.ours, str(port), "--host", "127.0.0.1", "--directory",
                    str(self.path / "www"), "--policy", "fiber", "--workers", "1", "--log", log]
        elif self.peer == "nginx":
            config = self.path / "nginx.conf"
            config.write_text(NGINX.format(folder=self.path, port=port, log=log))
            argv = [self.command, "-p", str(self.path), "-c", str(config)]
        elif self.peer == "python":
            argv = [self.command, "-c", PYTHON_HTTP, str(port), str(self.path / "www"), log]
        else:
            argv = [self.command, str(port), str(self.path / "www"), log]
        with Server(argv, port, cores) as server:
            return figures(server, lambda: self._wrk(port, seconds, cores), seconds)

    def _wrk(self, port, seconds, cores):
        url = f"http://127.0.0.1:{port}/file.txt"
        text = run([tool("wrk"), "-t1", "-c64", f"-d{max(1, round(seconds))}s", url], cores)
        if "Non-2xx" in text or "Socket errors" in text:
            raise BenchError(text)
        return int(re.search(r"(\d+) requests in", text).group(1))


class Store:
    """redis-benchmark, half SET and half GET, against the store and redis-server."""

    label, target = "fiber, redis-server", 1.0

    def __init__(self, build, pipeline, with_journal=False):
        self.pipeline = pipeline
        self.with_journal = with_journal
        self.missing = [name for name in ("redis-benchmark", "redis-server") if not tool(name)]
        self.ours = program(build, "store")
        if not self.ours:
            self.missing.append("store")

    def measure(self, is_ours, seconds, cores):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            return self._measure(is_ours, seconds, cores, folder)

    def _measure(self, is_ours, seconds, cores, folder):
        port = free_port()
        if is_ours:
            argv = [self.ours, str(port), "--host", "127.0.0.1", "--policy", "fiber", "--workers", "1",
                    *(["--journal", folder + "/journal"] if self.with_journal else [])]
        else:
            argv = [tool("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                    "--dir", folder, "--appendonly", "yes" if self.with_journal else "no",
                    "--appendfsync", "no"]
        with Server(argv, port, cores) as server:
            count = 20_000 * self.pipeline
            self._clients(port, count, cores)  # the keys are there, and the speed is known
            began = time.monotonic()
            self._clients(port, count, cores)
            count = max(1, round(seconds / (time.monotonic() - began))) * count
            return figures(server, lambda: self._clients(port, count, cores))

    def _clients(self, port, count, cores):
        text = run([tool("redis-benchmark"), "-p", str(port), "-t", "set,get", "-n", str(count // 2),
                    "-c", "50", "-P", str(self.pipeline), "-r", "100000", "-d", "64", "--csv"], cores)
        if text.count("\n") != 3 or "rror" in text:
            raise BenchError(text)
        return count


class Proxy:
    """redis-benchmark through the balancer and through HAProxy, to a redis-server on the client's core."""

    label, target = "fiber, HAProxy", 0.9

    def __init__(self, build, size):
        self.size = size
        self.missing = [name for name in ("redis-benchmark", "redis-server", "haproxy") if not tool(name)]
        self.ours = program(build, "balancer")
        if not self.ours:
            self.missing.append("balancer")

    def measure(self, is_ours, seconds, cores):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            backend = free_port()
            argv = [tool("redis-server"), "--port", str(backend), "--bind", "127.0.0.1", "--save", "",
                    "--dir", folder]
            with Server(argv, backend, cores):
                return self._measure(is_ours, seconds, cores, pathlib.Path(folder), backend)

    def _measure(self, is_ours, seconds, cores, folder, backend):
        port = free_port()
        if is_ours:
            argv = [self.ours, str(port), "--host", "127.0.0.1", "--policy", "fiber", "--workers", "1",
                    "--to", f"127.0.0.1:{backend}"]
        else:
            config = folder / "haproxy.cfg"
            config.write_text(HAPROXY.format(port=port, backend=backend))
            argv = [tool("haproxy"), "-db", "-q", "-f", str(config)]
        with Server(argv, port, cores) as server:
            count = 5000
            self._clients(backend, "set", 1, cores)  # the value is there
            began = time.monotonic()
            self._clients(port, "get", count, cores)
            count = max(1, round(seconds / (time.monotonic() - began))) * count
            return figures(server, lambda: self._clients(port, "get", count, cores))

    def _clients(self, port, command, count, cores):
        text = run([tool("redis-benchmark"), "-p", str(port), "-t", command, "-n", str(count), "-c", "50",
                    "-d", str(self.size), "--csv"], cores)
        if text.count("\n") != 2 or "rror" in text:
            raise BenchError(text)
        return count


LOADS = {
    **{f"http-{name}{'' if peer == 'nginx' else '-' + peer}":
       lambda build, size=size, peer=peer: Http(build, size, peer)
       for peer in HTTP_PEERS for name, size in (("1k", 1024), ("100k", 102400))},
    "proxy": lambda build: Proxy(build, 64),
    "proxy-64k": lambda build: Proxy(build, 65536),
    "store": lambda build: Store(build, 1),
    "store-pipelined": lambda build: Store(build, 16),
    "store-journal": lambda build: Store(build, 1, with_journal=True),
    "store-journal-pipelined": lambda build: Store(build, 16, with_journal=True),
}
