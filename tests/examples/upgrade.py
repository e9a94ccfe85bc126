# SPDX-License-Identifier: MIT
"""Ten times in a row under load, under every policy: no connection refused, no request lost."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from example import PROGRAM, Example, expect, libc

def give_up(*_):
    raise TimeoutError("the alarm of example.py")


signal.signal(signal.SIGALRM, give_up)  # so that the last version is killed, which is no child of this process
PR_SET_CHILD_SUBREAPER = 36
libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # each version is a child of the one before, which ends
UPGRADES = 10


class Load:
    """Clients that connect, ask and are answered, one after the other in each of a few threads."""

    def __init__(self, address):
        self.address, self.answered, self.failed = address, 0, []
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(3)]
        for each in self.threads:
            each.start()

    def run(self, number):
        count = 0
        while not self.ending.is_set():
            line = b"%d of %d\n" % (count, number)
            try:
                with socket.create_connection(self.address, timeout=30) as client:
                    client.sendall(line)
                    client.shutdown(socket.SHUT_WR)
                    reply = client.makefile("rb").read()
                if reply != line:
                    raise AssertionError((line, reply))
            except (OSError, AssertionError) as error:
                with self.lock:
                    self.failed.append(error)
            count += 1
        with self.lock:
            self.answered += count

    def end(self):
        self.ending.set()
        for each in self.threads:
            each.join()
        assert not self.failed, (len(self.failed), self.failed[:3])
        return self.answered


def process_of(example):
    """The process that has just said where it serves."""
    line = example.process.stderr.readline()
    words = line.split()
    assert words[:2] == ["serving", "on"] and words[3:5] == [",", "process"], line
    return int(words[5]), words[2]


def wait_for(process):
    assert os.waitpid(process, 0)[1] == 0, process


def ten_upgrades(policy):
    example = Example(policy, 0, addresses=0)
    current, text = process_of(example)
    example.addresses = [("127.0.0.1", int(text.rpartition(":")[2]))]
    load = Load(example.address)
    try:
        for _ in range(UPGRADES):
            # One that is served meanwhile is answered to its end.
            served = example.connect() if policy not in ("synchronous", "prefork") else None
            if served:
                expect(served, b"before\nbe", b"before\n")
            os.kill(current, signal.SIGUSR2)
            following, there = process_of(example)
            assert there == text, (there, text)
            if served:
                expect(served, b"tween\n", b"between\n")
                served.close()
            if current == example.process.pid:
                assert example.process.wait(timeout=30) == 0
            else:
                wait_for(current)
            current = following
        answered = load.end()
        assert answered > UPGRADES, answered
    except BaseException:
        load.ending.set()
        os.kill(current, signal.SIGKILL)
        raise
    os.kill(current, signal.SIGTERM)
    wait_for(current)
    assert example.process.stderr.read() == ""
    print(f"{policy}: {answered} requests answered during {UPGRADES} upgrades")


def failed_upgrades(folder):
    """What the old version inherits as its own path is a version that does not come up."""
    program = folder / "upgrade"
    shutil.copy(PROGRAM[0], program)
    PROGRAM[0] = str(program)
    example = Example("threading", 0, addresses=0)
    current, text = process_of(example)
    example.addresses = [("127.0.0.1", int(text.rpartition(":")[2]))]
    # Each is written aside and renamed: the file of a program that runs is not written to.
    for script, said in (("#!/bin/sh\nexit 3\n", "has ended with status 3"), ("no program\n", "cannot be executed")):
        (folder / "new").write_text(script)
        (folder / "new").chmod(0o755)
        (folder / "new").rename(program)
        os.kill(current, signal.SIGUSR2)
        while said not in (line := example.process.stderr.readline()):
            assert line, said
        with example.connect() as client:
            expect(client, b"still here\n", b"still here\n")
    shutil.copy(sys.argv[1], folder / "new")
    (folder / "new").rename(program)
    os.kill(current, signal.SIGUSR2)
    while "serving on" not in (line := example.process.stderr.readline()):
        assert line.strip("-\n") == "" or line, line
    following = int(line.split()[5])
    assert example.process.wait(timeout=30) == 0
    with example.connect() as client:
        expect(client, b"a new one\n", b"a new one\n")
    os.kill(following, signal.SIGTERM)
    wait_for(following)


if len(PROGRAM) > 1:
    print("skipped: a program in an emulator is started by the emulator")
    sys.exit()
for each in sys.argv[2:]:
    ten_upgrades(each)
with tempfile.TemporaryDirectory() as name:
    failed_upgrades(pathlib.Path(name))
