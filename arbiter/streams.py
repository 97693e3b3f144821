"""Where the output of processes goes: sinks, and the thread that writes to them.

The arbiter's loop only reads pipes and queues bytes. A full or slow disk, or a
terminal that is stopped, holds the writer thread up and nobody else: what does
not fit into the queue is dropped, and counted, and said once there is room.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings.kinds import SIZE

log = logging.getLogger("chaussette.arbiter")
QUEUE_LIMIT = 16 * 2**20
"""Bytes that may wait for the writer."""


class Sink(Protocol):
    """A place for output; called in the writer thread only."""

    def write(self, data: bytes, pid: int) -> None:
        """Writes whole lines of one process. May raise OSError: they are lost then."""
        ...

    def reopen(self) -> None:
        """The file may have been renamed: open it anew."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class StdoutStream:
    """The arbiter's own standard output or error."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes, pid: int) -> None:  # noqa: ARG002
        """Writes all of it, however long the reader takes."""
        _write_all(self._fd, data)

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """The descriptor is not ours to close."""


class FileStream:
    """A file, with rotation by size: `.1` is the youngest of `backup_count` old ones.

    `time_format` (strftime) puts `TIME [PID] | ` before each line, as Circus does.
    """

    def __init__(
        self, filename: str, max_bytes: int = 0, backup_count: int = 0, time_format: str = ""
    ) -> None:
        self._path = filename
        self._max_bytes = max_bytes
        self._backups = backup_count
        self._time_format = time_format
        self._fd = self._open()

    def write(self, data: bytes, pid: int) -> None:
        """Writes, rotating first where the file would become too long."""
        if self._time_format:
            prefix = f"{time.strftime(self._time_format)} [{pid}] | ".encode()
            data = b"".join(prefix + line for line in data.splitlines(keepends=True))
        size = os.fstat(self._fd).st_size if self._max_bytes else 0
        while data:
            end = self._fitting(data, size)
            _write_all(self._fd, data[:end])
            data = data[end:]
            if data:
                self._rotate()
                size = 0

    def reopen(self) -> None:
        """Opens the file by name again, after somebody has renamed it."""
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)

    def _fitting(self, data: bytes, size: int) -> int:
        """How many of the bytes still fit, in whole lines; at least one line into an empty file."""
        room = self._max_bytes - size
        if not self._max_bytes or len(data) <= room:
            return len(data)
        end = data.rfind(b"\n", 0, max(0, room)) + 1
        if not end and not size:
            end = data.find(b"\n") + 1 or len(data)
        return end

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o644)

    def _rotate(self) -> None:
        for number in range(self._backups - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        if self._backups > 0:
            os.replace(self._path, f"{self._path}.1")
        else:
            os.truncate(self._path, 0)
        self.reopen()


class _Unopened(FileStream):
    """A file stream whose options are all right, and nothing more."""

    def _open(self) -> int:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


class Writer:
    """One thread and one bounded queue for all sinks of an arbiter."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._queue: deque[tuple[Sink, bytes, int]] = deque()
        self._pending = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._lost: dict[Sink, int] = {}
        self.dropped = 0
        """Bytes that were not written, since the start."""

    def put(self, sink: Sink, data: bytes, pid: int) -> bool:
        """Queues bytes for a sink; False when they were dropped."""
        with self._changed:
            if self._pending + len(data) > self._limit:
                self._lose(sink, data)
                return False
            self._queue.append((sink, data, pid))
            self._pending += len(data)
            if self._thread is None:
                self._start()
            self._changed.notify_all()
        return True

    def reopen(self, sink: Sink) -> None:
        """Has a sink reopened behind all that was queued for it before."""
        with self._changed:
            self._queue.append((_Reopen(sink), b"", 0))
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Waits until all is written, at most `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pending == 0 and not self._queue, timeout)

    def close(self, timeout: float) -> None:
        """Flushes and ends the thread; what is not written by then is lost."""
        self.flush(timeout)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                sink, data, pid = self._queue.popleft()
                lost = self._lost.pop(sink, 0) if data else 0
            try:
                if lost:
                    sink.write(f"[chaussette] {lost} bytes of output were lost\n".encode(), pid)
                    lost = 0
                sink.write(data, pid)
            except OSError as error:
                # A full disk or a closed terminal: service goes on, the loss is
                # counted and said by the next write there that succeeds.
                self._failed(sink, data, lost, error)
            with self._changed:
                self._pending -= len(data)
                self._changed.notify_all()

    def _failed(self, sink: Sink, data: bytes, lost: int, error: OSError) -> None:
        with self._changed:
            self._lose(sink, data)
            self._lost[sink] += lost
        if not lost:
            # Once, and never about its own loss: that would be one more.
            log.error("output cannot be written, and is dropped: %s", error)

    def _lose(self, sink: Sink, data: bytes) -> None:
        self._lost[sink] = self._lost.get(sink, 0) + len(data)
        self.dropped += len(data)


class _Reopen:
    """A request to reopen a sink, in the shape of a sink, to keep its place in the queue."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes, pid: int) -> None:  # noqa: ARG002
        self._sink.reopen()

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


class StreamTable:
    """The sinks of an arbiter; two watchers that name one file share one sink."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._sinks: dict[tuple[tuple[str, str], ...], Sink] = {}

    def sink(self, options: Mapping[str, str], channel: str) -> Sink:
        """The sink for the `stdout_stream.*` or `stderr_stream.*` options.

        `channel` is `stdout` or `stderr`. Raises ConfigError.
        """
        key = tuple(sorted({**options, "": "" if "filename" in options else channel}.items()))
        if key not in self._sinks:
            self._sinks[key] = make_sink(options, channel)
        return self._sinks[key]

    def reopen(self) -> None:
        """Has all sinks reopened (SIGUSR1)."""
        for sink in self._sinks.values():
            self.writer.reopen(sink)

    def close(self, timeout: float) -> None:
        """Writes what is queued and closes all sinks."""
        self.writer.close(timeout)
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()


def make_sink(options: Mapping[str, str], channel: str, only_check: bool = False) -> Sink:
    """A sink from its options; with `only_check`, one that opens no file. Raises ConfigError."""
    kind = options.get("class", "FileStream" if "filename" in options else "StdoutStream")
    if kind.rpartition(".")[2] == "StdoutStream":
        return StdoutStream(sys.stdout.fileno() if channel == "stdout" else sys.stderr.fileno())
    if kind.rpartition(".")[2] != "FileStream":
        known = ("FileStream", "StdoutStream")
        raise ConfigError(
            f"{channel}_stream.class = {kind!r}: expected one of {', '.join(known)}"
            + did_you_mean(kind, known)
        )
    if "filename" not in options:
        raise ConfigError(f"{channel}_stream: a FileStream needs {channel}_stream.filename")
    try:
        if only_check:
            _check_writable(options["filename"])
        return (_Unopened if only_check else FileStream)(
            options["filename"],
            SIZE.parse(options.get("max_bytes", "0")),
            int(options.get("backup_count", "0")),
            options.get("time_format", ""),
        )
    except ValueError:
        raise ConfigError(
            f"{channel}_stream: max_bytes and backup_count are whole numbers"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{channel}_stream.filename = {options['filename']!r}: {error.strerror}"
        ) from None


def _check_writable(path: str) -> None:
    """Raises OSError where the file could not be opened for writing, and makes none."""
    place = path if os.path.exists(path) else os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(place, os.W_OK):
        code = errno.EACCES if os.path.exists(place) else errno.ENOENT
        raise OSError(code, os.strerror(code))


def open_pipe() -> tuple[int, int]:
    """A pipe for one stream of a process: (our end, the process's end).

    The process's end is opened for reading, too (proc_pid_fd(5)): a writer whose
    own descriptor can read never gets EPIPE, so a process outlives the arbiter.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    both = os.open(f"/proc/self/fd/{theirs}", os.O_RDWR | os.O_CLOEXEC)
    os.close(theirs)
    return ours, both


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Somebody else made the description non-blocking; this thread may wait.
            _wait_writable(fd)


def _wait_writable(fd: int) -> None:
    import select  # only on this rare path

    select.select([], [fd], [])
