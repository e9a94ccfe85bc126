# SPDX-License-Identifier: MIT
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

from example import Example, expect

with Example(0, 0, addresses=2) as example:
    host, port = example.addresses[1]

    def get(path, **headers):
        try:
            request = urllib.request.Request(f"http://{host}:{port}{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert get("/healthz") == (200, "alive\n")
    assert get("/readyz") == (200, "ready\n")
    assert get("/other")[0] == 404
    client = example.connect()
    expect(client, b"hello\n", b"hello\n")
    status, page = get("/metrics")
    assert status == 200 and 'socketserver_connections_active{server="echo"} 1\n' in page, page
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=20)
        assert checked.returncode == 0 and not checked.stderr, checked

    assert 'socketserver_request_wait_seconds_count{server="echo"} 1\n' in page, page

    accepted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    status, page = get("/metrics", Accept=accepted)
    assert status == 200 and page.endswith("\n# EOF\n"), page
    # The reference parser, where the system's Python has it.
    parse = "import sys; from prometheus_client.openmetrics import parser; list(parser.text_string_to_metric_families(sys.stdin.read()))"
    for python in sys.executable, "/usr/bin/python3":
        if not subprocess.run([python, "-c", "import prometheus_client"], capture_output=True).returncode:
            checked = subprocess.run([python, "-c", parse], input=page, capture_output=True, text=True, timeout=20)
            assert checked.returncode == 0, checked
    other = example.connect()
    expect(other, b"one\ntw", b"one\n")
    names = {"%s:%d" % each.getsockname(): each for each in (client, other)}
    while True:  # what was sent is counted a moment after it has come
        lines = [line.split() for line in get("/connections")[1].splitlines()[1:]]
        assert len(lines) == 2 and all(line[0] in names and float(line[1]) < 60 for line in lines), lines
        found = {names[line[0]]: line[2:] for line in lines}
        if found == {client: ["idle", "6", "6"], other: ["busy", "6", "4"]}:
            break
    other.close()

    # A client that is in the middle of a line keeps the drain waiting.
    client.sendall(b"not yet ")
    expect(client, b"there\nand ", b"not yet there\n")
    example.send_stop()
    while get("/readyz") != (503, "draining\n"):
        pass
    assert get("/healthz") == (200, "alive\n")
    expect(client, b"now\n", b"and now\n")
    client.close()
