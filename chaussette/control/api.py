"""What a command may ask of an arbiter: the only door between control and arbiter.

Commands are written against these protocols, so that they neither know nor
import the arbiter; `arbiter/steward.py` implements them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from chaussette.control.protocol import Reply

Answer = Callable[[Reply], None]
"""Called exactly once, now or later, with the reply to a command."""


class SocketInfo(NamedTuple):
    """One listening socket as a client sees it."""

    name: str
    fd: int
    location: str
    backlog: int


class Rolling(NamedTuple):
    """How a generation is exchanged: `batch` at a time (a number, or 25%), with pauses."""

    batch: str | None = None
    pause: float = 0.0


class NewWatcher(NamedTuple):
    """A watcher that a client asks for."""

    name: str
    cmd: str
    args: Sequence[str] | str | None = None
    options: Mapping[str, object] = {}
    start: bool = False


class SignalOrder(NamedTuple):
    """Whom to signal: the processes of a watcher, or one of them, and their descendants."""

    signum: int
    pid: int | None = None
    childpid: int | None = None
    children: bool = False
    recursive: bool = False


class KillOrder(NamedTuple):
    """Whom to end, and what else than the watcher's settings to use for it."""

    pid: int | None = None
    signum: int | None = None
    graceful_timeout: float | None = None


class Control(Protocol):
    """An arbiter, as commands see it. Names of watchers are looked up in any case.

    Methods that change something take an Answer, and call it once the change
    is done; every method raises ControlError for a name that is not known.
    """

    def names(self) -> list[str]:
        """Names of all watchers, in order of the configuration."""
        ...

    def pids(self, name: str) -> list[int]:
        """Pids of a watcher's processes, oldest first."""
        ...

    def wanted(self, name: str) -> int:
        """How many processes a watcher shall have."""
        ...

    def starts_by_itself(self, name: str) -> bool:
        """Whether a watcher runs, or would be started with the arbiter (autostart)."""
        ...

    def is_singleton(self, name: str) -> bool:
        """Whether a watcher has at most one process."""
        ...

    def status(self, name: str) -> str:
        """A watcher's state in one word."""
        ...

    def failure(self, name: str) -> str:
        """Why a watcher did not come up the last time, or nothing."""
        ...

    def is_stopping(self) -> bool:
        """Whether the arbiter is about to end, so that nothing can be changed any more."""
        ...

    def sockets(self) -> list[SocketInfo]:
        """All listening sockets."""
        ...

    def start(self, names: list[str], answer: Answer) -> None:
        """Starts watchers."""
        ...

    def stop(self, names: list[str], answer: Answer) -> None:
        """Stops watchers."""
        ...

    def restart(self, names: list[str], answer: Answer) -> None:
        """Replaces all processes; those that share sockets without a gap."""
        ...

    def reload(self, names: list[str], rolling: Rolling, answer: Answer) -> None:
        """Exchanges generations."""
        ...

    def reopen_logs(self) -> None:
        """Opens all log files by name again."""
        ...

    def reload_config(self, answer: Answer) -> None:
        """Reads the configuration again and applies what has changed.

        Raises ControlError, and changes nothing, when the configuration is wrong.
        """
        ...

    def options(self, name: str) -> dict[str, object]:
        """All options of a watcher, as JSON knows them; secrets are masked."""
        ...

    def global_options(self) -> dict[str, object]:
        """Options of the arbiter itself."""
        ...

    def set_options(self, name: str, options: Mapping[str, object], answer: Answer) -> None:
        """Changes options of a watcher; all of them or, raising ControlError, none."""
        ...

    def add(self, wanted: NewWatcher, answer: Answer) -> None:
        """Adds a watcher. Raises ControlError for options that cannot be meant."""
        ...

    def remove(self, name: str, nostop: bool, answer: Answer) -> None:
        """Forgets a watcher; with `nostop` its processes run on."""
        ...

    def stats(self, name: str, pid: int | None, extended: bool) -> dict[int, dict[str, object]]:
        """Facts about the processes of a watcher, by pid; `extended` adds their children."""
        ...

    def extend_stats(
        self, infos: dict[str, dict[int, dict[str, object]]], then: Callable[[], None]
    ) -> None:
        """Has the hook extended_stats change facts, by pid by watcher, in place.

        `then` is called once, at the latest after two seconds.
        """
        ...

    def pressure(self, name: str) -> Mapping[str, object]:
        """Pressure (PSI) of a watcher's control group by resource; empty where nobody tells."""
        ...

    def own_stats(self) -> dict[str, object]:
        """Facts about the arbiter's process."""
        ...

    def signal(self, name: str, order: SignalOrder) -> None:
        """Sends a signal."""
        ...

    def end_processes(self, name: str, order: KillOrder, answer: Answer) -> None:
        """Ends processes of a watcher, by SIGKILL where they do not; they are replaced."""
        ...

    def scale(self, name: str, count: int, answer: Answer) -> int:
        """Sets the number of processes; returns what it has become."""
        ...

    def quit(self, answer: Answer) -> None:
        """Ends the arbiter."""
        ...


Properties = dict[str, Any]
