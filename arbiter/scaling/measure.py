"""How busy processes are: workers by their scoreboard slots, others by their CPU time."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from chaussette.arbiter.process import Process
from chaussette.arbiter.tree import descendants
from chaussette.busyness import Track, follow, threads_of
from chaussette.settings.watcher import WatcherSettings

_TICKS = os.sysconf("SC_CLK_TCK")


class Gauge:
    """How busy the processes of one watcher are, from one look to the next."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._cpu: dict[int, tuple[int, int]] = {}

    def busy(self, processes: Sequence[Process], now_ns: int, concurrency: int) -> float | None:
        """The average since the last look; None where there is nobody to compare with."""
        known = {process.pid for process in processes}
        for table in (self._tracks, self._cpu):
            for pid in table.keys() - known:
                del table[pid]
        shares = [self._share(process, now_ns, concurrency) for process in processes]
        found = [share for share in shares if share is not None]
        return sum(found) / len(found) if found else None

    def _share(self, process: Process, now_ns: int, concurrency: int) -> float | None:
        view = process.slot.read() if process.slot is not None else None
        # A program that never touched its slot is none of ours.
        if view is None or not view.pid:
            return self._cpu_share(process.pid, now_ns, concurrency)
        before = self._tracks.get(process.pid)
        if before is None:
            self._tracks[process.pid] = Track(now_ns, view.requests, view.busy_ns, view.in_flight)
            return None
        self._tracks[process.pid], share = follow(before, view, now_ns, concurrency)
        return share

    def _cpu_share(self, pid: int, now_ns: int, concurrency: int) -> float | None:
        used = cpu_ns((pid, *descendants(pid)))
        before = self._cpu.get(pid)
        self._cpu[pid] = (now_ns, used)
        if before is None or now_ns <= before[0]:
            return None
        share = (used - before[1]) / (now_ns - before[0]) / concurrency
        return min(1.0, max(0.0, share))


def cpu_ns(pids: Iterable[int]) -> int:
    """CPU time of processes and of children that they have waited for; see proc_pid_stat(5)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks * 1_000_000_000 // _TICKS


def concurrency_of(settings: WatcherSettings) -> int:
    """How many requests one process takes at a time: as set, or the command's --threads."""
    if settings.scale_concurrency:
        return settings.scale_concurrency
    words: Sequence[str] = settings.argv
    if not words:
        with contextlib.suppress(ValueError):
            words = shlex.split(f"{settings.cmd} {settings.args}")
    return threads_of(words)
