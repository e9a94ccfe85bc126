# SPDX-License-Identifier: MIT
import re

from example import Example, ask, expect

with Example(0, "-v") as example:
    with example.connect() as client:
        expect(client, b"hello\n", b"HELLO\n")
        good = "%s:%d" % client.getsockname()
    with example.connect() as client:
        assert ask(client, b"fail\n") == b""
        bad = "%s:%d" % client.getsockname()
    other = "127.0.0.2", 0  # which has no connection yet
    clients = [example.connect(source=other) for _ in range(2)]
    for client in clients:
        expect(client, b"a\n", b"A\n")
    with example.connect(source=other) as third:
        assert ask(third, b"") == b""
        beyond = "%s:%d" % third.getsockname()
    for client in clients:
        client.close()

# As syslog(3) writes them to stderr: "access_log[1234]: text".
lines = re.findall(r"^access_log\[\d+\]: (.*)$", example.errors, re.MULTILINE)
ends = {line.split()[0]: line.split()[1] for line in lines if " after " in line}
assert ends[good] == "client_closed" and ends[bad] == "error" and len(ends) == 4, lines
assert f"{bad}: the client asked for it" in lines, lines
assert f"{beyond} refused: max_connections_per_address" in lines, lines
