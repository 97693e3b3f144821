"""Facts about processes, from /proc: what the arbiter and circusd-stats tell of them.

One read of /proc/PID/stat gives nearly all (proc_pid_stat(5)); what cannot change
is found out once for each process. It starts no process and knows no watcher.
psutil gives the same figures with several reads for each process, and with 25 ms
and 8 MB for its import; so this is written out.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SETTLED = 2.0
"""Seconds after which a process has become the program that it was started for."""
_UNITS = ("K", "M", "G", "T", "P")


@dataclass
class _Known:
    """What is remembered of one process between two looks at it."""

    started: int
    username: str = ""
    cmdline: str = ""
    settled: bool = False
    cpu_ticks: int = 0
    looked: float = 0.0


_FIRST_SWEEP = 1024
"""Processes that are remembered before those that have gone are looked for."""


class Facts:
    """Looks at processes, and remembers what CPU they had used the last time."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._sweep_at = _FIRST_SWEEP
        self._boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._memory = _PAGE * os.sysconf("SC_PHYS_PAGES")

    def of(self, pid: int) -> dict[str, object] | None:
        """Circus's keys for one process, without its children; None when it has gone.

        Ours beside them: `rss` and `vms` in bytes, `threads`, `cpu_time` in seconds.
        """
        try:
            text = read(f"/proc/{pid}/stat")
            fields = text[text.rindex(b")") + 2 :].split()
            ticks, started = int(fields[11]) + int(fields[12]), int(fields[19])
            known = self._remember(pid, started)
        except (OSError, ValueError, IndexError):
            self._known.pop(pid, None)
            return None
        resident = int(fields[21]) * _PAGE
        created = self._boot + started / _TICKS
        return {
            "mem_info1": human(resident),
            "mem_info2": human(int(fields[20])),
            "cpu": self._cpu(known, ticks),
            "mem": round(100 * resident / self._memory, 3),
            "ctime": _clock(ticks / _TICKS),
            "pid": pid,
            "username": known.username,
            "nice": int(fields[16]) if fields[0] != b"Z" else "Zombie",
            "create_time": round(created, 2),
            "age": max(0.0, time.time() - created),
            "cmdline": known.cmdline,
            "children": [],
            "rss": resident,
            "vms": int(fields[20]),
            "threads": int(fields[17]),
            "cpu_time": ticks / _TICKS,
        }

    def _remember(self, pid: int, started: int) -> _Known:
        known = self._known.get(pid)
        if known is None or known.started != started:
            self._make_room()
            known = self._known[pid] = _Known(started)
        if not known.settled:
            known.username = _user(os.stat(f"/proc/{pid}").st_uid)
            known.cmdline = _program(pid)
            known.settled = time.time() - self._boot - started / _TICKS > _SETTLED
        return known

    def _make_room(self) -> None:
        """Forgets those that have gone, each time that twice as many are remembered."""
        if len(self._known) < self._sweep_at:
            return
        self._known = {
            pid: known for pid, known in self._known.items() if os.path.exists(f"/proc/{pid}")
        }
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._known))

    def _cpu(self, known: _Known, ticks: int) -> float:
        now = time.monotonic()
        before, known.looked = known.looked, now
        used, known.cpu_ticks = ticks - known.cpu_ticks, ticks
        if not before or now <= before:
            return 0.0
        return round(100 * used / _TICKS / (now - before), 1)


def pss_of(pid: int) -> int | None:
    """Bytes of memory, with a page that n processes share counted as 1/n; None: not to be read.

    The kernel walks all the pages for it, milliseconds for a large process: see
    smaps_rollup in proc_pid_smaps(5).
    """
    with contextlib.suppress(OSError, ValueError):
        for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
            key, _, value = line.partition(b":")
            if key == b"Pss":
                return int(value.split()[0]) * 1024
    return None


def human(size: int) -> str:
    """A number of bytes as Circus writes it: 3.14M."""
    for power in range(len(_UNITS), 0, -1):
        if size >= 1 << 10 * power:
            return f"{size / (1 << 10 * power):.2f}{_UNITS[power - 1]}"
    return f"{size}B"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:05.2f}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        word = read(f"/proc/{pid}/cmdline").split(b"\0")[0].split()[:1]
        if word:
            return os.path.basename(os.fsdecode(word[0])).encode("utf-8", "replace").decode()
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    return "N/A"


def read(path: str) -> bytes:
    """A file of /proc in one read; open() would stat it and seek in it, too."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
