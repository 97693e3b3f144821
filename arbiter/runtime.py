"""The runtime directory: private to its user, and held by one arbiter at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from chaussette.control.places import default_runtime_dir, is_ipc_too_long
from chaussette.errors import AlreadyRunning, ConfigError

OWN_KEY = "own.key"
"""A client's key for the arbiter's own plugins, made anew at each start."""


class RuntimeDir:
    """A directory of mode 0700 with a lock; made where it is missing.

    Raises ConfigError when it cannot be had or is not private, AlreadyRunning
    when another arbiter holds it.
    """

    def __init__(self, path: str | None) -> None:
        self.path = Path(path or default_runtime_dir()).absolute()
        self._make()
        self._lock = self._take()

    def endpoint(self, name: str) -> str:
        """The address of an endpoint in the directory."""
        path = str(self.path / name)
        if is_ipc_too_long(path):
            raise ConfigError(
                f"runtime_dir {str(self.path)!r} is too long for a unix socket: choose another"
            )
        return f"ipc://{path}"

    def admit(self, gid: int) -> None:
        """Lets a group pass through, to sockets that belong to one of them; it cannot list it."""
        os.chown(self.path, -1, gid, follow_symlinks=False)
        self.path.chmod(0o710)

    def close(self) -> None:
        """Removes what was ours and lets go of the lock."""
        for name in ("control.sock", "events.sock", "output.sock", OWN_KEY):
            (self.path / name).unlink(missing_ok=True)
        os.close(self._lock)

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = self.path.lstat()
        except OSError as error:
            raise ConfigError(
                f"runtime_dir {str(self.path)!r}: {error.strerror}; set runtime_dir"
            ) from None
        if not stat.S_ISDIR(state.st_mode):
            raise ConfigError(f"runtime_dir {str(self.path)!r} is not a directory")
        if state.st_uid != os.geteuid():
            raise ConfigError(f"runtime_dir {str(self.path)!r} belongs to another user")
        if state.st_mode & 0o077:
            self._make_private()

    def _make_private(self) -> None:
        """Only where it is empty or was ours before: `runtime_dir = /tmp` must not close /tmp."""
        if (self.path / "lock").is_file() or not any(self.path.iterdir()):
            self.path.chmod(0o700)
        else:
            raise ConfigError(
                f"runtime_dir {str(self.path)!r} is open to other users and holds files of others; "
                "choose a directory of its own, mode 0700"
            )

    def _take(self) -> int:
        fd = os.open(
            self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            raise AlreadyRunning(
                f"another arbiter (pid {pid or 'unknown'}) holds {self.path}; "
                "stop it, or set runtime_dir"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return fd
