"""How a worker learns of a new job without asking the table all the time.

A named pipe beside the database: whoever adds a job writes one byte, a waiting
worker reads one byte and looks. A byte stays in the pipe until it is read, so
none is missed between looking and waiting. The bell is a hint, not the queue:
workers look by themselves now and then, for jobs from another machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from pathlib import Path
from types import FrameType, TracebackType

from django.conf import settings


def ring() -> None:
    """Wakes one worker on this machine, if one waits."""
    # ENXIO and ENOENT: no worker runs, the next looks first. EAGAIN: a full pipe
    # holds enough bytes to wake everybody.
    with contextlib.suppress(OSError):
        pipe = os.open(settings.JOBS_WAKE_FIFO, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, b"!")
        finally:
            os.close(pipe)


class Bell:
    """Waits for a byte in the pipe, or for SIGTERM or SIGINT.

    For the main thread, because only it may take signals.
    """

    def __init__(self, path: Path) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Read-write: with a writer of its own the pipe never reports its end.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self.stopped = False

    def __enter__(self) -> Bell:
        # warn_on_full_buffer: one byte is as good as many.
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._pipe)
        self._woken.close()
        self._wake.close()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopped = True

    def wait(self, seconds: float) -> None:
        """Returns when rung, told to stop, or after `seconds`."""
        if self.stopped:
            return
        select.select([self._pipe, self._woken], [], [], max(seconds, 0))
        # One byte only: others in the pipe are for other workers. One of them
        # may have been faster.
        with contextlib.suppress(BlockingIOError):
            os.read(self._pipe, 1)
