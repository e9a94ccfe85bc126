# SPDX-License-Identifier: MIT
"""The file server under the policy of the last argument, with clients that nobody here wrote. "browser" stands for the
default policy with headless Chromium as its client."""

import email.utils
import gzip
import http.client
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from browser import Browser, have_browser
from example import Example, ask

signal.alarm(110)  # several programs, one after the other
POLICY = sys.argv[2]
WORKERS = ["--workers", 8] if POLICY in ("pool", "prefork") else []
ONE_BY_ONE = "forking", "synchronous"  # one connection at a time, or a slow start of each


def have(name):
    if shutil.which(name):
        return True
    print(f"passed over: {name} is not installed")
    return False


def make_site(folder):
    root = pathlib.Path(folder) / "root"
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "with index").mkdir()
    (root / "small.txt").write_bytes(b"0123456789" * 100)
    (root / "large.bin").write_bytes(random.Random(1).randbytes(3_000_000))
    (root / "empty.txt").write_bytes(b"")
    (root / "page.html").write_bytes(b"<p>plain</p>" * 50)
    (root / "page.html.gz").write_bytes(gzip.compress(b"<p>plain</p>" * 50))
    (root / "with index" / "index.html").write_bytes(b"the index")
    (root / "sub" / 'a <b>&".txt').write_bytes(b"odd name")
    (root / "sub" / "100%.txt").write_bytes(b"percent")
    os.mkfifo(root / "fifo")
    (pathlib.Path(folder) / "secret.txt").write_bytes(b"secret")
    (root / "out").symlink_to("../secret.txt")
    (root / "absolute").symlink_to(pathlib.Path(folder) / "secret.txt")
    (root / "up").symlink_to("..")
    (root / "inside").symlink_to("small.txt")
    return root


