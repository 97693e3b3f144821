"""What every place for output has in common."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Hashable
from typing import NamedTuple, Protocol


class Origin(NamedTuple):
    """Where output comes from."""

    pid: int
    channel: str
    """`stdout` or `stderr`."""


class Sink(Protocol):
    """A place for output; written to by one thread only, that of its lane."""

    lane: Hashable
    """Sinks that can only be slow together have equal lanes, and share a thread."""
    waits: float
    """Seconds that a process waits for a slow sink; then its output is dropped and counted."""
    plain: bool
    """Whether bytes go there as they are, whichever process they are from."""

    def write(self, data: bytes, origin: Origin) -> None:
        """Writes whole lines of one process. Raises OSError, or Unwritten for a part of it."""
        ...

    def reopen(self) -> None:
        """The file may have been renamed: open it anew."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class Unwritten(OSError):
    """A write that came to an end early; `left` bytes were not written."""

    def __init__(self, error: OSError, left: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.left = left


def write_all(fd: int, data: bytes) -> None:
    """Writes all of it, however long that takes. Raises Unwritten."""
    done = 0
    view = memoryview(data)
    while done < len(data):
        try:
            done += os.write(fd, view[done:])
        except BlockingIOError:
            # Somebody else made the description non-blocking; this thread may wait.
            select.select([], [fd], [])
        except OSError as error:
            raise Unwritten(error, len(data) - done) from None


def prefixed(data: bytes, time_format: str, pid: int) -> bytes:
    """Each line with `TIME [PID] | ` before it, and with an end."""
    prefix = f"{time.strftime(time_format)} [{pid}] | ".encode()
    lines = data.removesuffix(b"\n")
    return prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"
