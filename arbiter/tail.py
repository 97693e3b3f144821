"""The last output of each process, kept in memory, and handed to who follows it live.

A ring per stream holds the chunks that went to the sink anyway, so keeping them
costs a reference and, for big ones, a copy of their end. Nothing is counted or
encoded unless somebody follows. A follower gets what a person can read; what is
beyond is left out, and the number of lines that were is told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.sinks.base import Origin
from chaussette.settings.watcher import WatcherSettings

OVERHEAD = 120
"""Bytes that one kept chunk takes beside its content."""
SMALLEST_SHARE = 2048
ENDED = 4
"""Ended processes of a watcher whose last output is kept."""
WATCHERS_GONE = 64
"""Watchers without processes whose last output is kept."""
PACE = 0.05
"""Seconds between two messages about a stream that writes more than can be read."""
MESSAGE = 32768
"""Bytes of the longest message."""
BUDGET = 2**18
"""Bytes for all followers within PACE."""


_NOTHING: deque[tuple[float, bytes]] = deque()
"""The chunks of a silent process: a deque of its own would take 600 bytes."""


@dataclass(frozen=True)
class Line:
    """One line of output, without its end."""

    watcher: str
    pid: int
    stream: str
    time: float
    text: str

    def as_fields(self) -> dict[str, object]:
        """The line as a client gets it."""
        return dict(vars(self))


class Ring:
    """The end of one stream of one process; an outlet's Tap."""

    def __init__(self, table: TailTable, watcher: str, origin: Origin, share: int) -> None:
        self.watcher = watcher
        self.origin = origin
        self.topic = topic_of(watcher, origin)
        self.offset = 0
        """Bytes that have passed."""
        self.live = False
        self.seen = 0
        """Lines that have passed while somebody followed."""
        self.told = 0
        """Lines of these that were sent, or told to be left out."""
        self.unsent = 0
        """Bytes that have passed since the last message."""
        self.timer: Timer | None = None
        self._table = table
        self._share = share
        self._chunks = _NOTHING
        self._size = 0

    def add(self, data: bytes) -> None:
        """Keeps what has passed, and lets go of the oldest."""
        self.offset += len(data)
        if self._chunks is _NOTHING:
            self._chunks = deque()
        kept = data if len(data) <= self._share else data[-self._share :]
        self._chunks.append((time.time(), kept))
        self._size += len(kept) + OVERHEAD
        while self._size > self._share and len(self._chunks) > 1:
            self._size -= len(self._chunks.popleft()[1]) + OVERHEAD
        if self.live:
            self._table.passed(self, data)

    def end(self, size: int) -> bytes:
        """The last bytes, at most `size`, and not more than are kept."""
        parts: list[bytes] = []
        for _, chunk in reversed(self._chunks):
            if size <= 0:
                break
            parts.append(chunk[-size:])
            size -= len(chunk)
        return b"".join(reversed(parts))

    def lines(self, count: int) -> list[Line]:
        """The last lines, oldest first; the time is that of a line's chunk."""
        found: list[Line] = []
        rest = b""
        for when, chunk in reversed(self._chunks):
            if len(found) > count:
                break
            head, newline, tail = (chunk + rest).partition(b"\n")
            rest = head
            if newline:
                found += [self._line(when, one) for one in reversed(_split(tail))]
        if len(found) < count and rest:
            # Where the beginning was let go of, this is the end of a line.
            found.append(self._line(self._chunks[0][0], rest))
        return found[:count][::-1]

    def _line(self, when: float, text: bytes) -> Line:
        return Line(
            self.watcher,
            self.origin.pid,
            self.origin.channel,
            when,
            text.decode("utf-8", "backslashreplace"),
        )


