"""A library arbiter's watchers and sockets, as a program sees them: names and orders."""

from __future__ import annotations

import signal
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from chaussette.arbiter.restart import restart
from chaussette.arbiter.sinks.memory import QueueStream
from chaussette.errors import ConfigError, NotRunning
from chaussette.settings.given import Given
from chaussette.settings.kinds import signal_number
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.streams import class_name
from chaussette.settings.values import socket_from, watcher_from
from chaussette.settings.watcher import WatcherSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chaussette.arbiter.arbiter import Arbiter as Inner
    from chaussette.arbiter.sockets import ListeningSocket
    from chaussette.arbiter.watcher import Watcher as InnerWatcher
    from chaussette.arbiter.wish import Outcome

T = TypeVar("T")


class Owner(Protocol):
    """What a watcher needs of the library's arbiter."""

    def ask(self, what: Callable[[Inner], T]) -> T:
        """Calls something in the arbiter's thread."""
        ...

    def order(
        self, name: str, act: Callable[[InnerWatcher, Callable[[Outcome], None]], object]
    ) -> None:
        """Has a watcher do something and waits for it."""
        ...


@dataclass(frozen=True)
class ProcessInfo:
    """One process at one moment; `age` is in seconds, `status` one of the lifecycle's words."""

    pid: int
    wid: int
    age: float
    status: str


class Watcher:
    """A command and how it is run; once it belongs to an arbiter, it can be ordered about.

    Takes the options of `[watcher:NAME]` as keyword arguments. Orders wait until
    they are done and raise SpawnError when they failed; they raise NotRunning
    where the arbiter does not run.
    """

    def __init__(self, name: str | None = None, cmd: Any = None, **options: Any) -> None:
        self.given: Mapping[str, Any] = _with_queues({"name": name, "cmd": cmd, **options})
        self.settings: WatcherSettings = watcher_from(self.given, {})
        self._owner: Owner | None = None

    def attach(self, owner: Owner, settings: WatcherSettings) -> None:
        """Makes it a watcher of an arbiter. Raises ConfigError when it is another's."""
        if self._owner is not None and self._owner is not owner:
            raise ConfigError(f"watcher {self.name!r} belongs to another arbiter")
        self._owner = owner
        self.settings = settings

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def cmd(self) -> str:
        """Its command."""
        return self.settings.cmd

    @property
    def stdout_stream(self) -> Any:
        """The program's own stream for standard output, or the options of the one there is."""
        return _stream(self.settings.stdout_stream)

    @property
    def stderr_stream(self) -> Any:
        """The same for standard error."""
        return _stream(self.settings.stderr_stream)

    # -- what it is -------------------------------------------------------------

    @property
    def numprocesses(self) -> int:
        """How many processes there shall be."""
        return self._look(lambda watcher: watcher.wish.count, self.settings.numprocesses)

    @property
    def processes(self) -> dict[int, ProcessInfo]:
        """All processes, by pid."""
        nobody: list[ProcessInfo] = []
        return {one.pid: one for one in self._look(_infos, nobody)}

    def pids(self) -> list[int]:
        """Pids of all processes, oldest first."""
        return self._look(lambda watcher: [one.pid for one in watcher.processes()], [])

    def status(self) -> str:
        """Its state in one word."""
        return self._look(lambda watcher: watcher.status(), "stopped")

    def failure(self) -> str:
        """Why it did not come up the last time, or nothing."""
        return self._look(lambda watcher: watcher.failure, "")

    def is_active(self) -> bool:
        """Whether it has a process that is up."""
        return self.status() == "active"

    def is_stopped(self) -> bool:
        """Whether it has no process and shall have none."""
        return self.status() in ("stopped", "parked")

    def options(self) -> dict[str, Any]:
        """Its settings."""
        return asdict(self.settings)

    # -- what can be asked of it --------------------------------------------------

    def start(self) -> None:
        """Brings it up."""
        self._order(lambda watcher, done: watcher.start(done))

    def stop(self) -> None:
        """Ends its processes."""
        self._order(lambda watcher, done: watcher.stop(done))

    def reload(self) -> None:
        """Replaces its processes; the old ones serve until the new ones are up."""
        self._order(lambda watcher, done: watcher.swap(done=done))

    def restart(self) -> None:
        """Ends its processes and starts new ones."""
        self._order(restart)

    def set_numprocesses(self, count: int) -> int:
        """Sets how many processes there shall be; returns what it has become."""
        self._order(lambda watcher, done: watcher.scale(count, done))
        return self.numprocesses

    def incr(self, n: int = 1) -> int:
        """So many processes more."""
        return self.set_numprocesses(self.numprocesses + n)

    def decr(self, n: int = 1) -> int:
        """So many processes less."""
        return self.set_numprocesses(self.numprocesses - n)

    def send_signal(self, pid: int, number: int | str | signal.Signals) -> bool:
        """Sends a signal to one process; False when it is none of the watcher's any more."""
        which = signal_number(str(int(number) if isinstance(number, int) else number))

        def send(watcher: InnerWatcher) -> bool:
            process = watcher.process(pid)
            if process is not None:
                watcher.fleet.signal(process, which, partial(process.send, which))
            return process is not None

        return self._look(send, False)

    # -- details --------------------------------------------------------------------

    def _look(self, what: Callable[[InnerWatcher], T], otherwise: T) -> T:
        """Asks in the arbiter's thread; where there is no arbiter, the answer is known."""

        def look(arbiter: Inner) -> T:
            watcher = arbiter.watcher(self.name)
            return otherwise if watcher is None else what(watcher)

        if self._owner is None:
            return otherwise
        try:
            return self._owner.ask(look)
        except NotRunning:
            return otherwise

    def _order(self, act: Callable[[InnerWatcher, Callable[[Outcome], None]], object]) -> None:
        if self._owner is None:
            raise NotRunning(f"watcher {self.name!r} belongs to no arbiter")
        self._owner.order(self.name, act)


class CircusSocket:
    """A listening socket that the arbiter binds. Takes the options of `[socket:NAME]`."""

    def __init__(self, name: str, **options: Any) -> None:
        self.settings: SocketSettings = socket_from(name, options)
        self._bound: ListeningSocket | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    def bound(self, bound: ListeningSocket | None) -> None:
        """The arbiter has bound it."""
        self._bound = bound

    @property
    def location(self) -> str:
        """HOST:PORT, or unix:PATH; of a socket that is not bound, what was asked for."""
        if self._bound is not None:
            return self._bound.location()
        settings = self.settings
        return f"unix:{settings.path}" if settings.path else f"{settings.host}:{settings.port}"


def _with_queues(options: dict[str, Any]) -> dict[str, Any]:
    """Options in which `{"class": "QueueStream"}` is a queue that the program can read."""
    for channel in ("stdout_stream", "stderr_stream"):
        given = options.get(channel)
        if isinstance(given, dict) and class_name(given) == "QueueStream" and "stream" not in given:
            options[channel] = {"stream": QueueStream()}
    return options


def _stream(options: Mapping[str, Any]) -> Any:
    given = options.get("stream")
    return given.value if isinstance(given, Given) else dict(options)


def _infos(watcher: InnerWatcher) -> list[ProcessInfo]:
    now = time.monotonic()
    return [
        ProcessInfo(one.pid, one.wid, one.age(now), one.state.name.lower())
        for one in watcher.processes()
    ]
