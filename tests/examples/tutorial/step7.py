# SPDX-License-Identifier: MIT
import select
import signal

from example import Example, expect

for stop in signal.SIGINT, signal.SIGTERM:
    with Example(0, stop=stop) as example:
        with example.connect() as client:
            expect(client, b"add Time flies.\n", b"added\n")
            example.process.send_signal(stop)
            # A client that is connected is served to its end, and waited for.
            assert not select.select([example.process.stdout], [], [], 0.2)[0]
            expect(client, b"get\n", b"Well begun is half done.\n")
        assert example.process.stdout.readline() == "2 quotes at the end\n"
        example.process.wait(20)
    assert example.errors == "", example.errors
