# SPDX-License-Identifier: MIT
"""The table."""

import statistics

HEADINGS = ("scenario", "server", "metric", "ours", "raw", "ratio", "min-max", "CPU ratio",
            "target")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cells(row):
    ratios = row.ratios()
    head = (row.scenario, row.label, row.metric)
    if row.note or not ratios:
        return (*head, row.note or "no figures")
    target = "" if row.target is None else f"{row.target:.2f} {'met' if row.met() else 'MISSED'}"
    cpu = f"{statistics.median(row.cpu_ratios):.2f}" if row.cpu_ratios else ""
    return (*head, number(statistics.median(row.ours)), number(statistics.median(row.raw)),
            f"{statistics.median(ratios):.3f}", f"{min(ratios):.2f}-{max(ratios):.2f}", cpu, target)


def table(rows):
    lines = [HEADINGS, *(cells(row) for row in rows)]
    # A note stands in for the figures: it must not widen their column.
    width = [max(len(line[i]) for line in lines if len(line) > 4 or i < 3 and len(line) > i)
             for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(text.ljust(size) if i < 3 or len(line) == 4 else text.rjust(size)
                  for i, (text, size) in enumerate(zip(line, width))).rstrip()
        for line in lines)
