"""What is wanted of a watcher, what it needs to get there, and how that ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chaussette.arbiter.plan import Style
from chaussette.arbiter.process import Process
from chaussette.settings.watcher import WatcherSettings

if TYPE_CHECKING:
    from chaussette.arbiter.watcher import Watcher


class Owner(Protocol):
    """What a watcher needs of the arbiter."""

    def start_process(self, settings: WatcherSettings, wid: int, generation: int) -> Process:
        """Starts one process and watches it. Raises SpawnError."""
        ...

    def process_gone(self, process: Process) -> None:
        """A process has been waited for; its streams and slot can be let go."""
        ...

    def publish(self, watcher: str, topic: str, fields: Mapping[str, object]) -> None:
        """Tells subscribers of an event."""
        ...

    def call_hook(
        self, watcher: Watcher, hook: str, given: Mapping[str, object], then: Callable[[bool], None]
    ) -> None:
        """Calls a hook that the watcher has; `then` gets its answer, later."""
        ...

    def adjust_limits(self, settings: WatcherSettings) -> None:
        """The limits of a watcher's control group may be others. Raises OSError."""
        ...

    def hooks_set(self, watcher: Watcher) -> None:
        """A watcher has got other hooks."""
        ...

    def watcher_failed(self, watcher: Watcher) -> None:
        """A watcher has been given up."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How what was asked of a watcher has ended."""

    ok: bool
    reason: str = ""


Waiter = Callable[[Outcome], None]


@dataclass
class Wish:
    """What is wanted of a watcher; the plan brings the processes there."""

    running: bool = False
    count: int = 0
    generation: int = 1
    style: Style = Style.SWAP
    surge: int | None = None
    pause: float = 0.0
    """Seconds between a batch that has come up and the next one."""


@dataclass
class HookedLife:
    """What a watcher is waiting for its hooks to say, and what it still has to tell them."""

    turn: int = 0
    """Starts and stops so far: an answer to an earlier one does not count any more."""
    starting: bool = False
    tell_started: bool = False
    tell_stopped: bool = False
    asking_to_spawn: bool = False
    may_spawn: bool = False
