"""What a command may ask of an arbiter: the only door between control and arbiter.

Commands are written against these protocols, so that they neither know nor
import the arbiter; `arbiter/steward.py` implements them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from chaussette.control.protocol import Reply

Answer = Callable[[Reply], None]
"""Called exactly once, now or later, with the reply to a command."""


@dataclass(frozen=True)
class SocketInfo:
    """One listening socket as a client sees it."""

    name: str
    fd: int
    location: str
    backlog: int


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

    def reload(self, names: list[str], surge: int | None, answer: Answer) -> None:
        """Exchanges generations; `surge` limits how many run beyond the count."""
        ...

    def scale(self, name: str, count: int, answer: Answer) -> int:
        """Sets the number of processes; returns what it has become."""
        ...

    def quit(self, answer: Answer) -> None:
        """Ends the arbiter."""
        ...


Properties = dict[str, Any]