class TailTable:
    """All rings of an arbiter."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._rings: dict[str, dict[int, list[Ring]]] = {}
        self._ended: dict[str, deque[list[Ring]]] = {}
        self._topics: tuple[bytes, ...] = ()
        self._send: Callable[[bytes, Mapping[str, object]], None] | None = None
        self._window = (0.0, 0)

    def ring(self, settings: WatcherSettings, origin: Origin) -> Ring | None:
        """A ring for a stream of a new process; None where nothing shall be kept."""
        if not settings.tail_bytes:
            return None
        share = settings.tail_bytes // (2 * max(1, settings.numprocesses))
        ring = Ring(self, settings.name, origin, max(share, SMALLEST_SHARE))
        self._rings.setdefault(settings.name, {}).setdefault(origin.pid, []).append(ring)
        self._set_live(ring)
        return ring

    def gone(self, watcher: str, pid: int) -> None:
        """A process has ended: its last output is kept for a while."""
        rings = self._rings.get(watcher, {}).pop(pid, None)
        if not rings:
            return
        ended = self._ended.pop(watcher, None) or deque(maxlen=ENDED)
        ended.append(rings)
        self._ended[watcher] = ended
        if not self._rings[watcher]:
            del self._rings[watcher]
        # Oldest first, since each watcher is put at the end when one of it ends.
        for name in list(self._ended)[:-WATCHERS_GONE]:
            if name not in self._rings:
                del self._ended[name]

    def lines(
        self, watchers: Iterable[str], count: int, stream: str = "", pid: int | None = None
    ) -> list[Line]:
        """The last lines of each stream, in the order of their time."""
        found = [line for ring in self._chosen(watchers, stream, pid) for line in ring.lines(count)]
        return sorted(found, key=lambda line: line.time)

    def offsets(
        self, watchers: Iterable[str], stream: str = "", pid: int | None = None
    ) -> dict[str, int]:
        """How far each stream has come, by topic."""
        return {ring.topic.decode(): ring.offset for ring in self._chosen(watchers, stream, pid)}

    # -- live ---------------------------------------------------------------------

    def follow(
        self, topics: Iterable[bytes], send: Callable[[bytes, Mapping[str, object]], None]
    ) -> None:
        """From now on, `send` gets what streams with these topics put out; none: nobody does."""
        self._topics = tuple(topics)
        self._send = send
        for by_pid in self._rings.values():
            for rings in by_pid.values():
                for ring in rings:
                    self._set_live(ring)

    def passed(self, ring: Ring, data: bytes) -> None:
        """A stream that is followed has put something out."""
        ring.seen += data.count(b"\n")
        ring.unsent += len(data)
        if ring.timer is not None:
            return
        now = self._loop.clock()
        began, spent = self._window
        if now - began >= PACE:
            began, spent = now, 0
        if ring.unsent <= MESSAGE and spent + ring.unsent <= BUDGET:
            self._window = (began, spent + ring.unsent)
            self._tell(ring)
        else:
            ring.timer = self._loop.after(PACE, lambda: self._tell(ring))

    def _tell(self, ring: Ring) -> None:
        """Sends what is new; where that is too much, its end and how many lines are missing."""
        ring.timer = None
        size = min(ring.unsent, MESSAGE)
        data = ring.end(size)
        if len(data) < ring.unsent:
            # What is left of a line is of no use, and its first character may be torn.
            data = data[data.find(b"\n") + 1 :]
        lines = data.count(b"\n")
        lost = ring.seen - ring.told - lines
        ring.told, ring.unsent = ring.seen, 0
        if self._send is not None and ring.live:
            fields = {
                "watcher": ring.watcher,
                "pid": ring.origin.pid,
                "stream": ring.origin.channel,
                "time": time.time(),
                "data": data.decode("utf-8", "backslashreplace"),
                "lost": max(0, lost),
                "lines": ring.seen,
                "offset": ring.offset,
            }
            self._send(ring.topic, fields)

    def _set_live(self, ring: Ring) -> None:
        live = any(ring.topic.startswith(topic) for topic in self._topics)
        if live and not ring.live:
            ring.told, ring.unsent = ring.seen, 0
        ring.live = live

    def _chosen(self, watchers: Iterable[str], stream: str, pid: int | None) -> Iterator[Ring]:
        for watcher in watchers:
            now = self._rings.get(watcher, {}).values()
            for rings in (*self._ended.get(watcher, ()), *now):
                for ring in rings:
                    if stream in ("", ring.origin.channel) and pid in (None, ring.origin.pid):
                        yield ring


def topic_of(watcher: str, origin: Origin) -> bytes:
    """`output.WATCHER.PID.STREAM`, the name as in the topics of events."""
    name = watcher.lower().replace(" ", "_")
    return f"output.{name}.{origin.pid}.{origin.channel}".encode()


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]
