"""The way of output from the loop to its sinks: queues, and threads that write.

The arbiter's loop only reads pipes and queues bytes. Sinks that can be slow
together (files of one file system, one terminal) share a lane: a queue and a
thread. When a lane is full, processes that write to a file wait, as they would
on the file itself, but for so long only (Sink.waits). Past that, and at once for a
terminal, a pipe or somebody's class, output is dropped, and counted, and said once
there is room. Other lanes go on in either case.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from chaussette.arbiter.sinks import make_sink
from chaussette.arbiter.sinks.base import Origin, Sink, Unwritten
from chaussette.arbiter.sinks.file import AppendedFile

log = logging.getLogger("chaussette.arbiter")
HOLD = 4 * 2**20
"""Bytes in a lane from which on readers wait, or output is dropped."""
LIMIT = 32 * 2**20
"""Bytes in a lane from which on all is dropped: last words of the dead cannot wait."""
STALLED = 1.0
"""Seconds for one write past which a lane counts as stuck; its end is not waited for."""
TOGETHER = 2**16
"""Bytes of short pieces that are written at a time; to join long ones would copy them."""

Item = tuple[Sink, bytes, Origin]


class Lane:
    """One queue, and one thread that writes what is in it."""

    def __init__(self, hold: int = HOLD, limit: int = LIMIT) -> None:
        self._hold = hold
        self._limit = limit
        self._queue: deque[Item] = deque()
        self._pending = 0
        self._busy = False
        self._ended = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waiting: list[Callable[[], None]] = []
        self._lost: dict[Sink, int] = {}
        self._began = 0.0
        self._given_up = False
        self.dropped = 0
        """Bytes that were not written, since the start."""

    def put(
        self, sink: Sink, parts: Sequence[bytes], origin: Origin, *, waited: bool = False
    ) -> bool:
        """Queues pieces of output, in a row; False when there is no room for more.

        Without room, what nobody waits for, or has `waited` for in vain, is dropped.
        """
        size = sum(map(len, parts))
        with self._changed:
            full = self._pending + size > self._hold
            if self._pending + size > self._limit or (full and (waited or not sink.waits)):
                self._lose(sink, size)
                return True
            self._add(*((sink, data, origin) for data in parts))
            self._pending += size
        return not full

    def when_room(self, callback: Callable[[], None]) -> None:
        """Calls back, in the lane's thread, once there is room again."""
        with self._changed:
            if self._pending > self._hold // 2:
                self._waiting.append(callback)
                return
        callback()

    def reopen(self, sink: Sink) -> None:
        """Has a sink reopened behind all that was queued for it before."""
        with self._changed:
            self._add((_Reopen(sink), b"", Origin(0, "")))

    def give_up(self, sink: Sink) -> None:
        """Somebody has waited for room in vain: said once, until there is room again."""
        with self._changed:
            said, self._given_up = self._given_up, True
        if not said:
            log.error("output is not written for %gs and more, and is dropped", sink.waits)

    def flush(self, timeout: float) -> bool:
        """Waits until all is written, at most `timeout` seconds, and for no write that is stuck.

        False when something is left.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._queue or self._busy:
                now = time.monotonic()
                until = min(deadline, self._began + STALLED)
                if now >= until:
                    return False
                self._changed.wait(until - now)
        return True

    def close(self, timeout: float) -> bool:
        """Flushes and ends the thread; False when something is lost, being stuck."""
        done = self.flush(timeout)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        return done

    # -- the thread -------------------------------------------------------------

    def _add(self, *items: Item) -> None:
        if not self._queue and not self._busy:
            self._began = time.monotonic()
        self._queue.extend(items)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                if not self._queue:
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                self._busy = True
                self._began = time.monotonic()
                sink, data, origin = self._take()
                lost = self._lost.pop(sink, 0) if data else 0
            try:
                if lost:
                    sink.write(f"[chaussette] {lost} bytes of output were lost\n".encode(), origin)
                    lost = 0
                sink.write(data, origin)
            except OSError as error:
                # A full disk or a closed terminal: service goes on, the loss is
                # counted and said by the next write there that succeeds.
                self._failed(sink, data, lost, error)
            self._written(len(data))

    def _take(self) -> Item:
        """The next thing to write; short pieces for one sink in one."""
        sink, data, origin = self._queue.popleft()
        if not data or not self._queue or len(data) >= TOGETHER:
            return sink, data, origin
        parts, size = [data], len(data)
        while self._queue:
            next_sink, more, whose = self._queue[0]
            if (
                size + len(more) > TOGETHER
                or next_sink is not sink
                or (whose != origin and not sink.plain)
            ):
                break
            self._queue.popleft()
            parts.append(more)
            size += len(more)
        return sink, b"".join(parts) if len(parts) > 1 else data, origin

    def _written(self, size: int) -> None:
        callbacks: list[Callable[[], None]] = []
        with self._changed:
            self._pending -= size
            if self._waiting and self._pending <= self._hold // 2:
                callbacks, self._waiting = self._waiting, []
                self._given_up = False
        for callback in callbacks:
            callback()

    def _failed(self, sink: Sink, data: bytes, lost: int, error: OSError) -> None:
        left = error.left if isinstance(error, Unwritten) and not lost else len(data)
        with self._changed:
            self._lose(sink, left)
            self._lost[sink] += lost
        if not lost:
            # Once, and never about its own loss: that would be one more.
            log.error("output cannot be written, and is dropped: %s", error)

    def _lose(self, sink: Sink, size: int) -> None:
        self._lost[sink] = self._lost.get(sink, 0) + size
        self.dropped += size


class Writer:
    """All lanes of an arbiter."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, Lane] = {}

    @property
    def dropped(self) -> int:
        """Bytes that were not written, since the start."""
        return sum(lane.dropped for lane in self._lanes.values())

    def lane(self, sink: Sink) -> Lane:
        """The lane of a sink."""
        lane = self._lanes.get(sink.lane)
        if lane is None:
            lane = self._lanes[sink.lane] = Lane()
        return lane

    def put(self, sink: Sink, data: bytes, origin: Origin) -> bool:
        """Queues bytes for a sink; False when there is no room for more."""
        return self.lane(sink).put(sink, (data,), origin)

    def close(self, timeout: float) -> set[Hashable]:
        """Flushes and ends all lanes, in `timeout` seconds together; returns what is stuck."""
        deadline = time.monotonic() + timeout
        return {
            name
            for name, lane in self._lanes.items()
            if not lane.close(max(0.0, deadline - time.monotonic()))
        }


