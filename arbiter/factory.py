"""Makes processes: descriptors, environment, streams and slot of one, then the spawn.

It owns the scoreboard and the pipes; whether and when a process is started is
not its business.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaussette import handover, notify, scoreboard
from chaussette.arbiter.command import Recipe, speaks_notify
from chaussette.arbiter.containment.group import Group
from chaussette.arbiter.containment.table import GroupTable
from chaussette.arbiter.loop import Loop
from chaussette.arbiter.outlet import Outlet
from chaussette.arbiter.process import Process
from chaussette.arbiter.sinks.base import Origin, Sink
from chaussette.arbiter.sockets import (
    ListeningSocket,
    SocketTable,
    from_three_on,
    listen_environment,
)
from chaussette.arbiter.spawn import Descriptors, spawn
from chaussette.arbiter.streams import StreamTable, open_pipe
from chaussette.arbiter.tail import TailTable
from chaussette.arbiter.users import look_up
from chaussette.errors import ConfigError, SocketError, SpawnError
from chaussette.scoreboard import Scoreboard
from chaussette.settings import variables
from chaussette.settings.given import Given
from chaussette.settings.watcher import WatcherSettings

log = logging.getLogger("chaussette.arbiter")
SLOTS = 4096


@dataclass
class _Given:
    """What one process gets, and what must be closed in the arbiter afterwards."""

    sockets: dict[str, int] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    inherited: list[int] = field(default_factory=list)
    stdin: int | None = subprocess.DEVNULL
    slot: int | None = None
    group: Group | None = None
    to_close: list[int] = field(default_factory=list)
    moves: list[tuple[int, int]] = field(default_factory=list)


class ProcessFactory:
    """Starts processes for all watchers of one arbiter."""

    def __init__(
        self, loop: Loop, sockets: SocketTable, streams: StreamTable, address: str
    ) -> None:
        self._loop = loop
        self._sockets = sockets
        self._streams = streams
        self._address = address
        self._scoreboard = Scoreboard.create(SLOTS)
        self._queues: dict[str, handover.Queue] = {}
        self._taken: dict[int, int] = {}
        self._recipes: dict[str, Recipe] = {}
        self._unannounced: set[str] = set()
        self.variables: dict[str, str] = {}
        self._outlets: dict[int, list[Outlet]] = {}
        self.tail = TailTable(loop)
        self.groups = GroupTable(loop)

    def start(self, settings: WatcherSettings, wid: int, generation: int) -> Process:
        """Starts one process. Raises SpawnError."""
        given = _Given()
        try:
            return self._start(settings, wid, generation, given)
        except (ConfigError, SocketError) as error:
            raise SpawnError(str(error)) from None
        except OSError as error:
            raise SpawnError(f"{error.strerror} (see ulimit -n, pids.max)") from None
        finally:
            for fd in given.to_close:
                os.close(fd)

    def release(self, process: Process) -> None:
        """A process has ended: reads its last words and frees its slot."""
        for outlet in self._outlets.pop(process.pid, []):
            outlet.drain()
        self.tail.gone(process.settings.name, process.pid)
        if process.group is not None:
            self.groups.leave(process.group)
        index = self._taken.pop(process.pid, None)
        if index is not None:
            self._scoreboard.slot(index).clear()

    @property
    def scoreboard_place(self) -> tuple[int, int]:
        """Number of the scoreboard's descriptor in the arbiter, and how many slots it has."""
        return self._scoreboard.fd, self._scoreboard.slots

    def sockets_of(self, settings: WatcherSettings) -> Sequence[ListeningSocket]:
        """The sockets that a watcher's processes inherit."""
        if settings.use_sockets:
            return self._sockets.pick(settings.sockets)
        if settings.stdin_socket:
            return self._sockets.pick((settings.stdin_socket,))
        return ()

    def awaited_by(self, settings: WatcherSettings) -> list[ListeningSocket]:
        """The sockets that wake an on_demand watcher: those it names, or all that it inherits."""
        text = " ".join((settings.cmd, settings.args, *settings.argv))
        named = [name[8:] for name in variables.names_in(text) if name.startswith("sockets.")]
        return [one for one in self.sockets_of(settings) if not named or one.name in named]

    def close(self) -> None:
        """Closes the scoreboard, and the pipes that are left."""
        self._scoreboard.close()
        for queue in self._queues.values():
            queue.close()
        self.groups.close()
        for outlets in self._outlets.values():
            for outlet in outlets:
                outlet.close()
        self._outlets.clear()

    # -- details ----------------------------------------------------------------

    def _start(
        self, settings: WatcherSettings, wid: int, generation: int, given: _Given
    ) -> Process:
        self._give_sockets(settings, given)
        self._give_links(settings, given)
        self._announce_sockets(settings, given)
        recipe = self._recipe(settings)
        command = recipe.command(wid, given.sockets, given.env)
        sinks = self._sinks(settings, recipe.values(wid))
        ends = {name: self._open_pipe(given) for name in sinks}
        started = self._loop.clock()
        try:
            given.group = self._enter_group(settings)
            pid = spawn(
                command,
                settings,
                look_up(settings.uid, settings.gid),
                Descriptors(
                    stdin=given.stdin,
                    stdout=ends["stdout"][1] if "stdout" in ends else subprocess.DEVNULL,
                    stderr=ends["stderr"][1] if "stderr" in ends else subprocess.DEVNULL,
                    inherited=given.inherited,
                    doors=given.group.doors() if given.group is not None else (),
                    moves=given.moves,
                ),
            )
            process = _hold(pid, wid, generation, settings, started)
            process.group = given.group
        except BaseException:
            if given.group is not None:
                self.groups.leave(given.group)
            for ours, _ in ends.values():
                os.close(ours)
            raise
        self._outlets[pid] = [
            self._outlet(settings, sinks[name], ends[name][0], Origin(pid, name)) for name in ends
        ]
        if given.slot is not None:
            self._taken[pid] = given.slot
            process.slot = self._scoreboard.slot(given.slot)
        return process

    def _enter_group(self, settings: WatcherSettings) -> Group | None:
        try:
            return self.groups.enter(settings)
        except OSError as error:
            raise SpawnError(f"control group: {error.strerror or error}") from None

    def _give_sockets(self, settings: WatcherSettings, given: _Given) -> None:
        chosen = self.sockets_of(settings)
        if not settings.close_child_stdin:
            given.stdin = None
        if settings.stdin_socket:
            stdin = self._sockets.get(settings.stdin_socket)
            given.stdin = stdin.fd if stdin is not None else subprocess.DEVNULL
        if not settings.use_sockets:
            return
        for one in chosen:
            fd = one.fd
            if one.settings.so_reuseport:
                fd = one.own_copy().detach()
                given.to_close.append(fd)
            given.sockets[one.name] = fd
            given.inherited.append(fd)

    def _announce_sockets(self, settings: WatcherSettings, given: _Given) -> None:
        """LISTEN_FDS, which counts from descriptor 3.

        Who needs it exactly (listen_pid) gets its sockets there, whatever number they
        have here; the program behind launch.py is the only one that they can be moved for.
        """
        others = set(given.inherited) - set(given.sockets.values())
        moved = from_three_on(given.sockets)
        if settings.listen_pid and not others & set(moved.values()):
            given.moves = [(given.sockets[name], to) for name, to in moved.items()]
            given.sockets = moved
        given.env.update(found := listen_environment(given.sockets))
        if given.sockets and not found:
            self._say_unannounced(settings, given.sockets)

    def _say_unannounced(self, settings: WatcherSettings, sockets: Mapping[str, int]) -> None:
        """Once, and only where the command does not name its sockets itself."""
        text = " ".join((settings.cmd, settings.args, *settings.argv, *settings.env.values()))
        named = any(name.startswith("sockets.") for name in variables.names_in(text))
        if named or settings.name in self._unannounced:
            return
        self._unannounced.add(settings.name)
        log.warning(
            "%s: LISTEN_FDS is not set, because its sockets (%s) do not stand at 3 and on; "
            "listen_pid = True puts them there",
            settings.name,
            ", ".join(f"{name} at {fd}" for name, fd in sockets.items()),
        )

    def _give_links(self, settings: WatcherSettings, given: _Given) -> None:
        """What connects a process to the arbiter: notify socket, scoreboard, its siblings' queue.

        Workers behind a wrapper are not known as such, so whoever gets sockets
        gets the links; the environment of all others holds what was asked for.
        """
        if not settings.use_sockets and not speaks_notify(settings):
            return
        given.env[notify.ENVIRONMENT] = self._address
        given.env[notify.ARBITER_PID] = str(os.getpid())
        if speaks_notify(settings) and (index := next(self._free_slots(), None)) is not None:
            given.slot = index
            given.env[scoreboard.ENVIRONMENT] = self._scoreboard.environment(index)
            given.inherited.append(self._scoreboard.fd)
            self._give_queue(settings, given)

    def _give_queue(self, settings: WatcherSettings, given: _Given) -> None:
        """One queue for all generations of a watcher's workers."""
        if not given.sockets:
            return
        queue = self._queues.get(settings.name)
        if queue is None:
            queue = self._queues[settings.name] = handover.Queue()
        given.env[handover.ENVIRONMENT] = queue.environment()
        given.inherited.extend(queue.descriptors)

    def _free_slots(self) -> Iterator[int]:
        taken = set(self._taken.values())
        return (index for index in range(SLOTS) if index not in taken)

    def _recipe(self, settings: WatcherSettings) -> Recipe:
        """The recipe of a watcher, made anew for each generation of its settings."""
        recipe = self._recipes.get(settings.name)
        if recipe is None or recipe.settings is not settings:
            recipe = self._recipes[settings.name] = Recipe(settings, self.variables)
        return recipe

    def _sinks(self, settings: WatcherSettings, values: Mapping[str, str]) -> dict[str, Sink]:
        sinks: dict[str, Sink] = {}
        if not settings.close_child_stdout:
            sinks["stdout"] = self._sink(settings, settings.stdout_stream, "stdout", values)
        if not settings.close_child_stderr:
            sinks["stderr"] = self._sink(settings, settings.stderr_stream, "stderr", values)
        return sinks

    def _sink(
        self,
        settings: WatcherSettings,
        options: Mapping[str, str],
        channel: str,
        values: Mapping[str, str],
    ) -> Sink:
        expanded = {
            name: value if isinstance(value, Given) else variables.expand(value, values)
            for name, value in options.items()
        }
        group = look_up(settings.uid, settings.gid).gid if options else None
        return self._streams.sink(expanded, channel, group, settings.name)

    def _outlet(self, settings: WatcherSettings, sink: Sink, fd: int, origin: Origin) -> Outlet:
        lane = self._streams.writer.lane(sink)
        return Outlet(self._loop, lane, sink, fd, origin, self.tail.ring(settings, origin))

    def _open_pipe(self, given: _Given) -> tuple[int, int]:
        ours, theirs = open_pipe()
        given.to_close.append(theirs)
        return ours, theirs


def _hold(
    pid: int, wid: int, generation: int, settings: WatcherSettings, started: float
) -> Process:
    """The process of a pid; where there is no descriptor left to hold it by, it is ended."""
    try:
        return Process(pid, wid, generation, settings, started)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
