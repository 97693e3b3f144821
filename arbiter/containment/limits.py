"""From settings to the contents of control files, and from control files to figures.

Pure: what is written where is decided here, and written in group.py. Files are
those of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst of the kernel), and
of v1 for what best-effort makes of a machine that has only those controllers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chaussette.settings.kinds import show
from chaussette.settings.watcher import LIMITS, WatcherSettings

PERIOD = 100_000
"""Microseconds, the kernel's default for cpu.max."""
CONTROLLERS = {name: name.partition("_")[0] for name in LIMITS}
"""The settings that are limits, and the controller that each needs."""


@dataclass(frozen=True)
class Limit:
    """One limit that is set: the setting, and what is written into which files."""

    setting: str
    value: str
    controller: str
    files: Mapping[str, str]
    legacy_files: Mapping[str, str]
    """The same in v1; empty where v1 has nothing like it."""

    def __str__(self) -> str:
        return f"{self.setting} = {self.value}"


def limits_of(settings: WatcherSettings) -> list[Limit]:
    """The limits that a watcher has, in the order of the settings."""
    limits = []
    for name, controller in CONTROLLERS.items():
        value = getattr(settings, name)
        if value is not None:
            files, legacy = _files(name, value)
            limits.append(Limit(name, show(value), controller, files, legacy))
    return limits


_UNLIMITED = {
    "memory.max": "max",
    "memory.high": "max",
    "cpu.max": f"max {PERIOD}",
    "cpu.weight": "100",
    "pids.max": "max",
    "io.weight": "default 100",
    "memory.limit_in_bytes": "-1",
    "cpu.cfs_period_us": str(PERIOD),
    "cpu.cfs_quota_us": "-1",
    "cpu.shares": "1024",
}


def writes(now: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """What is to be written so that the files say `now`; what is limited no more is freed."""
    freed = {name: _UNLIMITED[name] for name in before if name not in now}
    return {**freed, **{name: text for name, text in now.items() if before.get(name) != text}}


def _files(name: str, value: float) -> tuple[dict[str, str], dict[str, str]]:
    match name:
        case "memory_max":
            return {"memory.max": str(value)}, {"memory.limit_in_bytes": str(value)}
        case "memory_high":
            # v1's soft limit only says who is asked first when the machine runs out.
            return {"memory.high": str(value)}, {}
        case "pids_max":
            return {"pids.max": str(value)}, {"pids.max": str(value)}
        case "cpu_max":
            quota = str(round(value * PERIOD))
            return (
                {"cpu.max": f"{quota} {PERIOD}"},
                {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": quota},
            )
        case "cpu_weight":
            return {"cpu.weight": str(value)}, {"cpu.shares": str(shares_of(int(value)))}
        case _:
            return {"io.weight": f"default {value}"}, {}


def shares_of(weight: int) -> int:
    """v1's cpu.shares for a weight: 1024 there is 100 here, and 2 is the least."""
    return max(2, round(weight * 1024 / 100))


def oom_kills(text: str) -> int:
    """How many processes the kernel has ended for memory: memory.events, memory.oom_control."""
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.strip().isdecimal():
            return int(count)
    return 0


def is_populated(text: str) -> bool:
    """Whether a process lives in a group or below: cgroup.events."""
    return "populated 1" in text.splitlines()


Pressure = dict[str, dict[str, float]]


def parse_pressure(text: str) -> Pressure:
    """`some` and `full` of a pressure file; averages in percent, `total` in microseconds.

    Lines that are none of these are left out; see Documentation/accounting/psi.rst.
    """
    found: Pressure = {}
    for line in text.splitlines():
        kind, *words = line.split()[:16] or [""]
        pairs = [word.partition("=") for word in words]
        if kind in ("some", "full"):
            found[kind] = {name: float(value) for name, _, value in pairs if _is_number(value)}
    return found


def _is_number(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isascii() and whole.isdecimal() and (not part or part.isdecimal())
