"""A byte that ends a blocking wait: how another thread or a signal handler wakes a loop."""

from __future__ import annotations

import contextlib
import os

# As they are now: what eventlet puts into their place later would wait.
from os import read, write


class Waker:
    """A pipe; its reading end goes into the loop's selector. The owner closes it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """The end that becomes readable."""
        return self._read

    @property
    def write_end(self) -> int:
        """For signal.set_wakeup_fd."""
        return self._write

    def wake(self) -> None:
        """Ends the wait. A pipe that is full says so already."""
        with contextlib.suppress(BlockingIOError):
            write(self._write, b"\0")

    def clear(self) -> None:
        """Takes the bytes out, so that the next wait blocks."""
        with contextlib.suppress(BlockingIOError):
            while read(self._read, 4096):
                pass

    def close(self) -> None:
        """Gives both ends back."""
        os.close(self._read)
        os.close(self._write)
