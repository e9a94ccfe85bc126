# SPDX-License-Identifier: MIT
import select
import signal

from example import Example, expect

for stop in signal.SIGINT, signal.SIGTERM:
    with Example(0, stop=stop) as example:
        with example.connect() as client:
            # One segment: when the answer comes, the part of the next request has been read.
            expect(client, b"add Time flies.\nge", b"added\n")
            example.process.send_signal(stop)
            # A request that has begun is served to its end, and waited for.
            assert not select.select([example.process.stdout], [], [], 0.2)[0]
            expect(client, b"t\n", b"Well begun is half done.\n")
            # A client that owes the next one is not.
            assert client.recv(100) == b""
            assert example.process.stdout.readline() == "2 quotes at the end\n"
            example.process.wait(20)
    assert example.errors == "", example.errors
