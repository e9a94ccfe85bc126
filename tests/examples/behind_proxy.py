# SPDX-License-Identifier: MIT
"""Under every policy: headers by hand, then those of HAProxy and nginx, where they are installed."""

import contextlib
import csv
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from certificate import make_certificate
from example import Example, ask, expect, libc, PR_SET_PDEATHSIG

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
haproxy, nginx = shutil.which("haproxy", path=PATH), shutil.which("nginx", path=PATH)
nginx_stream = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(command, port):
    """A proxy in the foreground, from when it listens on `port` until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    try:
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=10).close()
                break
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def line_through(port, wrap=lambda client: client):
    """What the server says of a client that comes through the proxy, and where the client is."""
    with wrap(socket.create_connection(("127.0.0.1", port), timeout=10)) as client:
        client.sendall(b"hello\n")
        host, own_port = client.getsockname()
        return client.makefile().readline(), f"{host}:{own_port}"


def by_hand(example):
    with example.connect() as client:
        expect(client, b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nhello\n",
               b"192.0.2.7:56324 by 127.0.0.1: hello\n")
    with example.connect() as client:
        assert ask(client, b"hello\n") == b""


def check_status(folder, proxy):
    with socket.socket(socket.AF_UNIX) as stats:
        stats.settimeout(10)
        stats.connect(f"{folder}/stats")
        rows = csv.DictReader(ask(stats, b"show stat\n").decode().splitlines())
        return next(row["check_status"] for row in rows if row["# pxname"] == proxy and row["svname"] == "one")


def through_haproxy(example, folder):
    ports = {name: free_port() for name in ("v1", "v2", "tls", "checked")}
    server = "%s:%d" % example.address
    make_certificate(folder)
    pem = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(pem)
    (folder / "haproxy.cfg").write_text(f"""
global
    log stderr local0 emerg
    stats socket {folder}/stats
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen v1
    bind 127.0.0.1:{ports["v1"]}
    server one {server} send-proxy
listen v2
    bind 127.0.0.1:{ports["v2"]}
    unique-id-format id-%pid
    server one {server} send-proxy-v2 proxy-v2-options unique-id
listen tls
    bind 127.0.0.1:{ports["tls"]} ssl crt {folder}/both.pem
    server one {server} send-proxy-v2-ssl-cn proxy-v2-options ssl,authority
listen checked
    bind 127.0.0.1:{ports["checked"]}
    option tcp-check
    tcp-check send check\\n
    tcp-check expect string "a check: check"
    server one {server} check inter 200ms rise 1 fall 1 check-send-proxy send-proxy-v2
""")
    with running([haproxy, "-db", "-f", f"{folder}/haproxy.cfg"], ports["v1"]):
        said, own = line_through(ports["v1"])
        assert said == f"{own} by 127.0.0.1: hello\n", (said, own)
        said, own = line_through(ports["v2"])
        assert said.startswith(f"{own} by 127.0.0.1, id id-"), (said, own)
        context = ssl.create_default_context(cafile=folder / "cert.pem")
        said, own = line_through(
            ports["tls"], lambda client: context.wrap_socket(client, server_hostname="localhost"))
        assert said.startswith(f"{own} by 127.0.0.1") and "for localhost, TLSv1" in said, (said, own)
        # Served only if the check, which comes as LOCAL, has its answer.
        while check_status(folder, "checked") != "L7OK":
            time.sleep(0.01)
        said, own = line_through(ports["checked"])
        assert said == f"{own} by 127.0.0.1: hello\n", (said, own)


def through_nginx(example, folder):
    port = free_port()
    (folder / "nginx.conf").write_text(f"""
load_module {nginx_stream};
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr emerg;
events {{}}
stream {{
    server {{ listen 127.0.0.1:{port}; proxy_protocol on; proxy_pass {"%s:%d" % example.address}; }}
}}
""")
    with running([nginx, "-p", folder, "-c", f"{folder}/nginx.conf"], port):
        said, own = line_through(port)
        assert said == f"{own} by 127.0.0.1: hello\n", (said, own)


for policy in sys.argv[2:]:
    with tempfile.TemporaryDirectory() as name, Example(policy, 0) as example:
        by_hand(example)
        if haproxy:
            through_haproxy(example, pathlib.Path(name))
        if nginx and nginx_stream.exists():
            through_nginx(example, pathlib.Path(name))
    assert example.output == "1 closed without a header\n", example.output
for name, there in (("haproxy", haproxy), ("nginx with its stream module", nginx and nginx_stream.exists())):
    if not there:
        print(f"skipped: {name} is not installed")
