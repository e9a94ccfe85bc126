# SPDX-License-Identifier: MIT
"""The log collector under the policy of the last argument, with logger(1) and Python's logging."""

import logging
import logging.handlers
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from example import Example

signal.alarm(110)  # several programs, one after the other
POLICY = sys.argv[2]


class Collected:
    """The lines of the file, which come when the server has had the time for it."""

    def __init__(self, path):
        self.path, self.seen = path, 0

    def expect(self, *wanted):
        """That the next lines end so, in any order."""
        deadline = time.monotonic() + 10
        while True:
            lines = self.path.read_text().splitlines()[self.seen:]
            if len(lines) >= len(wanted):
                break
            assert time.monotonic() < deadline, (lines, wanted)
            time.sleep(0.005)
        self.seen += len(lines)
        assert len(lines) == len(wanted), (lines, wanted)
        for text in wanted:
            assert any(line.endswith(text) for line in lines), (lines, text)


RFC5424 = (b'<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 77 ID47 '
           b'[exampleSDID@32473 iut="3" eventSource="A \\" ] B"][other@1 a="b"] \xef\xbb\xbfAn event')
AS_LINE = ('2003-10-11T22:14:15.003Z mymachine.example.com local4.notice evntslog[77]: '
           '[exampleSDID@32473 iut="3" eventSource="A \\" ] B"][other@1 a="b"] An event')


def check_messages(example, collected):
    with example.connect(socket.SOCK_DGRAM) as client:
        for message, line in (
                (RFC5424, AS_LINE),
                (b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
                 "Oct 11 22:14:15 mymachine auth.crit su: 'su root' failed"),
                (b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
                 "Feb  5 17:32:18 10.0.0.99 user.notice -: Use the BFG!"),
                (b"<30>Feb  5 17:32:18 cron[12]: run\n\0", "Feb  5 17:32:18 127.0.0.1 daemon.info cron[12]: run"),
                (b"<0>1 - - - - - -", None),  # says nothing
                (b"<0>1 - - - - - - text", "- 127.0.0.1 kern.emerg -: text"),
                (b"no priority", "- 127.0.0.1 user.notice -: no priority"),
                (b"<192>too high", "- 127.0.0.1 user.notice -: <192>too high"),
                (b"<1x>text", "- 127.0.0.1 user.notice -: <1x>text"),
                (b"<14>1 unfinished", None),
                (b"<14>two\nlines\x1b[0m", "- 127.0.0.1 user.info -: two#012lines#033[0m")):
            client.send(message)
            if line:
                collected.expect(line)
    # Both framings of TCP, on one connection, in pieces.
    with example.connect() as client:
        data = (b"%d %s" % (len(RFC5424), RFC5424) + b"<14>a line\n" + b"10 <14>a\nline" + b"<14>the last one")
        for i in range(0, len(data), 5):
            client.sendall(data[i:i + 5])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    collected.expect(AS_LINE, "user.info -: a line", "user.info -: a#012line", "user.info -: the last one")
    for wrong in b"99999999 x", b"100000 x", b"12x ", b"10 short":  # such a connection ends, without a message
        with example.connect() as client:
            client.sendall(wrong)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    with example.connect(socket.SOCK_DGRAM) as client:
        client.send(b"<14>still there")
    collected.expect("still there")


def check_clients(example, collected, path):
    host, port = example.address
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        handler = logging.handlers.SysLogHandler((host, port), facility="local3", socktype=kind)
        handler.append_nul = kind == socket.SOCK_DGRAM
        handler.ident = "app[7]: "
        if kind == socket.SOCK_STREAM:
            handler.setFormatter(logging.Formatter("%(message)s\n"))
        log = logging.getLogger(str(kind))
        log.addHandler(handler)
        log.error("from %s", "Python")
        handler.close()
        collected.expect("local3.err app[7]: from Python")
    handler = logging.handlers.SysLogHandler(str(path))
    log = logging.getLogger("unix")
    log.addHandler(handler)
    log.warning("by the socket")
    handler.close()
    collected.expect("user.warning -: by the socket")
    if not shutil.which("logger"):
        print("passed over: logger is not installed")
        return
    for options in (["--udp", "--rfc3164"], ["--udp", "--rfc5424"], ["--tcp", "--rfc3164"], ["--tcp", "--rfc5424"],
                    ["--tcp", "--rfc5424", "--octet-count"]):
        subprocess.run(["logger", "-n", host, "-P", str(port), "-p", "mail.info", "-t", "tag", *options, "hello"],
                       timeout=20, check=True)
        collected.expect("hello")
    subprocess.run(["logger", "-u", str(path), "-p", "cron.debug", "-t", "tag", "local"], timeout=20, check=True)
    collected.expect("cron.debug tag: local")


def check_rotation(folder):
    """Nothing is lost, and no file is too large, while several clients send."""
    path = pathlib.Path(folder) / "rotated"
    with Example(0, "--policy", POLICY, "--file", path, "--rotate-at", 5000, "--keep", 50, "--drain", 5,
                 addresses=2) as example:
        def send(who):
            with example.connect() as client:
                for i in range(500):
                    client.sendall(b"<14>message %d of %d\n" % (i, who))
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""

        senders = [threading.Thread(target=send, args=(who,)) for who in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    files = sorted(pathlib.Path(folder).glob("rotated*"))
    assert len(files) > 10 and all(file.stat().st_size <= 5000 for file in files), files
    lines = [line for file in files for line in file.read_text().splitlines()]
    for who in range(4):
        own = {line.split(": ")[1] for line in lines if line.endswith(f" of {who}")}
        assert own == {f"message {i} of {who}" for i in range(500)}
    assert len(lines) == 2000

    path = pathlib.Path(folder) / "few"
    with Example(0, "--policy", POLICY, "--file", path, "--rotate-at", 100, "--keep", 2, addresses=2) as example:
        with example.connect() as client:
            client.sendall(b"".join(b"<14>%d %s\n" % (i, b"x" * 60) for i in range(9)))
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    assert [file.name for file in sorted(pathlib.Path(folder).glob("few*"))] == ["few", "few.1", "few.2"]
    assert " 8 xxx" in path.read_text() and " 6 xxx" in (pathlib.Path(folder) / "few.2").read_text()


def check_tls(folder):
    """RFC 5425: counted messages over TLS."""
    from certificate import make_certificate  # ends the test where openssl is missing: so last
    cert, key = make_certificate(folder)
    path = pathlib.Path(folder) / "secret"
    with Example(0, "--policy", POLICY, "--file", path, "--certfile", cert, "--keyfile", key, addresses=2) as example:
        context = ssl.create_default_context(cafile=cert)
        with context.wrap_socket(example.connect(), server_hostname="localhost") as client:
            client.sendall(b"%d %s" % (len(RFC5424), RFC5424))
            client.unwrap()
    Collected(path).expect(AS_LINE)


with tempfile.TemporaryDirectory() as work:
    file, local = pathlib.Path(work) / "log", pathlib.Path(work) / "socket"
    with Example(0, "--policy", POLICY, "--file", file, "--unix", local, "--drain", 1, addresses=2) as server:
        lines = Collected(file)
        check_messages(server, lines)
        check_clients(server, lines, local)
    assert not os.path.exists(local)
    check_rotation(work)
    check_tls(work)
