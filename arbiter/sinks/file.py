"""Output into files: rotated by size, by others, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Hashable

from chaussette.arbiter.sinks.base import Origin, Unwritten, prefixed, write_all
from chaussette.settings.streams import FileOptions, WatchedFileOptions

OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Not blocking, or a FIFO without a reader (an error then, see fifo(7)) would hang the arbiter."""


class AppendedFile:
    """A file that is appended to.

    Where its processes run as another user, `group` is that user's group: a
    file made anew belongs to the arbiter's user, who writes it, and the group
    may read it. A link is not followed then, since the user may have made it.
    """

    def __init__(self, options: WatchedFileOptions, group: int | None = None) -> None:
        assert options.filename is not None
        self.path = options.filename
        self.waits = options.when_full
        self.plain = not options.time_format
        self._time_format = options.time_format
        self._group = group
        self._torn = False
        self._fd = self._open()
        self.lane: Hashable = _lane(self._fd)

    def write(self, data: bytes, origin: Origin) -> None:
        """Writes at the end of the file."""
        if self._time_format:
            data = prefixed(data, self._time_format, origin.pid)
        self._append(data)

    def reopen(self) -> None:
        """Opens the file by name again, after somebody has renamed it."""
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh
        self._torn = False

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        if self._torn:
            # A full disk has cut a line in two; what comes now is not its end.
            write_all(self._fd, b"\n")
            self._torn = False
        try:
            write_all(self._fd, data)
        except Unwritten as error:
            written = len(data) - error.left
            self._torn = written > 0 and data[written - 1] != 10
            raise

    def _open(self) -> int:
        fd = self._open_now()
        os.set_blocking(fd, True)
        return fd

    def _open_now(self) -> int:
        if self._group is None:
            return os.open(self.path, OPEN, 0o644)
        try:
            fd = os.open(self.path, OPEN | os.O_EXCL | os.O_NOFOLLOW, 0o640)
        except FileExistsError:
            fd = os.open(self.path, OPEN | os.O_NOFOLLOW)
        else:
            with contextlib.suppress(PermissionError):
                os.fchown(fd, -1, self._group)
        return fd


def _lane(fd: int) -> Hashable:
    """Files of one disk can only be slow together; a FIFO or a device is slow by itself."""
    about = os.fstat(fd)
    if stat.S_ISREG(about.st_mode):
        return ("disk", about.st_dev)
    return ("fd", about.st_dev, about.st_ino)


class WatchedFileStream(AppendedFile):
    """A file that something else rotates, such as logrotate: renamed, it is made anew."""

    def write(self, data: bytes, origin: Origin) -> None:
        """Writes into the file that has the name now."""
        if self._is_another():
            self.reopen()
        super().write(data, origin)

    def _is_another(self) -> bool:
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(named, os.fstat(self._fd))


class FileStream(AppendedFile):
    """A file with rotation by size: `.1` is the youngest of `backup_count` old ones.

    Without old ones to keep, it begins anew when it is full.
    """

    def __init__(self, options: FileOptions, group: int | None = None) -> None:
        super().__init__(options, group)
        self._max_bytes = options.max_bytes
        self._backups = options.backup_count

    def _append(self, data: bytes) -> None:
        if not self._max_bytes:
            super()._append(data)
            return
        at = 0
        while at < len(data):
            end = self._fitting(data, at)
            try:
                super()._append(data[at:end])
            except Unwritten as error:
                raise Unwritten(error, error.left + len(data) - end) from None
            at = end

    def _fitting(self, data: bytes, at: int) -> int:
        """Where what fits ends: at the end of a line; the file is rotated for the next one."""
        about = os.fstat(self._fd)
        if not stat.S_ISREG(about.st_mode):
            return len(data)
        room = self._max_bytes - about.st_size
        if len(data) - at <= room:
            return len(data)
        end = data.rfind(b"\n", at, at + max(room, 0)) + 1
        if end <= at and about.st_size:
            self._rotate()
            return self._fitting(data, at)
        if end <= at:
            # One line that is longer than a file may be: it gets one for itself.
            end = data.find(b"\n", at) + 1
        return end if end > at else len(data)

    def _rotate(self) -> None:
        for number in range(self._backups - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        if self._backups > 0:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.path, f"{self.path}.1")
        else:
            os.ftruncate(self._fd, 0)
        self.reopen()
