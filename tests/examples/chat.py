# SPDX-License-Identifier: MIT
from example import Example, expect


def read_line(client):
    line = b""
    while not line.endswith(b"\n"):
        part = client.recv(1)
        assert part, line
        line += part
    return line.decode()


def name_of(client):
    return "{}:{}".format(*client.getsockname())


with Example(0) as example:
    guests = []
    for count in range(3):
        guests.append(example.connect())
        name = name_of(guests[-1])
        assert read_line(guests[-1]) == f"* welcome, {count + 1} are here\n"
        for other in guests[:-1]:
            assert read_line(other) == f"* {name} enters\n"
    first, second, third = guests

    second.sendall(b"hello\nall of you\n")
    for guest in first, third:
        assert read_line(guest) == f"{name_of(second)}: hello\n"
        assert read_line(guest) == f"{name_of(second)}: all of you\n"

    name = name_of(second)
    second.close()
    for guest in first, third:
        assert read_line(guest) == f"* {name} leaves\n"
    # first and third are still there when the server is told to end
first.settimeout(10)
assert "leaves" in (rest := first.recv(4096).decode()) or rest == "", rest
assert example.errors == "", example.errors
