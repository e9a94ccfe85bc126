# SPDX-License-Identifier: MIT
"""What is measured: which servers, under which load, by which metric, against which target."""

import dataclasses

from . import servers as s
from .apps import HTTP_PEERS


@dataclasses.dataclass(frozen=True)
class Workload:
    mode: str  # of the load client
    connections: int = 1
    length: int = 64
    pipeline: int = 1
    unix: bool = False
    tls: bool = False

    def arguments(self):
        return ["--connections", str(self.connections), "--length", str(self.length),
                "--pipeline", str(self.pipeline), *(["--tls", "1"] if self.tls else [])]


# The figure of one run, the larger the better, except for the cost of memory.
METRICS = {
    "req/s": lambda f: f["requests"] / f["seconds"],
    "req per CPU s": lambda f: f["requests"] / (f["server_cpu_ns"] / 1e9),
    "RSS B/conn": lambda f: f["rss_per_connection"],
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One or more contenders next to one reference, in the same rounds."""

    workload: Workload
    reference: s.ServerKind
    contenders: tuple
    metric: str = "req per CPU s"
    target: float | None = None  # of the ratio contender / reference
    cores: str = "same"
    reference_workload: Workload | None = None  # if it is another one

    def workload_of(self, kind):
        return (kind is self.reference and self.reference_workload) or self.workload


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    comparisons: tuple = ()
    special: str | None = None  # measured by a function of its own
    default: bool = True        # runs when no scenario is named

    @property
    def descriptors(self):
        """The open files that a server or the client needs."""
        return 100 + max((each.workload.connections for each in self.comparisons), default=0)


def pair(ours, raw, workload, **more):
    return Comparison(workload, raw, (ours,), **more)


ONE = Workload("echo")
CONNECT = Workload("connect", connections=16)
MANY = Workload("echo", connections=64)
LOADS = {
    "64": MANY,
    "1000": Workload("echo", connections=1000),
    "10000": Workload("echo", connections=10_000),
    "16k": Workload("echo", connections=64, length=16384),
    "connect": CONNECT,
    "unix": Workload("echo", connections=64, unix=True),
    "1": ONE,
}
# Of the requests per CPU second. "1" is compared with the synchronous loop.
FIBER_TARGETS = {"64": 0.97, "1000": 0.94, "10000": 0.94, "16k": 0.95, "connect": 0.97, "1": 0.95}
PIPELINED = Workload("echo", connections=64, pipeline=16)
COMPUTING = Workload("echo", connections=16)
IDLE = Workload("idle", connections=10_000)
TLS_LOADS = {
    "64": Workload("echo", connections=64, tls=True),
    "1000": Workload("echo", connections=1000, tls=True),
    "16k": Workload("echo", connections=64, length=16384, tls=True),
    "handshake": Workload("connect", connections=16, tls=True),
}
TLS_IDLE = Workload("idle", connections=1000, tls=True)


def core_scenarios():
    yield Scenario("echo-1", "one persistent connection, each policy against the same by hand", (
        pair(s.SYNC, s.RAW_SYNC, ONE, metric="req/s", target=0.95),
        pair(s.THREADING, s.RAW_THREAD, ONE, metric="req/s", target=0.95),
        pair(s.FORKING, s.RAW_FORK, ONE, metric="req/s", target=0.95)))
    # The client is on a core of its own: what it costs to open a connection would hide most of
    # what the server saves.
    yield Scenario("connect", "one line per connection, 16 at a time", (
        pair(s.SYNC, s.RAW_SYNC, CONNECT, metric="req/s", target=0.95, cores="split"),
        pair(s.THREADING, s.RAW_THREAD, CONNECT, metric="req/s", target=1.4, cores="split"),
        pair(s.FORKING, s.RAW_FORK, CONNECT, metric="req/s", target=0.95, cores="split"),
        pair(s.POOL, s.RAW_THREAD, CONNECT, metric="req/s", cores="split"),
        pair(s.PREFORK, s.RAW_FORK, CONNECT, metric="req/s", cores="split")))
    yield Scenario("threads-64", "64 persistent connections, a thread or a child each", (
        pair(s.THREADING, s.RAW_THREAD, MANY), pair(s.FORKING, s.RAW_FORK, MANY),
        pair(s.POOL, s.RAW_THREAD, MANY)))
    yield Scenario("pipelined", "16 lines at once, corked replies", (
        pair(s.SYNC_CORKED, s.RAW_SYNC, Workload("echo", pipeline=16)),))
    yield Scenario("unix-1", "one persistent connection over a Unix socket", (
        pair(s.SYNC, s.RAW_SYNC, Workload("echo", unix=True)),))
    yield Scenario("udp", "datagrams of 64 bytes, 8 outstanding", (
        pair(s.UDP, s.RAW_UDP, Workload("udp", connections=8)),
        pair(s.UDP_TOGETHER, s.RAW_UDP, Workload("udp", connections=8), target=0.95)))
    yield Scenario("udp-1", "datagrams of 64 bytes, 1 outstanding", (
        pair(s.UDP, s.RAW_UDP, Workload("udp")),))
    yield Scenario("udp-workers-2", "datagrams to two worker processes against one, on all cores", (
        Comparison(Workload("udp", connections=64), s.UDP_WORKER, (s.UDP_WORKERS_2, s.UDP_SHARED_2),
                   metric="req/s", cores="free"),))
    yield Scenario("stop-latency", "stopping an idle server", special="stop_latency")
    yield Scenario("compile-time", "compiling examples/echo.cpp with -O2", special="compile_time")


def fiber_scenarios():
    for name, load in LOADS.items():
        raw = s.RAW_SYNC if name == "1" else s.RAW_EPOLL
        yield Scenario(f"fiber-{name}", f"fibers against {raw.name}: {describe(load)}",
                       (pair(s.FIBER, raw, load, target=FIBER_TARGETS.get(name)),))
    yield Scenario("fiber-pipelined", f"corked replies: {describe(PIPELINED)}",
                   (pair(s.FIBER_CORKED, s.RAW_EPOLL, PIPELINED),))
    yield Scenario("fiber-pipelining", "16 lines at once, corked replies, against one by one",
                   (pair(s.FIBER_CORKED, s.FIBER, PIPELINED, metric="req/s", target=3.0,
                         reference_workload=MANY),))
    yield Scenario("fiber-timeout", "an idle timeout for each of 10,000 connections against none",
                   (pair(s.FIBER_TIMEOUT, s.FIBER, LOADS["10000"]),))
    yield Scenario("fiber-workers-2", "two workers against two epoll loops, on all cores",
                   (pair(s.FIBER_2, s.RAW_EPOLL_2, MANY, cores="free"),))
    yield Scenario("fiber-cpu-2", "a handler that computes: two workers against one, on all cores",
                   (pair(s.FIBER_CPU_2, s.FIBER_CPU, COMPUTING, metric="req/s", target=1.7,
                         cores="free"),))
    yield Scenario("fiber-idle-10000", "resident memory per idle connection, 10,000 of them",
                   (pair(s.FIBER, s.RAW_EPOLL, IDLE, metric="RSS B/conn"),))
    yield Scenario("fiber-held-100000", "100,000 connections, each echoing once a minute",
                   special="held", default=False)


def tls_scenarios():
    for name, load in TLS_LOADS.items():
        yield Scenario(f"tls-{name}", f"fibers over TLS against {s.RAW_TLS.name}: {describe(load)}",
                       (pair(s.TLS_FIBER, s.RAW_TLS, load, target=0.95),))
    yield Scenario("tls-threads-64", f"threads over TLS: {describe(TLS_LOADS['64'])}",
                   (pair(s.TLS_THREADING, s.RAW_TLS, TLS_LOADS["64"]),))
    yield Scenario("tls-idle-1000", "resident memory per idle connection over TLS, 1,000 of them",
                   (pair(s.TLS_FIBER, s.RAW_TLS, TLS_IDLE, metric="RSS B/conn"),))


def peer_scenarios():
    for name, load in LOADS.items():
        yield Scenario(f"peers-{name}", f"other frameworks: {describe(load)}",
                       (Comparison(load, s.RAW_EPOLL, (s.FIBER, *peers(load))),), default=False)
    for name, load in TLS_LOADS.items():
        yield Scenario(f"peers-tls-{name}", f"other frameworks: {describe(load)}",
                       (Comparison(load, s.RAW_TLS, (s.TLS_FIBER, *s.TLS_PEERS)),), default=False)
    yield Scenario("peers-pipelined", f"other frameworks: {describe(PIPELINED)}",
                   (Comparison(PIPELINED, s.RAW_EPOLL, (s.FIBER_CORKED, *peers(PIPELINED))),),
                   default=False)
    for name, load in (("udp", Workload("udp", connections=8)), ("udp-1", Workload("udp"))):
        yield Scenario(f"peers-{name}",
                       f"other frameworks: datagrams of 64 bytes, {load.connections} outstanding",
                       (Comparison(load, s.RAW_UDP, (s.UDP, s.UDP_TOGETHER, *s.UDP_PEERS)),),
                       default=False)
    yield Scenario("peers-idle-10000", "other frameworks: resident memory per idle connection",
                   (Comparison(IDLE, s.RAW_EPOLL, (s.FIBER, *peers(IDLE)),
                               metric="RSS B/conn"),),
                   default=False)


def app_scenarios():
    for peer, text in HTTP_PEERS.items():
        for name, size in (("http-1k", "1 KiB"), ("http-100k", "100 KiB")):
            yield Scenario(name if peer == "nginx" else f"{name}-{peer}",
                           f"the file server of examples/apps beside {text}, a file of {size}",
                           special="app", default=False)
    for name, size in (("proxy", "64 B"), ("proxy-64k", "64 KiB")):
        yield Scenario(name, f"the balancer of examples/apps beside HAProxy, replies of {size}",
                       special="app", default=False)
    for name, how in (("store", "a command at a time"), ("store-pipelined", "16 at once"),
                      ("store-journal", "a command at a time, each change in a file"),
                      ("store-journal-pipelined", "16 at once, each change in a file")):
        yield Scenario(name, f"the store of examples/apps beside redis-server, {how}",
                       special="app", default=False)


def peers(load):
    return s.PEERS if load.connections > 1000 else (*s.PEERS, *s.PEERS_FOR_FEW)


def describe(load):
    if load.mode == "connect":
        handshake = ", a full handshake each" if load.tls else ""
        return f"one line per connection, {load.connections} at a time{handshake}"
    text = f"{load.connections} connection{'s' if load.connections > 1 else ''}, {load.length} B"
    if load.pipeline > 1:
        text += f", {load.pipeline} at once"
    return text + (", Unix socket" if load.unix else "")


ALL = {each.name: each for each in (*core_scenarios(), *fiber_scenarios(), *tls_scenarios(),
                                *peer_scenarios(), *app_scenarios())}


def select(names):
    """The scenarios of these names; a name may end with "*"."""
    if not names:
        return [each for each in ALL.values() if each.default]
    chosen = []
    for name in names:
        found = [each for each in ALL.values()
                 if each.name == name or name.endswith("*") and each.name.startswith(name[:-1])]
        if not found:
            raise SystemExit(f"bench/run: no scenario {name!r}; --list shows them")
        chosen += [each for each in found if each not in chosen]
    return chosen
