# SPDX-License-Identifier: MIT
"""Rounds: in each, every server of a scenario runs once, one right after the other."""

import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

from . import apps, held
from .processes import BenchError, Cores, Server, run_load
from .scenarios import METRICS


class Row:
    """One line of the table."""

    def __init__(self, scenario, label, metric, target=None, note=""):
        self.scenario = scenario
        self.label = label
        self.metric = metric
        self.target = target
        self.note = note      # instead of figures
        self.failed = False
        self.ours = []        # one figure per round
        self.raw = []
        self.cpu_ratios = []  # of the CPU time per request, whatever the metric

    def ratios(self):
        return [ours / raw for ours, raw in zip(self.ours, self.raw) if raw > 0]

    def met(self):
        """None without a target."""
        ratios = self.ratios()
        return None if self.target is None or not ratios else (
            statistics.median(ratios) >= self.target)


class Runner:
    def __init__(self, build, rounds, seconds, cores, descriptors, progress):
        self.build = build
        self.rounds = rounds
        self.seconds = seconds
        self.cores = cores
        self.descriptors = descriptors
        self.progress = progress
        self.load = str(next((path for path in (build / "bench" / "load", build / "load")
                              if path.exists()), build / "bench" / "load"))

    def run(self, scenario):
        if scenario.descriptors > self.descriptors:
            return [Row(scenario.name, "", "", note=f"skipped: needs {scenario.descriptors} open "
                        f"files, the hard limit is {self.descriptors}")]
        if scenario.special:
            return SPECIAL[scenario.special](self, scenario)
        plans = [self._plan(scenario, comparison) for comparison in scenario.comparisons]
        for number in range(self.rounds):
            for comparison, rows in plans:
                self._round(comparison, rows, number)
        return [row for _, rows in plans for row in rows.values()]

    def _command(self, kind, address="0"):
        return kind.command(self.build, address)

    def _plan(self, scenario, comparison):
        rows = {}
        for kind in comparison.contenders:
            row = Row(scenario.name, kind.name, comparison.metric, comparison.target)
            missing = next((each for each in (kind, comparison.reference)
                            if self._command(each) is None), None)
            if missing:
                row.note = f"not built: {missing.argv[0]}"
            rows[kind] = row
        return comparison, rows

    def _round(self, comparison, rows, number):
        kinds = [kind for kind, row in rows.items() if not row.note]
        if not kinds:
            return
        order = [comparison.reference, *kinds]
        if number % 2:  # a drift of the machine must not favour one side
            order.reverse()
        figures = {}
        for kind in order:
            row = rows.get(kind)
            try:
                figures[kind] = self._measure(comparison, kind)
            except BenchError as error:
                self.progress(f"\nFAILED: {error}\n")
                for each in [row] if row else rows.values():
                    each.failed = True
                    each.note = "FAILED"
        metric = METRICS[comparison.metric]
        raw = figures.get(comparison.reference)
        for kind in kinds:
            if raw is None or kind not in figures:
                continue
            rows[kind].ours.append(metric(figures[kind]))
            rows[kind].raw.append(metric(raw))
            by_cpu = METRICS["req per CPU s"]
            if raw["server_cpu_ns"] > 0 and figures[kind]["server_cpu_ns"] > 0:
                rows[kind].cpu_ratios.append(by_cpu(figures[kind]) / by_cpu(raw))

    def _measure(self, comparison, kind):
        self.progress(".")
        cores = Cores(self.cores or comparison.cores)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = str(pathlib.Path(folder) / "socket")
            workload = comparison.workload_of(kind)
            address = path if workload.unix else "0"
            with Server(self._command(kind, address), cores, path) as server:
                return run_load(self.load, workload, server, cores, self.seconds)


def stop_latency(runner, scenario):
    """Milliseconds, and the share of the target that is used up."""
    program = next((path for path in (runner.build / "bench" / "stop_latency",
                                      runner.build / "stop_latency") if path.exists()), None)
    if program is None:
        return [Row(scenario.name, "", "ms", note="not built: stop_latency")]
    try:
        done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        row = Row(scenario.name, "", "ms", note=f"FAILED: {error}")
        row.failed = True
        return [row]
    rows = []
    for line in done.stdout.splitlines():
        policy, median, worst = line.split()
        rows.append(limited(scenario, policy, "ms", float(median), 1.0, f"max {worst} ms"))
    return rows


def compile_time(runner, scenario):
    source = pathlib.Path(__file__).resolve().parents[2]
    example = source / "examples" / "echo.cpp"
    if not example.exists():
        return [Row(scenario.name, "", "s", note="no examples/echo.cpp")]
    cache = runner.build / "CMakeCache.txt"
    found = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache.read_text(), re.M)
    argv = [found.group(1) if found else "c++", "-std=c++20", "-O2", f"-I{source / 'include'}",
            f"-I{runner.build / 'include'}", "-c", str(example), "-o", "/dev/null"]
    times = []
    cpu_before = _children_cpu()
    for _ in range(max(3, runner.rounds)):
        runner.progress(".")
        began = time.monotonic()
        try:
            subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
        except subprocess.SubprocessError as error:
            row = Row(scenario.name, "", "s", note=f"FAILED: {error} {error.stderr or ''}"[:300])
            row.failed = True
            return [row]
        times.append(time.monotonic() - began)
    return [limited(scenario, "examples/echo.cpp", "s", statistics.median(times), 2.0,
                    f"{min(times):.2f} to {max(times):.2f} s, of the CPU "
                    f"{(_children_cpu() - cpu_before) / len(times):.2f} s")]


def held_connections(runner, scenario):
    row = Row(scenario.name, "", "")
    try:
        row.note = held.run(runner)
    except BenchError as error:
        runner.progress(f"\nFAILED: {error}\n")
        row.failed = True
        row.note = "FAILED"
    return [row]


def app(runner, scenario):
    """A program of examples/apps beside a server of the same kind."""
    load = apps.LOADS[scenario.name](runner.build)
    row = Row(scenario.name, load.label, "req per CPU s", load.target)
    if load.missing:
        row.note = f"not built: {', '.join(load.missing)}"
        return [row]
    by_cpu = METRICS["req per CPU s"]
    cores = Cores(runner.cores or "same")
    for number in range(runner.rounds):
        order = (True, False) if number % 2 else (False, True)
        runner.progress("..")
        try:
            found = {is_ours: by_cpu(load.measure(is_ours, runner.seconds, cores))
                     for is_ours in order}
        except BenchError as error:
            runner.progress(f"\nFAILED: {error}\n")
            row.failed = True
            row.note = "FAILED"
            break
        row.ours.append(found[True])
        row.raw.append(found[False])
    return [row]


def _children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def limited(scenario, label, unit, value, limit, detail):
    row = Row(scenario.name, label, unit)
    row.note = f"{value:.3g} {unit}, {detail}; target < {limit:g} {unit}: " + (
        "met" if value < limit else "MISSED")
    row.ours = [value]
    row.met = lambda: value < limit
    return row


SPECIAL = {"stop_latency": stop_latency, "compile_time": compile_time, "held": held_connections,
           "app": app}
