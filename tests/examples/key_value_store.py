# SPDX-License-Identifier: MIT
import threading

from example import Example, expect

with Example(0) as example:
    def count():
        with example.connect() as client:
            for _ in range(200):
                client.sendall(b"add visits 1\n")
                while not client.recv(64).endswith(b"\n"):
                    pass

    with example.connect() as first, example.connect() as second:
        expect(first, b"set colour blue\n", b"blue\n")
        expect(second, b"get colour\n", b"blue\n")
        expect(second, b"get nothing\n", b"\n")
        expect(second, b"what\n", b"set <key> <value> | get <key> | add <key> <number>\n")
        counting = [threading.Thread(target=count) for _ in range(8)]
        for thread in counting:
            thread.start()
        for thread in counting:
            thread.join()
        expect(first, b"get visits\n", b"1600\n")
assert example.errors == "", example.errors
