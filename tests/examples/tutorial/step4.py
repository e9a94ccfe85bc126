# SPDX-License-Identifier: MIT
import signal
import threading

from example import Example, ask, expect

with Example(0, status=-signal.SIGTERM) as example:
    with example.connect() as first, example.connect() as second:
        expect(second, b"add Time flies.\n", b"added\n")  # while the first is connected
        expect(first, b"get\nget\n", b"Well begun is half done.\nTime flies.\n")

    replies = []

    def add_many(name):
        with example.connect() as client:
            lines = b"".join(b"add %d of %d\n" % (number, name) for number in range(100))
            replies.append(ask(client, lines, len(b"added\n") * 100))

    adding = [threading.Thread(target=add_many, args=(name,)) for name in range(8)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert replies == [b"added\n" * 100] * 8, replies

    with example.connect() as client:
        client.sendall(b"get\n" * 802)
        client.shutdown(1)  # SHUT_WR
        assert len(set(ask(client, b"", 1 << 20).splitlines())) == 802
assert example.errors == "", example.errors
