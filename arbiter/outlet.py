"""One pipe from one stream of one process, read in the loop, written by the writer."""

from __future__ import annotations

import os

from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.streams import Sink, Writer

CHUNK = 65536
ROUNDS = 16
"""Reads per wake-up: enough for throughput, few enough to be fair to others."""
PATIENCE = 0.2
"""Seconds that the beginning of a line waits for its end."""


class Outlet:
    """Reads a pipe until it ends, and passes whole lines on.

    Lines are kept whole so that processes that share a sink do not tear each
    other's apart; one that is not ended in time, or too long, is passed on as
    it is.
    """

    def __init__(self, loop: Loop, writer: Writer, sink: Sink, fd: int, pid: int) -> None:
        self._loop = loop
        self._writer = writer
        self._sink = sink
        self._fd = fd
        self._pid = pid
        self._tail = b""
        self._timer: Timer | None = None
        loop.watch(fd, self.read)

    def read(self) -> None:
        """Reads what is there; ends the outlet when the last writer has gone.

        Descendants may hold the pipe longer than the process itself, so its
        exit alone does not end it.
        """
        for _ in range(ROUNDS if self._fd >= 0 else 0):
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            self._pass_on(data)

    def close(self) -> None:
        """Reads the rest, passes it on and closes the pipe."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._loop.forget(fd)
        try:
            while data := os.read(fd, CHUNK):
                self._pass_on(data)
        except BlockingIOError:
            pass
        os.close(fd)
        self._flush()

    def _pass_on(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            self._writer.put(self._sink, self._tail + data[:end], self._pid)
            self._tail = data[end:]
        else:
            self._tail += data
        if len(self._tail) > CHUNK:
            self._flush()
        elif self._tail and self._timer is None:
            self._timer = self._loop.after(PATIENCE, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The beginning of a character waits for its end, unless there is none.
        cut = len(self._tail) - (_unfinished(self._tail) if self._fd >= 0 else 0)
        if cut:
            self._writer.put(self._sink, self._tail[:cut], self._pid)
            self._tail = self._tail[cut:]


def _unfinished(data: bytes) -> int:
    """How many bytes at the end are the beginning of a UTF-8 character."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
            return back if back < length else 0
        if byte < 0x80:
            return 0
    return 0