class _Reopen:
    """A request to reopen a sink, in the shape of a sink, to keep its place in the queue."""

    waits = 0.0
    plain = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.lane = sink.lane

    def write(self, data: bytes, origin: Origin) -> None:
        del data, origin
        self._sink.reopen()

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


class StreamTable:
    """The sinks of an arbiter; two watchers that name one file share one sink."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._sinks: dict[Hashable, Sink] = {}

    def sink(
        self,
        options: Mapping[str, Any],
        channel: str,
        group: int | None = None,
        watcher: str = "",
    ) -> Sink:
        """The sink for the `stdout_stream.*` or `stderr_stream.*` options.

        `group` owns new files, `watcher` picks a colour. Raises ConfigError.
        """
        key = _key(options, channel, watcher)
        if key not in self._sinks:
            self._sinks[key] = make_sink(options, channel, group, nth=sum(watcher.encode()))
        return self._sinks[key]

    def reopen(self) -> None:
        """Has all sinks reopened (SIGUSR1)."""
        for sink in self._sinks.values():
            self.writer.lane(sink).reopen(sink)

    def close(self, timeout: float) -> None:
        """Writes what is queued and closes all sinks."""
        stuck = self.writer.close(timeout)
        for sink in self._sinks.values():
            if sink.lane in stuck and isinstance(sink, AppendedFile):
                # close(2) may hang, too; and the thread that is stuck has the descriptor.
                continue
            with contextlib.suppress(OSError):
                sink.close()
        self._sinks.clear()


def _key(options: Mapping[str, Any], channel: str, watcher: str) -> Hashable:
    if "filename" in options:
        # Also with other options: two that rotate one file would tear it apart.
        return ("file", os.path.abspath(options["filename"]))
    kind = str(options.get("class", ""))
    own = channel if "Stdout" in kind or not kind else ""
    colour = watcher if kind.endswith("FancyStdoutStream") else ""
    return (own, colour, *sorted((name, str(value)) for name, value in options.items()))


def open_pipe() -> tuple[int, int]:
    """A pipe for one stream of a process: (our end, the process's end).

    The process's end is opened for reading, too (proc_pid_fd(5)): a writer whose
    own descriptor can read never gets EPIPE, so a process outlives the arbiter.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    both = os.open(f"/proc/self/fd/{theirs}", os.O_RDWR | os.O_CLOEXEC)
    os.close(theirs)
    return ours, both
