"""The groups themselves: one for the arbiter, below it one per watcher, below that one per process.

    base/chaussette-PID-START/        locked as long as the arbiter lives
        arbiter/                      the arbiter, where the base hands controllers out
        w-NAME/                       the limits of a watcher
            p-N/                      one process and all its descendants

Nothing outside of the folder that is named after us is written to, but for
cgroup.subtree_control of the base, where a limit needs it; that is undone at the
end. What a dead arbiter has left is removed where it is empty: the kernel
removes no other group.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

from chaussette.arbiter.containment.layout import PREFIX
from chaussette.arbiter.containment.limits import Pressure, oom_kills, parse_pressure, writes

_NAME = re.compile(rf"{PREFIX}\d+-\d+")
_ROUNDS = 20
"""How often what appears meanwhile is killed, where there is no cgroup.kill (before Linux 5.14)."""


class Trunk:
    """The folder of one arbiter in one hierarchy. Raises OSError when it cannot be made."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        sweep(folder)
        self._lock = _locked(self.path)

    def remove(self) -> None:
        """Removes it and what is empty below it."""
        os.close(self._lock)
        remove_tree(self.path)


def own_name() -> str:
    """A name that no other arbiter has had: pid, and start in ticks since boot."""
    stat = Path("/proc/self/stat").read_text("utf-8", "replace")
    return f"{PREFIX}{os.getpid()}-{stat.rpartition(')')[2].split()[19]}"


def sweep(folder: Path) -> None:
    """Removes the empty groups of arbiters that are dead: those that nobody holds locked."""
    for entry in os.scandir(folder):
        if not _NAME.fullmatch(entry.name):
            continue
        with contextlib.suppress(OSError):
            fd = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(Path(entry.path))
            finally:
                os.close(fd)


def _locked(path: Path) -> int:
    """Makes the folder and locks it. Another arbiter's sweep may take it in between."""
    while True:
        path.mkdir(exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # Waits for a sweep, at most: nobody else uses our name.
        fcntl.flock(fd, fcntl.LOCK_EX)
        if path.exists():
            return fd
        os.close(fd)


def remove_tree(path: Path) -> bool:
    """Removes a group and those below it; False where one is not empty."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def write(path: Path, text: str) -> None:
    """One write, as control files want it. Raises OSError that names the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"{text!r} into {path}: {error.strerror}") from None
    finally:
        os.close(fd)


class WatcherGroup:
    """The group of a watcher in v2, and those in v1 that stand in for it."""

    def __init__(self, name: str, path: Path | None, legacy: Mapping[str, Path]) -> None:
        self.name = name
        self.path = path
        self.legacy = legacy
        self._written: dict[str, str] = {}
        self._legacy_written: dict[str, str] = {}
        self._oom_kills = 0
        self._groups = 0

    def make(self) -> None:
        """Makes the folders that are not there."""
        for path in (self.path, *self.legacy.values()):
            if path is not None and not path.is_dir():
                path.mkdir()
                self._written, self._legacy_written, self._oom_kills = {}, {}, 0

    def limit(self, files: Mapping[str, str], legacy_files: Mapping[str, str]) -> None:
        """Sets the limits; those that were set before and are not any more are lifted."""
        if self.path is not None:
            for name, text in writes(files, self._written).items():
                write(self.path / name, text)
        for name, text in writes(legacy_files, self._legacy_written).items():
            write(self.legacy[name.partition(".")[0]] / name, text)
        self._written, self._legacy_written = dict(files), dict(legacy_files)

    def new_oom_kills(self) -> int:
        """How many processes the kernel has ended for memory since this was last asked."""
        places = [self.path / "memory.events"] if self.path is not None else []
        if "memory" in self.legacy:
            places.append(self.legacy["memory"] / "memory.oom_control")
        total = sum(oom_kills(_read(place)) for place in places)
        new, self._oom_kills = total - self._oom_kills, total
        return max(0, new)

    def pressure(self) -> dict[str, Pressure]:
        """memory, cpu and io pressure of the watcher's processes, where the kernel tells."""
        found = {}
        for kind in ("memory", "cpu", "io") if self.path is not None else ():
            assert self.path is not None
            if text := _read(self.path / f"{kind}.pressure"):
                found[kind] = parse_pressure(text)
        return found

    @property
    def is_used(self) -> bool:
        """Whether a process has a group in it."""
        return self._groups > 0

    def entered(self) -> None:
        """One more process has a group in it, or is about to join."""
        self._groups += 1

    def left(self) -> None:
        """The group of one process is gone; with the last one, this one goes, too."""
        self._groups -= 1
        if not self._groups:
            self.remove()

    def remove(self) -> None:
        """Removes it, where no process is left in it."""
        for path in (self.path, *self.legacy.values()):
            if path is not None:
                remove_tree(path)


class Group:
    """The group of one process. Without a path (v1 only), it can be joined and not killed."""

    def __init__(self, watcher: WatcherGroup, path: Path | None) -> None:
        self.watcher = watcher
        self.path = path
        if path is not None:
            path.mkdir()
        watcher.entered()

    def doors(self) -> list[str]:
        """The files that a process writes itself into to join."""
        paths: Iterable[Path | None] = (self.path, *self.watcher.legacy.values())
        return [str(path / "cgroup.procs") for path in paths if path is not None]

    def kill(self) -> None:
        """Ends all in it with SIGKILL, forks under way included; nobody where it has no path."""
        if self.path is None:
            return
        try:
            write(self.path / "cgroup.kill", "1")
        except OSError:
            for _ in range(_ROUNDS):
                if not self.send(signal.SIGKILL):
                    break

    def send(self, number: int, *, besides: int = 0) -> int:
        """Sends a signal to all in it but one; returns how many got it."""
        sent = 0
        for pid in self.members() - {besides}:
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(pid)
                try:
                    if pid in self.members():  # it is still who it was
                        signal.pidfd_send_signal(pidfd, number)
                        sent += 1
                finally:
                    os.close(pidfd)
        return sent

    def members(self) -> set[int]:
        """The pids of all processes in it and in groups that they have made below."""
        found: set[int] = set()
        if self.path is not None:
            for folder, _, _ in os.walk(self.path):
                found.update(int(word) for word in _read(Path(folder, "cgroup.procs")).split())
        return found

    def remove(self) -> bool:
        """Removes it, where no process is left in it."""
        return self.path is None or remove_tree(self.path)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
