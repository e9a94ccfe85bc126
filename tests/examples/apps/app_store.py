# SPDX-License-Identifier: MIT
"""The store under the policy of the last argument: by its protocol, by Redis's clients, and killed under load."""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from example import Example, ask, expect

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's modules, for another interpreter
try:
    import redis
except ImportError:
    redis = None
    print("passed over: python3-redis is not installed")

signal.alarm(110)  # several programs, one after the other
POLICY = sys.argv[2]
ONE_BY_ONE = POLICY == "synchronous"  # one client at a time
KILLS = int(os.environ.get("SOCKETSERVER_TEST_KILLS", "8"))


def command(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def check_protocol(example):
    with example.connect() as client:
        def reply(expected, *words):
            expect(client, command(*words), expected)

        reply(b"+PONG\r\n", "PING")
        reply(b"$2\r\nhi\r\n", "ping", "hi")
        reply(b"+OK\r\n", "SET", "key", b"\x00\r\n\xff")
        reply(b"$4\r\n\x00\r\n\xff\r\n", "get", "key")
        reply(b"$-1\r\n", "GET", "nothing")
        reply(b"$-1\r\n", "SET", "key", "x", "NX")
        reply(b"$4\r\n\x00\r\n\xff\r\n", "SET", "key", "y", "XX", "GET")
        reply(b"-ERR syntax error\r\n", "SET", "key", "x", "NX", "XX")
        reply(b"-ERR syntax error\r\n", "SET", "key", "x", "EX")
        reply(b"-ERR value is not an integer or out of range\r\n", "SET", "key", "x", "EX", "soon")
        reply(b":1\r\n", "INCR", "n")
        reply(b":-4\r\n", "DECRBY", "n", 5)
        reply(b":9223372036854775807\r\n", "INCRBY", "m", 2**63 - 1)
        reply(b"-ERR increment or decrement would overflow\r\n", "INCR", "m")
        reply(b"-ERR value is not an integer or out of range\r\n", "INCR", "key")
        reply(b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", "LPUSH", "key", "x")
        reply(b":3\r\n", "RPUSH", "list", "a", "b", "c")
        reply(b"*2\r\n$1\r\nb\r\n$1\r\nc\r\n", "LRANGE", "list", -2, 100)
        reply(b"*0\r\n", "LRANGE", "list", 2, 1)
        reply(b"$1\r\na\r\n", "LPOP", "list")
        reply(b"*2\r\n$1\r\nc\r\n$1\r\nb\r\n", "RPOP", "list", 5)
        reply(b":0\r\n", "EXISTS", "list")
        reply(b":2\r\n", "HSET", "hash", "a", 1, "b", 2)
        reply(b":0\r\n", "HSET", "hash", "a", 5)
        reply(b":7\r\n", "HINCRBY", "hash", "a", 2)
        reply(b"*2\r\n$1\r\n7\r\n$-1\r\n", "HMGET", "hash", "a", "c")
        reply(b":2\r\n", "HDEL", "hash", "a", "b", "c")
        reply(b"+none\r\n", "TYPE", "hash")
        reply(b"-ERR unknown command 'a  b'\r\n", "a\r\nb")
        reply(b"-ERR wrong number of arguments for 'get' command\r\n", "GET")

        # Expiry.
        reply(b"+OK\r\n", "SET", "short", "x", "PX", 30)
        reply(b"+OK\r\n", "SET", "long", "x", "EX", 100)
        reply(b":100\r\n", "TTL", "long")
        reply(b":1\r\n", "PERSIST", "long")
        reply(b":-1\r\n", "TTL", "long")
        reply(b":1\r\n", "EXPIRE", "long", -1)
        reply(b":-2\r\n", "TTL", "long")
        deadline = time.monotonic() + 10
        while ask(client, command("EXISTS", "short"), 4) == b":1\r\n":
            assert time.monotonic() < deadline
        # It begins anew, without its old time.
        reply(b":1\r\n", "INCR", "short")
        reply(b":-1\r\n", "PTTL", "short")

        # Transactions.
        reply(b"+OK\r\n", "MULTI")
        reply(b"+QUEUED\r\n", "INCR", "t")
        reply(b"+QUEUED\r\n", "LPUSH", "t", "x")
        reply(b"*2\r\n:1\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", "EXEC")
        reply(b"+OK\r\n", "MULTI")
        reply(b"-ERR this cannot stand in a transaction\r\n", "NOSUCH")
        reply(b"-EXECABORT Transaction discarded because of previous errors.\r\n", "EXEC")
        reply(b"+OK\r\n", "MULTI")
        reply(b"+OK\r\n", "DISCARD")
        reply(b"-ERR EXEC without MULTI\r\n", "EXEC")

        # At once, in pieces, and in words.
        expect(client, command("INCR", "p") * 1000, b"".join(b":%d\r\n" % i for i in range(1, 1001)))
        for byte in command("SET", "pieces", "x" * 50):
            client.sendall(bytes([byte]))
        expect(client, b"", b"+OK\r\n")
        expect(client, b"  get   pieces \r\n\r\n\n", b"$50\r\n" + b"x" * 50 + b"\r\n")
        large = random.Random(1).randbytes(3_000_000)
        expect(client, command("SET", "large", large) + command("GET", "large"),
               b"+OK\r\n$3000000\r\n" + large + b"\r\n")
        # More replies than fit anywhere, read late.
        client.sendall(command("GET", "large") * 20)
        expect(client, b"", (b"$3000000\r\n" + large + b"\r\n") * 20)
        expect(client, command("QUIT") + command("PING"), b"+OK\r\n")
        assert client.recv(1) == b""
    for broken in (b"*x\r\n", b"*1\r\nx", b"*1\r\n$99999999999\r\n", b"*1\r\n$1\r\nabc\r\n", b"*99999999999\r\n",
                   b"x" * 70_000):
        with example.connect() as client:
            reply = ask(client, broken)
            assert reply.startswith(b"-ERR Protocol error: "), (broken[:30], reply)


def check_publish(example):
    with example.connect() as first, example.connect() as second, example.connect() as publisher:
        for client in first, second:
            expect(client, command("SET", "x", 1) + command("SUBSCRIBE", "news", "more"),
                   b"+OK\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nmore\r\n:2\r\n")
        expect(publisher, command("PUBLISH", "news", "hello"), b":2\r\n")
        expect(publisher, command("PUBLISH", "none", "hello"), b":0\r\n")
        for client in first, second:
            expect(client, b"", b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n")
        expect(first, command("UNSUBSCRIBE", "news"), b"*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n")
        expect(first, command("GET", "x"), b"-ERR only (UN)SUBSCRIBE, PING and QUIT while subscribed\r\n")
        expect(publisher, command("PUBLISH", "news", "x"), b":1\r\n")
        second.close()
        deadline = time.monotonic() + 10
        while ask(publisher, command("PUBLISH", "news", "x"), 4) != b":0\r\n":
            assert time.monotonic() < deadline
        # A subscriber that does not read is cut off, and holds up nobody.
        message = "x" * 100_000
        while ask(publisher, command("PUBLISH", "more", message), 4) == b":1\r\n":
            assert time.monotonic() < deadline


def check_clients(example):
    host, port = example.address
    if redis:
        client = redis.Redis(host, port, socket_timeout=10)
        assert client.set("a", "b", ex=100) and client.get("a") == b"b" and 90 < client.ttl("a") <= 100
        with client.pipeline(transaction=True) as pipe:
            assert pipe.incr("count").lpush("l", 1, 2).hset("h", mapping={"x": 1, "y": 2}).execute() == [1, 2, 2]
        assert client.lrange("l", 0, -1) == [b"2", b"1"] and client.hgetall("h") == {b"x": b"1", b"y": b"2"}
        assert sorted(client.keys("[hl]")) == [b"h", b"l"]
        if not ONE_BY_ONE:
            listener = client.pubsub()
            listener.subscribe("room")
            assert listener.get_message(timeout=10)["type"] == "subscribe"
            assert client.publish("room", "hello") == 1
            assert listener.get_message(timeout=10)["data"] == b"hello"
            listener.close()
        client.close()
        client.connection_pool.disconnect()
    if shutil.which("redis-cli"):
        done = subprocess.run(["redis-cli", "-h", host, "-p", str(port)], input="SET cli 1\nINCR cli\nGET cli\n",
                              capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout.split() == ["OK", "2", "2"], done
    else:
        print("passed over: redis-cli is not installed")
    if shutil.which("redis-benchmark") and not ONE_BY_ONE:
        for pipeline in "1", "16":
            done = subprocess.run(
                ["redis-benchmark", "-h", host, "-p", str(port), "-n", "2000", "-c", "6", "-P", pipeline, "--csv",
                 "-t", "ping,set,get,incr,lpush,rpush,lpop,rpop,hset,lrange_100,mset"],
                capture_output=True, text=True, timeout=50, check=True)
            assert done.stdout.count("\n") >= 12 and "rror" not in done.stdout + done.stderr, done


class Writer(threading.Thread):
    """Changes keys of its own until the connection ends, and knows what was acknowledged."""

    def __init__(self, example, name):
        super().__init__()
        self.client, self.name_ = example.connect(), name
        self.sent, self.acknowledged, self.error = 0, 0, None

    def run(self):
        try:
            self.write()
        except OSError:
            pass  # the server was killed
        except Exception as error:  # noqa: BLE001: told by the test's thread
            self.error = error
        finally:
            self.client.close()

    def write(self):
        while True:
            first, count = self.sent, random.choice([1, 1, 5])
            data, expected = b"", b""
            for i in range(first + 1, first + count + 1):
                data += (command("SET", f"{self.name_}:{i}", i) + command("RPUSH", f"{self.name_}:list", i) +
                         command("MULTI") + command("INCR", f"{self.name_}:a") + command("INCR", f"{self.name_}:b") +
                         command("EXEC"))
                expected += (b"+OK\r\n:%d\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:%d\r\n:%d\r\n" % (i, i, i))
            self.sent += count
            self.client.sendall(data)
            reply = b""
            while len(reply) < len(expected):
                part = self.client.recv(65536)
                if not part:
                    return
                reply += part
            assert reply == expected, (reply, expected)
            self.acknowledged += count

    def check(self, client):
        """That everything acknowledged is there, in order, and nothing that was never sent."""
        assert self.error is None, self.error
        size = len(b":\r\n")
        reply = ask_line(client, command("LLEN", f"{self.name_}:list"))
        length = int(reply[1:])
        assert self.acknowledged <= length <= self.sent, (self.acknowledged, length, self.sent, size)
        expected = b"*%d\r\n" % length + b"".join(
            b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(1, length + 1))
        expect(client, command("LRANGE", f"{self.name_}:list", 0, -1), expected)
        for i in range(1, self.acknowledged + 1):
            expect(client, command("GET", f"{self.name_}:{i}"), b"$%d\r\n%d\r\n" % (len(str(i)), i))
        counts = [ask_line(client, command("GET", f"{self.name_}:{name}"), 2) for name in "ab"]
        assert counts[0] == counts[1], counts  # a transaction is there as a whole, or not
        if self.acknowledged:
            assert self.acknowledged <= int(counts[0].split()[1]) <= self.sent, counts


def ask_line(client, data, lines=1):
    client.sendall(data)
    reply = b""
    while reply.count(b"\r\n") < (1 if reply.startswith(b"$-1") else lines):
        part = client.recv(65536)
        assert part
        reply += part
    return reply


def check_kills(folder, *options):
    """kill -9 under load; each round goes on with the journal of the last one."""
    total = 0
    journal = pathlib.Path(folder) / f"killed{len(options)}"
    arguments = [0, "--policy", POLICY, "--journal", journal, *options]
    for round_ in range(KILLS):
        example = Example(*arguments)
        writers = [Writer(example, f"{round_}:{i}") for i in range(1 if ONE_BY_ONE else 4)]
        for writer in writers:
            writer.start()
        wanted = random.randrange(1, 60)
        deadline = time.monotonic() + 10
        while sum(writer.acknowledged for writer in writers) < wanted and time.monotonic() < deadline:
            time.sleep(0.0005)
        example.process.kill()
        for writer in writers:
            writer.join()
        example.process.communicate()
        with Example(*arguments) as example, example.connect() as client:
            for writer in writers:
                writer.check(client)
                total += writer.acknowledged
        assert example.errors == "", example.errors
    assert total >= KILLS, total


def check_journal(folder):
    journal = pathlib.Path(folder) / "journal"
    arguments = [0, "--policy", POLICY, "--journal", journal]
    with Example(*arguments) as example, example.connect() as client:
        expect(client, command("SET", "a", 1) + command("EXPIRE", "a", 100) + command("INCR", "a") +
               command("SET", "gone", 5, "PX", 20), b"+OK\r\n:1\r\n:2\r\n+OK\r\n")
        deadline = time.monotonic() + 10
        while ask(client, command("EXISTS", "gone"), 4) == b":1\r\n":
            assert time.monotonic() < deadline
        expect(client, command("INCR", "gone"), b":1\r\n")
        # A second server on the same journal does not start.
        second = subprocess.run([sys.argv[1], "0", "--journal", str(journal)], capture_output=True, text=True,
                                timeout=20, check=False)
        assert second.returncode == 1 and "in use?" in second.stderr, second
    whole = journal.read_bytes()
    for torn in (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n", b"*1\r\n$5\r\nMULTI\r\n" + command("SET", "a", "torn")):
        journal.write_bytes(whole + torn)
        with Example(*arguments) as example, example.connect() as client:
            expect(client, command("GET", "a") + command("GET", "gone"), b"$1\r\n2\r\n$1\r\n1\r\n")
            assert 0 < int(ask_line(client, command("TTL", "a"))[1:]) <= 100
        assert journal.read_bytes() == whole
    journal.write_bytes(b"*1\r\n$5\r\nWRONG\r\n")
    done = subprocess.run([sys.argv[1], "0", "--journal", str(journal)], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 1 and "does not fit" in done.stderr, done


def check_full_disk(folder):
    """A change that cannot be written is not acknowledged. The limit of file size stands for a full disk."""
    import resource

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    journal = pathlib.Path(folder) / "full"
    arguments = [0, "--policy", POLICY, "--journal", journal]
    with Example(*arguments, setup=limit) as example:
        count = 0
        with example.connect() as client:
            while ask(client, command("SET", f"key{count}", "x" * 1000), 5) == b"+OK\r\n":
                count += 1
                assert count < 100
        assert 10 < count < 20, count
    assert "journal" in example.errors, example.errors
    with Example(*arguments) as example, example.connect() as client:
        for i in range(count):
            expect(client, command("GET", f"key{i}"), b"$1000\r\n" + b"x" * 1000 + b"\r\n")
        expect(client, command("DBSIZE"), b":%d\r\n" % count)


with tempfile.TemporaryDirectory() as work:
    with Example(0, "--policy", POLICY, "--journal", pathlib.Path(work) / "first") as server:
        check_protocol(server)
        if not ONE_BY_ONE:
            check_publish(server)
        check_clients(server)
    assert server.errors == "", server.errors
    check_journal(work)
    check_full_disk(work)
    check_kills(work)
    check_kills(work, "--fsync")
