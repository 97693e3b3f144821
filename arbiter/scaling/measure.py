"""How busy processes are: workers by their scoreboard slots, others by their CPU time.

A slot counts the time of requests that have ended. One that runs would look
idle until its end, and like more than it can do then; so what is in flight is
credited as it goes, and the credit is taken off when the request ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaussette.arbiter.process import Process
from chaussette.arbiter.tree import descendants
from chaussette.scoreboard import SlotView
from chaussette.settings.watcher import WatcherSettings

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Track:
    """What was last seen of one worker. `credit_ns` is what requests in flight were given."""

    now_ns: int
    requests: int = 0
    busy_ns: int = 0
    in_flight: int = 0
    credit_ns: int = 0


def follow(track: Track, view: SlotView, now_ns: int, concurrency: int) -> tuple[Track, float]:
    """The next track, and how busy the worker was since: 0 to 1.

    Requests are taken to end in the order in which they came; one that is new and
    still runs, to be as old as others get, or half the span. What was wrong in
    that is set right when it ends.
    """
    span = now_ns - track.now_ns
    ended = max(0, view.requests - track.requests)
    known = max(0, view.busy_ns - track.busy_ns)
    old_ended = min(track.in_flight, ended)
    paid = track.credit_ns * old_ended // track.in_flight if track.in_flight else 0
    used = max(0, known - paid)
    old = min(track.in_flight - old_ended, view.in_flight)
    so_far = min(span // 2, known // ended) if ended else span // 2
    # With one thread, the next request comes when the one before has ended.
    room = max(0, concurrency * span - used)
    running = min(old * span + (view.in_flight - old) * so_far, room)
    after = Track(
        now_ns,
        view.requests,
        view.busy_ns,
        view.in_flight,
        track.credit_ns - paid + running if view.in_flight else 0,
    )
    return after, min(1.0, (used + running) / (concurrency * span)) if span > 0 else 0.0


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
    for word, after in itertools.pairwise((*words, "")):
        name, _, value = word.partition("=")
        if name == "--threads":
            text = value or after
            return int(text) if text.isdecimal() and int(text) else 1
    return 1
