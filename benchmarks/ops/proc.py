"""What /proc says about a process. Linux only."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
KIB_PER_MIB = 1024.0


@dataclass(frozen=True)
class Cost:
    """What a process has used so far, all its threads together.

    `cpu_ns` is the scheduler's own count (schedstat), which is finer than the
    10 ms ticks of `ticks_s` (utime + stime).
    """

    cpu_ns: int
    ticks_s: float
    voluntary: int
    involuntary: int


def cost(pid: int) -> Cost:
    """Reads it now."""
    cpu_ns = voluntary = involuntary = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text().split()[0])
        status = _fields(task / "status")
        voluntary += int(status["voluntary_ctxt_switches"])
        involuntary += int(status["nonvoluntary_ctxt_switches"])
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(stat[11]) + int(stat[12])
    return Cost(cpu_ns, ticks / os.sysconf("SC_CLK_TCK"), voluntary, involuntary)


def memory_mib(pid: int) -> tuple[float, float]:
    """RSS and PSS, in MiB."""
    fields = _fields(Path(f"/proc/{pid}/smaps_rollup"))
    return tuple(int(fields[name].split()[0]) / KIB_PER_MIB for name in ("Rss", "Pss"))  # type: ignore[return-value]


def threads(pid: int) -> int:
    """How many threads it has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def children(pid: int) -> list[int]:
    """Its direct children."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[int]:
    """Its children, their children and so on."""
    found: list[int] = []
    queue = children(pid)
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children(one)
    return found


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose parent ends (prctl(2)).

    So whatever a manager leaves behind can be found and ended, and nobody
    else's processes can be hit.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _fields(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}
