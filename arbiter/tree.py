"""The descendants of a process, held so that they cannot be mistaken.

Each is held by a pidfd that was opened while its parent was known: a number
that the kernel has given to somebody else meanwhile is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from chaussette.errors import ControlError


def descendants(pid: int) -> list[int]:
    """Pids of all children, and their children; see proc_pid_task(5)."""
    found: list[int] = []
    pending = [pid]
    while pending:
        for child in _children(pending.pop()):
            found.append(child)
            pending.append(child)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in os.listdir(f"/proc/{pid}/task"):
            text = Path(f"/proc/{pid}/task/{task}/children").read_text("ascii")
            children.extend(int(word) for word in text.split())
    return children


class Held:
    """Descendants that are to be signalled now and perhaps again later."""

    def __init__(self, pid: int) -> None:
        self._pidfds: list[int] = []
        for child in descendants(pid):
            with contextlib.suppress(OSError):
                self._pidfds.append(os.pidfd_open(child))

    def send(self, number: int) -> int:
        """Sends a signal to all that still live; returns how many did."""
        alive = 0
        for pidfd in self._pidfds:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(pidfd, number)
                alive += 1
        return alive

    def release(self) -> None:
        """Lets go of all of them."""
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._pidfds.clear()


def send_below(pid: int, number: int, child: int | None = None) -> None:
    """Sends a signal to the children of a process, or to one of its descendants.

    Raises ControlError when `child` is none of them.
    """
    below = descendants(pid) if child is not None else _children(pid)
    if child is not None and child not in below:
        raise ControlError(f"process {child} is no descendant of {pid}")
    for one in below if child is None else [child]:
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(one)
            try:
                if one in descendants(pid):  # it is still who it was
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)