class Client:
    def __init__(self, example):
        self.connection = http.client.HTTPConnection(*example.address, timeout=10)

    def __call__(self, path, method="GET", **headers):
        """The response and its body."""
        self.connection.request(
            method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        response = self.connection.getresponse()
        return response, response.read()

    def close(self):
        self.connection.close()


def check_files(example, root):
    get = Client(example)
    small, large = (root / "small.txt").read_bytes(), (root / "large.bin").read_bytes()
    response, body = get("/small.txt")
    assert (response.status, body) == (200, small), response
    assert response.headers["Content-Type"] == "text/plain" and response.headers["Accept-Ranges"] == "bytes"
    assert email.utils.parsedate_to_datetime(response.headers["Date"]).timestamp() > time.time() - 60
    tag, date = response.headers["ETag"], response.headers["Last-Modified"]
    assert email.utils.parsedate_to_datetime(date).timestamp() == int((root / "small.txt").stat().st_mtime)
    # One connection, kept.
    for path, expected in (("/large.bin", large), ("/empty.txt", b""), ("/inside", small),
                           ("/with%20index/", b"the index"), ("/sub/100%25.txt", b"percent"),
                           ("/small.txt?query=1", small), ("/./sub/../small.txt", small),
                           (f"http://{example.address[0]}/small.txt", small)):
        response, body = get(path)
        assert (response.status, body) == (200, expected), (path, response.status, body[:100])
    response, body = get("/large.bin", "HEAD")
    assert response.headers["Content-Length"] == "3000000" and body == b""
    response, body = get("/small.txt", **{"Accept-Encoding": "gzip"})
    assert body == small and response.headers["Content-Encoding"] is None

    # Conditional requests.
    for headers, status in (
            ({"If_None_Match": tag}, 304), ({"If_None_Match": f'"x", W/{tag}'}, 304),
            ({"If_None_Match": "*"}, 304), ({"If_None_Match": '"x"'}, 200),
            ({"If_Modified_Since": date}, 304), ({"If_Modified_Since": "yesterday"}, 200),
            ({"If_Modified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200),
            ({"If_Modified_Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 200),
            ({"If_Modified_Since": "Sun Nov  6 08:49:37 1994"}, 200),
            ({"If_None_Match": '"x"', "If_Modified_Since": date}, 200),
            ({"If_Match": tag}, 200), ({"If_Match": '"x"'}, 412), ({"If_Match": f"W/{tag}"}, 412),
            ({"If_Unmodified_Since": date}, 200),
            ({"If_Unmodified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412)):
        response, body = get("/small.txt", **headers)
        assert response.status == status, (headers, response.status)
        assert status != 304 or (body == b"" and response.headers["ETag"] == tag)

    # Ranges.
    for text, part in (("bytes=0-9", small[:10]), ("bytes=990-", small[990:]), ("bytes=-5", small[-5:]),
                       ("bytes=5-99999", small[5:]), ("bytes=-99999999999999999999", small)):
        response, body = get("/small.txt", Range=text)
        assert (response.status, body) == (206, part), (text, response.status)
        first = len(small) - len(part) if text != "bytes=0-9" else 0
        assert response.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/1000", text
    for text in "bytes=9-5", "bytes=x-", "lines=1-2", "bytes=0-1,3-4", "bytes=":
        assert get("/small.txt", Range=text)[0].status == 200, text
    for text in "bytes=1000-", "bytes=-0", "bytes=99999999999999999999-":
        response, _ = get("/small.txt", Range=text)
        assert (response.status, response.headers["Content-Range"]) == (416, "bytes */1000"), text
    assert get("/small.txt", Range="bytes=0-9", If_Range=tag)[0].status == 206
    assert get("/small.txt", Range="bytes=0-9", If_Range=date)[0].status == 206
    assert get("/small.txt", Range="bytes=0-9", If_Range='"x"')[0].status == 200
    assert get("/large.bin", Range="bytes=100000-2900000")[1] == large[100000:2900001]

    # Folders.
    response, body = get("/sub")
    assert (response.status, response.headers["Location"]) == (301, "/sub/"), response.status
    response, _ = get("//sub?x=1")
    assert response.headers["Location"] == "/sub/?x=1", response.headers["Location"]
    response, body = get("/sub/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'<a href="a%20%3Cb%3E%26%22.txt">a &lt;b&gt;&amp;&quot;.txt</a>' in body, body
    assert b'<a href="deeper/">deeper/</a>' in body
    assert get("/sub/a%20%3Cb%3E%26%22.txt")[1] == b"odd name"

    # What is not there, and what must not be reached.
    for path in ("/nothing", "/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "/out", "/absolute",
                 "/up/secret.txt", "/..%2fsecret.txt", "/small.txt/", "/fifo", "/" + "x" * 300,
                 "/sub/%2e%2e%2f%2e%2e%2fsecret.txt"):
        response, body = get(path)
        assert response.status == 404 and b"secret" not in body, (path, response.status, body)
    for path in "/%zz", "/%0", "/a%00b", "small.txt":
        assert get(path)[0].status == 400, path
    for method, status in ("POST", 405), ("DELETE", 405), ("BREW", 501):
        response, _ = get("/small.txt", method)
        assert response.status == status and (status != 405 or response.headers["Allow"] == "GET, HEAD, OPTIONS")
    get.close()


def answers(example, request):
    """The statuses of all answers to what is sent at once, until the server ends the connection."""
    with example.connect() as client:
        client.sendall(request)
        try:
            client.shutdown(socket.SHUT_WR)
            reply = ask(client, b"", 10_000_000)
        except ConnectionError:
            reply = b""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", reply)]


def check_protocol(example):
    head = b"GET /empty.txt HTTP/1.1\r\nHost: x\r\n"
    last = head + b"Connection: close\r\n\r\n"
    for request, expected in (
            # Pipelining, and bodies between requests.
            ((head + b"\r\n") * 50 + last, [200] * 51),
            (head + b"Content-Length: 5\r\n\r\nhello" + last, [200, 200]),
            (head + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n10\r\n" + b"x" * 16 +
             b"\r\n0\r\nTrailer: x\r\n\r\n" + last, [200, 200]),
            (head + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx" + last, [100, 200, 200]),
            (b"\r\n\r\n" + last, [200]),
            (b"GET /empty.txt HTTP/1.0\r\n\r\n" + last, [200]),
            (b"GET /empty.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + last, [200, 200]),
            # Requests of which two servers could disagree where they end, or whose they are.
            (head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + last, [400]),
            (head + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + last, [400]),
            (head + b"Content-Length: 5, 5\r\n\r\nhello" + last, [400]),
            (head + b"Content-Length: +5\r\n\r\nhello" + last, [400]),
            (head + b"Content-Length: -1\r\n\r\n" + last, [400]),
            (head + b"Content-Length: 0x5\r\n\r\nhello" + last, [400]),
            (head + b"Content-Length: 99999999999999999999\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: identity\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n" + last, [400]),
            (head + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + last, [400]),
            (b"GET /empty.txt HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + last, [400]),
            (head + b"X: a\r\n b\r\n\r\n" + last, [400]),
            (head + b"Host: y\r\n\r\n" + last, [400]),
            (b"GET /empty.txt HTTP/1.1\r\n\r\n" + last, [400]),
            (b"GET  /empty.txt HTTP/1.1\r\nHost: x\r\n\r\n" + last, [400]),
            (b"GET /empty.txt HTTP/2.0\r\nHost: x\r\n\r\n" + last, [505]),
            (b"GET /empty.txt\r\n\r\n" + last, [400]),
            (b"GET /empty.txt HTTP/1.1\nHost: x\n\n" + last, [400]),
            (b"\x16\x03\x01\x02\x00\r\n\r\n", [400]),
            # Floods.
            (head + b"".join(b"X-%d: x\r\n" % i for i in range(2000)) + b"\r\n" + last, [431]),
            (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + last, [414]),
            (head + b"Content-Length: 10000000\r\n\r\n" + last, [413]),
            (head + b"Transfer-Encoding: chunked\r\n\r\n989680\r\n" + last, [413]),
            # The client leaves in the middle.
            (head, [400]), (head + b"Content-Length: 5\r\n\r\nhel", [400])):
        got = answers(example, request)
        assert got == expected, (request[:200], got, expected)


def check_slow(example):
    """One byte now and then is answered by 408 when the time is over; silence by the end."""
    with example.connect() as client:
        begin = time.monotonic()
        reply = b""
        client.settimeout(0.05)
        for byte in b"GET /empty.txt HTTP/1.1\r\nX: " + b"x" * 1000:
            client.sendall(bytes([byte]))
            try:
                reply = client.recv(1000)
                break
            except TimeoutError:
                pass
        assert reply.startswith(b"HTTP/1.1 408 "), reply
        assert 0.5 < time.monotonic() - begin < 10
    with example.connect() as client:
        assert client.recv(1) == b""
    with example.connect() as client:  # a request that is done, then silence
        reply = ask(client, b"GET /empty.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ") and b"408" not in reply, reply
    # An answer may take longer than that, if the client takes it.
    with example.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        size, begin = 0, time.monotonic()
        while part := client.recv(65536):
            size += len(part)
            if time.monotonic() - begin < 2.5:
                time.sleep(0.05)
        assert size > 3_000_000 and time.monotonic() - begin > 2, size


def check_clients(example, root):
    address = f"{example.address[0]}:{example.address[1]}"
    large = (root / "large.bin").read_bytes()
    if have("curl"):
        def curl(*arguments):
            done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "20", *arguments],
                                  capture_output=True, timeout=30, check=False)
            assert done.returncode == 0, done
            return done.stdout

        assert curl(f"http://{address}/large.bin") == large
        assert curl("-r", "1000-1999", f"http://{address}/large.bin") == large[1000:2000]
        assert curl("--compressed", f"http://{address}/page.html") == b"<p>plain</p>" * 50
        with tempfile.TemporaryDirectory() as folder:
            part = pathlib.Path(folder) / "part"
            part.write_bytes(large[:1_234_567])
            curl("-C", "-", "-o", str(part), f"http://{address}/large.bin")  # goes on where it was
            assert part.read_bytes() == large
            # A conditional request by the time of a file, then three on one connection.
            stamp = pathlib.Path(folder) / "stamp"
            curl("-R", "-o", str(stamp), f"http://{address}/small.txt")
            assert curl("-z", str(stamp), "-w", "%{http_code}", f"http://{address}/small.txt") == b"304"
            # An upload in chunks is read to its end and refused.
            part.write_bytes(large[:500_000])
            for options in (["-H", "Transfer-Encoding: chunked"], [], ["-H", "Expect:"]):
                assert curl("-o", os.devnull, "-w", "%{http_code}", "--data-binary", f"@{part}", *options,
                            f"http://{address}/small.txt") == b"405", options
        assert curl("-w", "%{num_connects}", *["-o", os.devnull] * 3,
                    *[f"http://{address}/small.txt"] * 3) == b"100"
    if POLICY in ONE_BY_ONE:
        return
    if have("wrk"):
        done = subprocess.run(["wrk", "-t1", "-c4", "-d1s", f"http://{address}/small.txt"],
                              capture_output=True, text=True, timeout=30, check=True)
        assert int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 20, done.stdout
        assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    if have("ab"):
        for keep in [], ["-k"]:
            done = subprocess.run(["ab", "-q", "-n", "500", "-c", "4", *keep, f"http://{address}/small.txt"],
                                  capture_output=True, text=True, timeout=30, check=True)
            assert re.search(r"Complete requests: +500\n", done.stdout), done.stdout
            assert re.search(r"Failed requests: +0\n", done.stdout), done.stdout


def check_tls(folder, root):
    from certificate import make_certificate  # ends the test where openssl is missing: so last
    cert, key = make_certificate(folder)
    with Example(0, "--policy", POLICY, *WORKERS, "--directory", root, "--log", "", "--certfile", cert, "--keyfile",
                 key) as example:
        context = ssl.create_default_context(cafile=cert)
        connection = http.client.HTTPSConnection("localhost", example.address[1], context=context, timeout=10)
        for path in "/large.bin", "/small.txt", "/large.bin":
            connection.request("GET", path)
            assert connection.getresponse().read() == (root / path[1:]).read_bytes(), path
        connection.close()
        if have("curl"):
            done = subprocess.run(["curl", "--silent", "--max-time", "20", "--cacert", cert,
                                   f"https://localhost:{example.address[1]}/small.txt"],
                                  capture_output=True, timeout=30, check=True)
            assert done.stdout == (root / "small.txt").read_bytes()


def check_admin(root):
    with Example(0, "--policy", POLICY, *WORKERS, "--directory", root, "--log", "", "--admin", 0,
                 "--connection-log") as example:
        words = example.process.stderr.readline().split()
        assert words[:2] == ["admin", "on"], words
        admin = http.client.HTTPConnection(words[2], timeout=10)

        def ask_admin(path):
            admin.request("GET", path)
            response = admin.getresponse()
            return response.status, response.read().decode()

        assert ask_admin("/readyz") == (200, "ready\n")
        get = Client(example)
        host, port = (get("/small.txt"), get.connection.sock.getsockname())[1]
        if POLICY != "prefork":  # whose connections only the workers know
            assert f"{host}:{port}" in ask_admin("/connections")[1]
        get.close()
        while 'closed_total{reason="client_closed"} 1\n' not in ask_admin("/metrics")[1]:
            pass
    assert re.fullmatch(rf"{host}:{port} client_closed after \d\.\d+ s\n", example.errors), example.errors


def make_page(folder):
    """The root of a site whose page names fifty files: pictures, style sheets and scripts."""
    root = pathlib.Path(folder) / "page"
    root.mkdir()
    head, body = "", ""
    for i in range(10):
        (root / f"{i}.css").write_text(f"#p{i} {{ color: rgb({i}, 1, 2); }}\n" + "/* */\n" * 1000)
        (root / f"{i}.js").write_text(f"window.ran = (window.ran || 0) + 1;\n" + "// \n" * 30_000)
        head += f'<link rel="stylesheet" href="{i}.css"><script src="{i}.js"></script>\n'
        body += f'<p id="p{i}">{i}</p>\n'
    for i in range(30):
        picture = f'<svg xmlns="http://www.w3.org/2000/svg" width="{i + 1}" height="7"><rect width="9" height="7"/></svg>'
        (root / f"{i}.svg").write_text(picture + f"<!-- {random.randbytes(i * 500).hex()} -->")
        body += f'<img src="{i}.svg">\n'
    (root / "index.html").write_text(
        f'<!doctype html><html><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>fifty</title>{head}'
        f'</head><body>{body}</body></html>')
    return root


def check_browser(url, folder, *arguments):
    with Browser(folder, *arguments) as browser:
        for _ in range(2):  # the second time it asks whether what it has is still right
            browser.open(url)
            shown = browser.run("""return [window.ran, [...document.images].map(each => each.naturalWidth),
                [...document.querySelectorAll("p")].map(each => getComputedStyle(each).color),
                performance.getEntriesByType("resource").length]""")
            assert shown == [10, [i + 1 for i in range(30)], [f"rgb({i}, 1, 2)" for i in range(10)], 50], shown
            browser.run("location.hash = 'seen'")
        complaints = browser.complaints()
        assert complaints == [], complaints


def check_browsers(folder):
    from certificate import make_certificate
    page = make_page(folder)
    profiles = [pathlib.Path(folder) / f"profile{i}" for i in range(2)]
    for profile in profiles:
        profile.mkdir()
    log = pathlib.Path(folder) / "log"
    with Example(0, "--directory", page, "--log", log, "--drain", 5) as example:
        host, port = example.address
        check_browser(f"http://{host}:{port}/", profiles[0])
    asked = [line.split('"')[1].split()[1] for line in log.read_text().splitlines()]
    assert len(set(asked)) == 51, asked
    cert, key = make_certificate(folder)
    # Chromium takes this key for trusted, and no other.
    pin = subprocess.run(
        f"openssl x509 -in {cert} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | "
        "openssl base64", shell=True, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
    with Example(0, "--directory", page, "--log", "", "--drain", 5, "--certfile", cert, "--keyfile", key) as example:
        check_browser(f"https://localhost:{example.address[1]}/", profiles[1],
                      f"--ignore-certificate-errors-spki-list={pin}")


if POLICY == "browser":
    if not have_browser():
        sys.exit(77)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        check_browsers(work)
    sys.exit()
with tempfile.TemporaryDirectory() as work:
    site = make_site(work)
    check_admin(site)
    log = pathlib.Path(work) / "log"
    with Example(0, "--policy", POLICY, *WORKERS, "--directory", site, "--log", log, "--gzip-static", "--drain",
                 1) as server:
        check_files(server, site)
        check_protocol(server)
        check_clients(server, site)
    assert server.errors == "", server.errors
    lines = log.read_text().splitlines()
    assert all(re.fullmatch(r'127\.0\.0\.1 - - \[[^\]]+\] "[^"]*" \d{3} \d+', line) for line in lines)
    assert lines[0].endswith('"GET /small.txt HTTP/1.1" 200 1000'), lines[0]
    assert any(r'"\x16\x03\x01' in line for line in lines)
    with Example(0, "--policy", POLICY, *WORKERS, "--directory", site, "--log", "", "--request-timeout", 0.7,
                 "--idle-timeout", 0.3, "--drain", 1) as server:
        check_slow(server)
    assert server.errors == "", server.errors
    check_tls(work, site)
