"""everything: what a circusd costs with all that it can do switched on, beside a plain one."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.ops import processes
from benchmarks.ops.managers import EVERYTHING, OURS
from benchmarks.ops.settings import Options, say

Row = dict[str, Any]
KINDS = (OURS, EVERYTHING)


def measure_everything(options: Options) -> list[Row]:
    """Respawn (ms), start (s), idle CPU and wake-ups, plain and with everything, in turns."""
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds):
        for kind in KINDS:
            row = processes.idle_cost(kind, options)
            values = {
                "respawn, ms": processes.respawn_times(kind, options.kills),
                f"start of {options.many}, s": [processes.start_time(kind, options.many)],
                "idle CPU, % of a core": [row["cpu_percent"]],
                "idle wake-ups/s": [row["wakeups_per_s"]],
                "RSS, MiB": [row["rss_mib"]],
            }
            for what, some in values.items():
                found.setdefault((what, kind), []).extend(some)
            say(f"everything {number + 1}/{options.rounds} {kind}: {values}")
    return [
        {"what": what, "circusd": kind, "median": round(statistics.median(some), 3),
         "min": round(min(some), 3), "max": round(max(some), 3), "n": len(some)}
        for (what, kind), some in sorted(found.items())
    ]  # fmt: skip
