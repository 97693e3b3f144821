"""Output into the arbiter's own: plain, or with time, pid and colour.

A terminal that is stopped, or a pipe that nobody reads, must not stop services:
what does not fit into the queue is dropped, and counted.
"""

from __future__ import annotations

import os
from collections.abc import Hashable

from chaussette.arbiter.sinks.base import Origin, prefixed, write_all
from chaussette.settings.streams import COLORS, FancyStdoutOptions


class StdoutStream:
    """The arbiter's own standard output or error."""

    waits = 0.0
    plain = True

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lane = fd_lane(fd)

    def write(self, data: bytes, origin: Origin) -> None:
        """Writes all of it, however long the reader takes."""
        del origin
        write_all(self._fd, data)

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """The descriptor is not ours to close."""


class FancyStdoutStream(StdoutStream):
    """The arbiter's own output, each line in colour with time and pid."""

    plain = False

    def __init__(self, fd: int, options: FancyStdoutOptions, nth: int = 0) -> None:
        super().__init__(fd)
        color = options.color or COLORS[nth % len(COLORS)]
        self._start = f"\033[0;3{COLORS.index(color) + 1};40m".encode()
        self._time_format = options.time_format

    def write(self, data: bytes, origin: Origin) -> None:
        """Writes each line that is not empty."""
        lines = b"\n".join(line for line in data.split(b"\n") if line)
        if lines:
            text = prefixed(lines, self._time_format, origin.pid)
            text = self._start + text.removesuffix(b"\n").replace(b"\n", b"\033[0m\n" + self._start)
            super().write(text + b"\033[0m\n", origin)


def fd_lane(fd: int) -> Hashable:
    """Descriptors of one file share a lane, so that the order of what is written stays."""
    about = os.fstat(fd)
    return ("fd", about.st_dev, about.st_ino)
