"""Output into files that are rotated by the clock."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable

from chaussette.arbiter.sinks.base import Origin
from chaussette.arbiter.sinks.file import AppendedFile
from chaussette.settings.streams import TimedFileOptions

DAY = 86400
_UNITS = {
    "S": (1, "%Y%m%d%H%M%S", 14),
    "M": (60, "%Y%m%d%H%M", 12),
    "H": (3600, "%Y%m%d%H", 10),
    "D": (DAY, "%Y%m%d", 8),
}
"""Unit to its seconds, and to the format and length of the ending of an old file's name."""


class TimedRotatingFileStream(AppendedFile):
    """A file that is renamed to `FILE.TIME` at each turn of its clock.

    It is rotated by the first write after the turn, so a file that nobody
    writes to is left alone, and no timer wakes anybody up.
    """

    def __init__(
        self,
        options: TimedFileOptions,
        group: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(options, group)
        self._options = options
        self._clock = clock
        about = os.fstat(self._fd)
        self._began = about.st_mtime if about.st_size else clock()
        self._turn = next_turn(self._began, options)

    def write(self, data: bytes, origin: Origin) -> None:
        """Writes, renaming the old file first where its time is over."""
        now = self._clock()
        if now >= self._turn:
            self._rotate(now)
        super().write(data, origin)

    def _rotate(self, now: float) -> None:
        length = _unit(self._options)[2]
        name = f"{self.path}.{_ending(self._began, self._options)}"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.path, _free_name(name))
        self.reopen()
        self._began = now
        self._turn = next_turn(now, self._options)
        if self._options.backup_count:
            for old in _old_files(self.path, length)[: -self._options.backup_count]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(old)


def next_turn(now: float, options: TimedFileOptions) -> float:
    """When the file that is begun at `now` is over, in seconds since the epoch."""
    when = options.rotate_when
    if when != "MIDNIGHT" and not when.startswith("W"):
        return now + _unit(options)[0] * options.rotate_interval
    parts = time.gmtime(now) if options.utc else time.localtime(now)
    days = 1
    if when.startswith("W"):
        days = (int(when[1]) - parts.tm_wday) % 7 + 1
    days += (options.rotate_interval - 1) * (7 if when.startswith("W") else 1)
    if options.utc:
        return now - now % DAY + days * DAY
    # mktime(3) knows how long the days in between are.
    midnight = (parts.tm_year, parts.tm_mon, parts.tm_mday + days, 0, 0, 0, 0, 0, -1)
    return time.mktime(midnight)


def _unit(options: TimedFileOptions) -> tuple[int, str, int]:
    return _UNITS.get(options.rotate_when, _UNITS["D"])


def _ending(began: float, options: TimedFileOptions) -> str:
    parts = time.gmtime(began) if options.utc else time.localtime(began)
    return time.strftime(_unit(options)[1], parts)


def _free_name(name: str) -> str:
    """The name, or with a number behind it: no old file is overwritten."""
    free, number = name, 0
    while os.path.exists(free):
        number += 1
        free = f"{name}.{number}"
    return free


def _old_files(path: str, length: int) -> list[str]:
    """The old files of a stream, oldest first."""
    folder, base = os.path.split(path)
    pattern = re.compile(rf"{re.escape(base)}\.\d{{{length}}}(\.\d+)?")
    names = [name for name in os.listdir(folder or ".") if pattern.fullmatch(name)]
    return [os.path.join(folder, name) for name in sorted(names, key=_by_time)]


def _by_time(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\.(\d+)", name)
    return [(len(part), part) for part in parts]
