"""Figures of a process that cost a read each: descriptors, context switches, input and output.

With many processes they are read in turn, so that a sample costs about one read
for each process, and the rest is bounded.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Mapping

from chaussette.facts import read

_SWITCHES = {
    b"voluntary_ctxt_switches": "ctx_voluntary",
    b"nonvoluntary_ctxt_switches": "ctx_involuntary",
}
_IO = {
    b"rchar": "io_read_chars",
    b"wchar": "io_write_chars",
    b"read_bytes": "io_read_bytes",
    b"write_bytes": "io_write_bytes",
}
_NONE: Mapping[str, int] = {}


def details_of(pid: int) -> dict[str, int]:
    """Figures of one process; without those that may not be read, or that it has no more."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        # Since Linux 6.2 the size of the directory is the number of its entries.
        place = f"/proc/{pid}/fd"
        found["fds"] = os.stat(place).st_size or len(os.listdir(place))
    for name, keys in (("status", _SWITCHES), ("io", _IO)):
        with contextlib.suppress(OSError, ValueError):
            for line in read(f"/proc/{pid}/{name}").splitlines():
                key, _, value = line.partition(b":")
                if key in keys:
                    found[keys[key]] = int(value)
    return found


class Turns:
    """Details of many processes, at most `share` of them read anew for each sample."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._found: dict[int, Mapping[str, int]] = {}
        self._queue: deque[int] = deque()

    def look(self, pids: Iterable[int]) -> None:
        """Reads those whose turn it is; forgets those that are not among the pids."""
        wanted = dict.fromkeys(pids)
        for pid in self._found.keys() - wanted.keys():
            del self._found[pid]
        for pid in wanted.keys() - self._found.keys():
            self._found[pid] = _NONE
            self._queue.appendleft(pid)
        turns = min(self._share, len(wanted))
        while turns and self._queue:
            pid = self._queue.popleft()
            if pid in self._found:
                self._found[pid] = details_of(pid)
                self._queue.append(pid)
                turns -= 1

    def of(self, pid: int) -> Mapping[str, int]:
        """What was last read of a process."""
        return self._found.get(pid, _NONE)
