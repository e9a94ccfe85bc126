# SPDX-License-Identifier: MIT
"""Three hosts (network namespaces), HAProxy in front of them, state in Redis: replaced, killed and cut off under load.

With --load it is the load: clients that each connect, ask one thing and leave, until standard input ends.
"""

import collections
import contextlib
import csv
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

CLIENTS = 8
NETWORK = "10.77.0"
FRONT = f"{NETWORK}.1"


def load(cafile):
    context = ssl.create_default_context(cafile=cafile)
    results, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            phase, begin = "connect", time.monotonic()
            try:
                with socket.create_connection((FRONT, 7000), timeout=10) as plain:
                    phase = "handshake"
                    with context.wrap_socket(plain, server_hostname="localhost") as secure:
                        phase = "request"
                        secure.sendall(b"count\n")
                        answer = secure.makefile().readline().split()
                assert len(answer) == 3, f"an answer of {len(answer)} words"
                results.append((begin, time.monotonic(), "answered", *answer))
            except (OSError, AssertionError) as error:
                results.append((begin, time.monotonic(), f"{phase}: {error!r}"))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    json.dump(results, sys.stdout)


if sys.argv[1] == "--load":
    signal.alarm(100)
    load(sys.argv[2])
    sys.exit()

os.environ["PATH"] += ":/usr/sbin:/sbin"
missing = [name for name in ("ip", "haproxy", "redis-server", "redis-cli", "openssl") if not shutil.which(name)]
if missing or os.geteuid() != 0:
    print(f"passed over: {' '.join(missing) or 'root'} is needed")
    sys.exit(77)

from certificate import make_certificate  # noqa: E402
from example import libc, PR_SET_PDEATHSIG, PROGRAM  # noqa: E402

signal.alarm(100)
CONFIGURATION = sys.argv[2]
PREFIX = f"cluster{os.getpid()}"
folder = pathlib.Path(tempfile.mkdtemp())
cert, key = make_certificate(folder)
ended = contextlib.ExitStack()
ended.callback(shutil.rmtree, folder)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)


def inside(name, *command):
    return ["ip", "netns", "exec", f"{PREFIX}{name}", *map(str, command)]


def start(name, *command, **options):
    process = subprocess.Popen(inside(name, *command), text=True,
                               preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), **options)
    ended.callback(process.kill)
    return process


def make_host(name, number):
    """A namespace with one interface, whose other end hangs on the bridge of the front."""
    ip("netns", "add", PREFIX + name)
    ended.callback(ip, "netns", "del", PREFIX + name)
    ip("-n", PREFIX + name, "link", "set", "lo", "up")
    if number == 1:
        ip("-n", PREFIX + name, "link", "add", "eth0", "type", "bridge")
    else:
        ip("-n", PREFIX + "front", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", PREFIX + name)
        ip("-n", PREFIX + "front", "link", "set", name, "master", "eth0", "up")
    ip("-n", PREFIX + name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
    ip("-n", PREFIX + name, "link", "set", "eth0", "up")


def redis(*command):
    done = subprocess.run(inside("front", "redis-cli", "-h", FRONT, *command), text=True, capture_output=True, timeout=10)
    return done.stdout.strip()


def eventually(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.01)


def start_node(number, version):
    node = start(f"node{number}", *PROGRAM, f"{NETWORK}.{10 + number}", 7000, 9100, FRONT, 6379,
                 f"{NETWORK}.0/24", version, cert, key, stderr=subprocess.PIPE)
    line = node.stderr.readline()
    assert line.startswith("serving on"), line + node.stderr.read()
    return node


def states():
    """What HAProxy takes each server to be: "UP", "DOWN", or on its way there, "UP 1/2" after one failed check."""
    with socket.socket(socket.AF_UNIX) as stats:
        stats.settimeout(10)
        stats.connect(f"{folder}/stats")
        stats.sendall(b"show stat\n")
        rows = csv.DictReader(stats.makefile())
        return {row["svname"]: row["status"] for row in rows if row["# pxname"] == "nodes"}


def wait_until(number, state):
    eventually(lambda: states()[f"node{number}"] == state)
    return time.monotonic()


def let_pass(requests):
    aim = int(redis("get", "count") or 0) + requests
    eventually(lambda: int(redis("get", "count") or 0) >= aim)


with ended:
    for name, number in ("front", 1), ("node1", 11), ("node2", 12), ("node3", 13), ("clients", 20):
        make_host(name, number)
    start("front", "redis-server", "--bind", FRONT, "--protected-mode", "no", "--save", "", "--dir", folder,
          stdout=subprocess.DEVNULL)
    eventually(lambda: redis("ping") == "PONG")
    nodes = {number: start_node(number, "old") for number in (1, 2, 3)}
    (folder / "stats.cfg").write_text(f"global\n    stats socket {folder}/stats mode 600\n")
    os.environ |= {"CLUSTER_ADDRESS": FRONT, "CLUSTER_NETWORK": NETWORK}
    start("front", "haproxy", "-db", "-q", "-f", CONFIGURATION, "-f", folder / "stats.cfg", stderr=subprocess.DEVNULL)
    eventually((folder / "stats").exists)
    for number in nodes:
        wait_until(number, "UP")
    clients = start("clients", sys.executable, "-B", __file__, "--load", cert, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE)
    let_pass(200)

    # A new version on one host after the other.
    for number in nodes:
        nodes[number].send_signal(signal.SIGTERM)
        status = nodes[number].wait(timeout=20)
        errors = nodes[number].stderr.read()
        assert status == 0 and not errors, (status, errors)
        nodes[number] = start_node(number, "new")
        wait_until(number, "UP")
        let_pass(100)
    replaced = time.monotonic()
    let_pass(100)

    killed = time.monotonic()
    nodes[2].kill()
    known_dead = wait_until(2, "DOWN")
    let_pass(200)
    nodes[2] = start_node(2, "new")
    wait_until(2, "UP")
    let_pass(100)

    cut = time.monotonic()
    ip("-n", PREFIX + "front", "link", "set", "node3", "down")
    known_cut = wait_until(3, "DOWN")
    let_pass(200)

    clients.stdin.close()
    results = json.load(clients.stdout)
    assert clients.wait(timeout=20) == 0
    counted = int(redis("get", "count"))
    for number in (1, 2):
        nodes[number].send_signal(signal.SIGTERM)
        assert nodes[number].wait(timeout=20) == 0, nodes[number].stderr.read()

answered = [result for result in results if result[2] == "answered"]
lost = [result for result in results if result[2] != "answered"]
print(f"{len(answered)} answered, {len(lost)} lost; seen as dead after {known_dead - killed:.2f} s, "
      f"as cut off after {known_cut - cut:.2f} s")
# No request is lost while all hosts are replaced.
assert not [result for result in lost if result[1] < killed], lost
assert {result[4] for result in answered if replaced < result[0]} == {"new"}
assert {result[5] for result in answered} == {f"{NETWORK}.20"}, collections.Counter(r[5] for r in answered)
# A host that dies or is cut off costs what is in service there, at the most one request of each client, and once more
# when the balancer knows it: what it tries to connect to that host just then is shut as well.
for since, until in (killed, known_dead), (cut, known_cut):
    of_it = [result for result in lost if since - 10 < result[0] <= until + 0.5 and result[1] >= since]
    assert len(of_it) <= 2 * CLIENTS, of_it
    lost = [result for result in lost if result not in of_it]
assert not lost, lost
# What was acknowledged was counted, once.
numbers = [int(result[3]) for result in answered]
assert len(set(numbers)) == len(numbers)
assert len(answered) <= counted <= len(results), (len(answered), counted, len(results))
