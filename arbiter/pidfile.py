"""The pid file: written whole, never through a link, and removed only if still ours."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import ClassVar

from chaussette.errors import AlreadyRunning, ConfigError


class Pidfile:
    """Holds a locked file with our pid; a file left by a dead arbiter is taken over.

    The lock, not the number in the file, says whether its owner lives: the
    kernel may have given that number to somebody else. Raises AlreadyRunning
    or ConfigError.
    """

    _held: ClassVar[set[tuple[int, int]]] = set()

    @classmethod
    def is_held_here(cls, path: str) -> bool:
        """Whether this very process holds the file already (see standins.py)."""
        try:
            state = os.stat(path)
        except OSError:
            return False
        return (state.st_dev, state.st_ino) in cls._held

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._fd = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644
            )
        except OSError as error:
            reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise ConfigError(f"pidfile {path!r}: {reason}") from None
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise ConfigError(f"pidfile {path!r}: is not a regular file")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise AlreadyRunning(f"pidfile {path!r} is held by pid {pid or 'unknown'}") from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())
        state = os.fstat(self._fd)
        self._key = (state.st_dev, state.st_ino)
        self._held.add(self._key)

    def close(self) -> None:
        """Removes the file where it is still the one that we hold."""
        self._held.discard(self._key)
        try:
            if os.stat(self.path).st_ino == os.fstat(self._fd).st_ino:
                os.unlink(self.path)
        except OSError:
            pass  # Removed or replaced by somebody else: not ours any more.
        os.close(self._fd)
