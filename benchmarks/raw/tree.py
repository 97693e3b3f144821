"""What a process and all below it have used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ops import proc

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU time (proc(5): utime, stime, and those of ended children)."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.user + self.system

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)


def family(pid: int) -> list[int]:
    """The process and all below it."""
    return [pid, *proc.descendants(pid)]


def cpu(pid: int) -> Cpu:
    """What the whole family has used so far. The kernel counts in ticks of 10 ms."""
    user = system = 0
    for one in family(pid):
        try:
            words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile; its parent has its ticks now
        user += int(words[11]) + int(words[13])
        system += int(words[12]) + int(words[14])
    return Cpu(user * TICK_S, system * TICK_S)


def machine_busy() -> float:
    """Seconds in which any core did anything, or was taken from us by the host (proc(5): stat)."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, *interrupts = (int(word) for word in words[:8])
    return (user + nice + system + sum(interrupts)) * TICK_S


def memory_mib(pid: int) -> tuple[float, float]:
    """RSS and PSS of the whole family, in MiB; pages that it shares are in RSS several times."""
    pairs = [proc.memory_mib(one) for one in family(pid)]
    return sum(rss for rss, _ in pairs), sum(pss for _, pss in pairs)


def rss_mib(pid: int) -> float:
    """RSS of one process, in MiB."""
    return proc.memory_mib(pid)[0]
