"""One manager under measurement: started, watched, and ended with all it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from benchmarks.ops import proc

END_TIMEOUT = 20.0


class DaemonEnded(Exception):
    """A manager ended while it was measured; carries the end of its log."""


class Daemon:
    """A process that manages others. Everything below it ends with the context."""

    def __init__(
        self, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self.folder = folder
        self._env = {**os.environ, **(env or {})}
        self._log = folder / "daemon.log"
        self.started_ns = 0

    def __enter__(self) -> Daemon:
        with self._log.open("wb") as log:
            self.started_ns = time.monotonic_ns()
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pidfd = os.pidfd_open(self._process.pid)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        family = proc.descendants(self.pid)
        self.send(signal.SIGTERM)
        if not self._ended(END_TIMEOUT):
            self._process.kill()
        self._process.wait()
        os.close(self._pidfd)
        _end_orphans(set(family))

    @property
    def pid(self) -> int:
        """The manager's own pid."""
        return self._process.pid

    def send(self, number: int) -> None:
        """Sends the manager a signal."""
        self._process.send_signal(number)

    def rest(self, seconds: float) -> None:
        """Lets it run. Raises DaemonEnded when it ends meanwhile."""
        if self._ended(seconds):
            raise DaemonEnded(f"{' '.join(self._command)}\n{self.log()[-3000:]}")

    def log(self) -> str:
        """What it and its processes wrote."""
        return self._log.read_text(errors="replace")

    def _ended(self, within: float) -> bool:
        return bool(select.select([self._pidfd], [], [], within)[0])


def _end_orphans(family: set[int]) -> None:
    """Kills those of the family that have outlived their manager and became our children.

    Needs `proc.adopt_orphans`; without it they are somebody else's, and left alone.
    """
    deadline = time.monotonic() + END_TIMEOUT
    while time.monotonic() < deadline:
        ours = family.intersection(proc.children(os.getpid()))
        if not ours:
            return
        for pid in ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def free_port() -> int:
    """A port that nobody uses now; the next one to bind it may be somebody else."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
