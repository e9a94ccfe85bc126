# SPDX-License-Identifier: MIT
"""Many connections that are held, each of which echoes now and then: is one lost, what do they cost?

Where a process may not have as many open files, several processes serve, and several clients ask.
"""

import contextlib
import json
import math
import pathlib
import subprocess
import time

from .processes import BenchError, Cores, Server
from .servers import FIBER, prefork_fibers

CONNECTIONS = 100_000
SECONDS = 75  # a minute, and time for the last of them to have had a turn
EVERY = 60


def run(runner):
    """What to tell about it."""
    room = runner.descriptors - 500  # what else a process has open
    if room >= CONNECTIONS:
        kind, clients = FIBER, 1
    else:
        # Who accepts a connection is up to the kernel: some processes get more than their share.
        kind = prefork_fibers(math.ceil(1.2 * CONNECTIONS / room))
        clients = math.ceil(CONNECTIONS / room)
    command = kind.command(runner.build, "0")
    if command is None:
        return f"not built: {kind.argv[0]}"
    with Server(command, Cores("free")) as server:
        replies, highest = _hold(runner, server, clients)
    # Each connection echoes when it is opened and before it is closed, and once a minute between.
    held = math.ceil(CONNECTIONS / clients) * clients
    memory, mappings = highest
    return (f"{held:,} connections held for {SECONDS} s, {replies:,} echoes, none lost; "
            f"{memory / 1e6:,.0f} MB, {memory / held:,.0f} B each; mappings of each of "
            f"{len(mappings)} processes: {min(mappings)} to {max(mappings)}")


def _hold(runner, server, clients):
    argv = [runner.load, "idle", server.address, "--seconds", str(SECONDS), "--every", str(EVERY),
            "--connections", str(math.ceil(CONNECTIONS / clients))]
    highest = (0, [0])
    deadline = time.monotonic() + 4 * SECONDS + 120
    with contextlib.ExitStack() as stack:
        running = []
        for _ in range(clients):
            running.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, text=True,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            stack.callback(_end, running[-1])
        while any(client.poll() is None for client in running):
            if time.monotonic() > deadline:
                raise BenchError(f"{' '.join(argv)}: not done in time")
            highest = max(highest, _usage(server.pid))
            runner.progress(".")
            time.sleep(2)
        replies = 0
        for client in running:
            output, errors = client.communicate()
            if client.returncode != 0:
                raise BenchError(f"{' '.join(argv)}: status {client.returncode}\n{errors.strip()}")
            replies += json.loads(output)["requests"]
    return replies, highest


def _end(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def _usage(pid):
    """Resident bytes of the server's processes together, and the mappings of each that serves."""
    process = pathlib.Path("/proc") / str(pid)
    pids = [pid]
    for task in (process / "task").iterdir():
        pids += map(int, (task / "children").read_text().split())
    memory = 0
    mappings = []
    for each in pids:
        rollup = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text()
        memory += 1024 * int(rollup.split("Rss:")[1].split()[0])
        mappings.append(pathlib.Path(f"/proc/{each}/maps").read_text().count("\n"))
    return memory, mappings[1:] or mappings
