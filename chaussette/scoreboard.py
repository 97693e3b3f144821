"""Shared memory in which each worker keeps its figures, one slot per worker.

A slot is one cache line of eight 64-bit words, written by its worker alone with
plain stores and read by anybody at any time. This module owns the layout. It
starts no process and knows no clock but the caller's.
"""

from __future__ import annotations

import enum
import mmap
import os
from collections.abc import Mapping

from chaussette.records import Record

SLOT_SIZE = 64
_WORDS = SLOT_SIZE // 8
_MASK = 2**64 - 1
ENVIRONMENT = "CHAUSSETTE_SCOREBOARD"


class WorkerState(enum.IntEnum):
    """What a worker says of itself."""

    EMPTY = 0
    BOOTING = 1
    SERVING = 2
    DRAINING = 3


class _Word(enum.IntEnum):
    """Index of each word within a slot."""

    STATE = 0
    PID = 1
    IN_FLIGHT = 2
    REQUESTS = 3
    BUSY_NS = 4
    BYTES_SENT = 5
    HEARTBEAT_NS = 6
    ERRORS = 7


class SlotView(Record):
    """One slot as it was read: counts, nanoseconds and bytes."""

    state: WorkerState
    pid: int
    in_flight: int
    requests: int
    busy_ns: int
    bytes_sent: int
    heartbeat_ns: int
    errors: int


class Slot:
    """The slot of one worker; all methods are a store or two and never fail."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    @property
    def words(self) -> memoryview:
        """The memory itself, for a backend in C; the order of the words is this module's."""
        return self._words

    def enter(self, state: WorkerState, pid: int, now_ns: int) -> None:
        """Says what the worker does now; this is a sign of life, too."""
        self._words[_Word.PID] = pid
        self._words[_Word.STATE] = int(state)
        self._words[_Word.HEARTBEAT_NS] = now_ns

    def beat(self, now_ns: int) -> None:
        """A sign of life: `now_ns` is time.monotonic_ns()."""
        self._words[_Word.HEARTBEAT_NS] = now_ns

    def begin(self) -> None:
        """A request has come."""
        self._words[_Word.IN_FLIGHT] += 1

    def end(self, busy_ns: int = 0, bytes_sent: int = 0, failed: bool = False) -> None:
        """A request is over."""
        words = self._words
        words[_Word.IN_FLIGHT] = max(0, words[_Word.IN_FLIGHT] - 1)
        words[_Word.REQUESTS] += 1
        words[_Word.BUSY_NS] = (words[_Word.BUSY_NS] + busy_ns) & _MASK
        words[_Word.BYTES_SENT] = (words[_Word.BYTES_SENT] + bytes_sent) & _MASK
        words[_Word.ERRORS] += failed

    def clear(self) -> None:
        """Makes the slot as new; its next worker starts from nothing."""
        for index in range(_WORDS):
            self._words[index] = 0

    def read(self) -> SlotView:
        """What the slot says now; words may be of different moments."""
        words = self._words
        return SlotView(
            state=WorkerState(words[_Word.STATE]),
            pid=words[_Word.PID],
            in_flight=words[_Word.IN_FLIGHT],
            requests=words[_Word.REQUESTS],
            busy_ns=words[_Word.BUSY_NS],
            bytes_sent=words[_Word.BYTES_SENT],
            heartbeat_ns=words[_Word.HEARTBEAT_NS],
            errors=words[_Word.ERRORS],
        )


class Scoreboard:
    """Slots in an anonymous file (memfd_create(2)) that workers inherit by number."""

    def __init__(self, fd: int, slots: int) -> None:
        self.fd = fd
        self.slots = slots
        self._map = mmap.mmap(fd, slots * SLOT_SIZE)
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, slots: int) -> Scoreboard:
        """A new one, all slots empty. The caller closes it."""
        fd = os.memfd_create("chaussette-scoreboard", os.MFD_CLOEXEC)
        os.ftruncate(fd, slots * SLOT_SIZE)
        return cls(fd, slots)

    def slot(self, index: int) -> Slot:
        """The slot at `index`; IndexError past the end."""
        if not 0 <= index < self.slots:
            raise IndexError(index)
        return Slot(self._words[index * _WORDS : (index + 1) * _WORDS])

    def close(self) -> None:
        """Closes the descriptor; the memory stays as long as a slot of it is held."""
        os.close(self.fd)

    def environment(self, index: int) -> str:
        """The value of CHAUSSETTE_SCOREBOARD for the worker of this slot."""
        return f"{self.fd}:{index}:{self.slots}"


class ScoreboardView:
    """Somebody else's scoreboard, to be read only. Raises OSError when it may not be.

    `path` leads to it: for the descriptor of another process, /proc/PID/fd/N.
    """

    def __init__(self, path: str, slots: int) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(fd, slots * SLOT_SIZE, prot=mmap.PROT_READ)
        except ValueError as error:  # it is something else, or smaller
            raise OSError(0, str(error)) from None
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")

    def workers(self) -> dict[int, SlotView]:
        """What each worker says, by its pid."""
        pids = self._words[_Word.PID :: _WORDS].tolist()
        return {
            pid: Slot(self._words[index * _WORDS : (index + 1) * _WORDS]).read()
            for index, pid in enumerate(pids)
            if pid
        }

    def close(self) -> None:
        """Lets go of the memory."""
        self._words.release()
        self._map.close()


def private_slot() -> Slot:
    """A slot in memory of its own, for a worker that nobody watches."""
    return Slot(memoryview(bytearray(SLOT_SIZE)).cast("Q"))


def slot_from_environment(environ: Mapping[str, str]) -> Slot:
    """The slot that the arbiter gave this process, or a private one.

    A value that leads to no scoreboard (another socket manager's leftovers)
    counts as none: a worker serves without its figures rather than not at all.
    """
    try:
        fd, index, slots = (int(part) for part in environ[ENVIRONMENT].split(":"))
        return Scoreboard(fd, slots).slot(index)
    except (KeyError, ValueError, OSError, IndexError):
        return private_slot()
