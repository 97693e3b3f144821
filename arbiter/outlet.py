"""One pipe from one stream of one process, read in the loop, written by a lane."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
from typing import Protocol

from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.sinks.base import Origin, Sink
from chaussette.arbiter.streams import Lane

CHUNK = 65536
"""Bytes per read. More are slower: beyond malloc's threshold each buffer is mapped anew."""
BIG_PIPE = 2**20
"""Size of the pipe of a process that fills its own; see pipe(7) for its limits."""
ROUND = 2**19
"""Bytes per wake-up: enough for throughput, few enough to be fair to others."""
TURN = 0.001
"""Seconds per wake-up: on a busy machine the same bytes may take thirty times as long."""
LONGEST_LINE = 2**20
"""A line that is longer is passed on in parts."""
PATIENCE = 0.2
"""Seconds that the beginning of a line waits for its end."""


class Tap(Protocol):
    """Who else looks at the output as it passes."""

    def add(self, data: bytes) -> None:
        """Whole lines, or a part of a long one."""
        ...


class Outlet:
    """Reads a pipe until it ends, and passes whole lines on.

    Lines are kept whole so that processes that share a sink do not tear each
    other's apart; one that is not ended in time, or too long, is passed on as
    it is. When the lane is full, nothing is read until there is room, or the process
    has waited long enough; from then on, what there is no room for is dropped.
    """

    def __init__(
        self, loop: Loop, lane: Lane, sink: Sink, fd: int, origin: Origin, tap: Tap | None = None
    ) -> None:
        self._loop = loop
        self._lane = lane
        self._sink = sink
        self._fd = fd
        self._origin = origin
        self._tap = tap
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._tail_since = 0.0
        self._grown = False
        self._held = False
        self._waited = False
        self._limit: Timer | None = None
        self._timer: Timer | None = None
        loop.watch(fd, self.read)

    def read(self) -> None:
        """Reads what is there; ends the outlet when the last writer has gone.

        Descendants may hold the pipe longer than the process itself, so its
        exit alone does not end it.
        """
        left, until = ROUND, self._loop.clock() + TURN
        while left > 0 and self._fd >= 0 and not self._held:
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            left -= len(data)
            if not self._pass_on(data):
                self._hold()
            if len(data) == CHUNK and not self._grown:
                self._grow()
            if self._loop.clock() >= until:
                return

    def drain(self) -> None:
        """The process has ended: its last words are taken, whether there is room or not."""
        left = 2 * BIG_PIPE
        with contextlib.suppress(BlockingIOError):
            # Bounded: descendants may go on writing.
            while self._fd >= 0 and left > 0:
                if not (data := os.read(self._fd, CHUNK)):
                    self.close()
                    return
                left -= len(data)
                self._pass_on(data)

    def close(self) -> None:
        """Reads the rest, passes it on and closes the pipe."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._loop.forget(fd)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(fd, CHUNK):
                self._pass_on(data)
        os.close(fd)
        self._flush()

    # -- when there is too much ---------------------------------------------------

    def _grow(self) -> None:
        """A process that fills its pipe gets a bigger one: fewer wake-ups for both."""
        self._grown = True
        with contextlib.suppress(OSError):
            # Not allowed, or too many already: it stays as it is.
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, BIG_PIPE)

    def _hold(self) -> None:
        self._held = True
        self._loop.forget(self._fd)
        if self._sink.waits < math.inf:
            self._limit = self._loop.after(self._sink.waits, self._give_up)
        self._lane.when_room(self._room)

    def _give_up(self) -> None:
        """The process has waited long enough: it goes on, and its output is dropped."""
        self._limit = None
        if self._fd >= 0:
            self._waited = True
            self._lane.give_up(self._sink)
            self._resume()

    def _room(self) -> None:
        """Called in the lane's thread."""
        self._loop.soon(self._go_on)
        with contextlib.suppress(OSError):
            self._loop.wake()

    def _go_on(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if self._fd >= 0:
            self._waited = False
            self._resume()

    def _resume(self) -> None:
        self._held = False
        # Forgotten by _hold, and at most once: two calls may come for one end.
        self._loop.forget(self._fd)
        self._loop.watch(self._fd, self.read)

    # -- lines --------------------------------------------------------------------

    def _pass_on(self, data: bytes) -> bool:
        end = data.rfind(b"\n") + 1
        room = True
        if end == len(data) and not self._tail:
            room = self._put([data])
        elif end:
            parts, self._tail = [*self._tail, data[:end]], [data[end:]] if end < len(data) else []
            self._tail_size = len(data) - end
            self._tail_since = self._loop.clock()
            room = self._put(parts)
        else:
            if not self._tail:
                self._tail_since = self._loop.clock()
            self._tail.append(data)
            self._tail_size += len(data)
        if self._tail_size > LONGEST_LINE:
            room = self._flush() and room
        elif self._tail and self._timer is None:
            self._timer = self._loop.after(PATIENCE, self._flush_late)
        return room

    def _flush_late(self) -> None:
        self._timer = None
        wait = self._tail_since + PATIENCE - self._loop.clock()
        if wait > 0 or self._held:
            # It is of a later line than the timer; or its end waits in the pipe, and
            # one of the two parts might be dropped.
            self._timer = self._loop.after(wait if wait > 0 else PATIENCE, self._flush_late)
            return
        self._flush()

    def _flush(self) -> bool:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._tail:
            return True
        # The beginning of a character waits for its end, unless there is none.
        last = self._tail[-1] if len(self._tail[-1]) > 3 else b"".join(self._tail)
        cut = _unfinished(last) if self._fd >= 0 else 0
        parts = self._tail
        if last is not parts[-1]:
            parts = [last]
        self._tail, self._tail_size = [], 0
        if cut:
            parts[-1], rest = last[:-cut], last[-cut:]
            self._tail, self._tail_size = [rest], cut
        parts = [part for part in parts if part]
        return self._put(parts) if parts else True

    def _put(self, parts: list[bytes]) -> bool:
        if self._tap is not None:
            for part in parts:
                self._tap.add(part)
        # A sink that writes something of its own before each part must not do so within a line.
        if len(parts) > 1 and (not self._sink.plain or sum(map(len, parts)) < CHUNK):
            parts = [b"".join(parts)]
        return self._lane.put(self._sink, parts, self._origin, waited=self._waited)


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
