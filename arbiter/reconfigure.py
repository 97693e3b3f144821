"""reloadconfig: from the configuration that runs to the one in the file, by the smallest steps.

What differs is found by a pure function; everything that can be refused is
refused before anything is changed. A socket that has moved is closed only when
its users have, and stays when they cannot.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.checks import check_system
from chaussette.arbiter.sockets import ListeningSocket
from chaussette.arbiter.watcher import Watcher
from chaussette.arbiter.wish import Outcome, Waiter
from chaussette.errors import ConfigError
from chaussette.settings import variables
from chaussette.settings.load import StackConfig, load_stack, with_overrides
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.watcher import WatcherSettings, tuned

log = logging.getLogger("chaussette.arbiter")
Done = Callable[[Outcome, Mapping[str, object]], None]
_AT_ONCE = frozenset(
    "check_delay warmup_delay stop_timeout loglevel include include_dir "
    "statsd statsd_close_outputs".split()
)
_IN_PLACE = frozenset({"backlog", "blocking", "replace", "mode", "umask", "owner"})
_PLACE = ("host", "port", "path", "family", "type", "proto")


@dataclass(frozen=True)
class Changes:
    """What differs between two configurations; watchers and sockets by name."""

    arbiter: tuple[str, ...] = ()
    sockets_added: tuple[str, ...] = ()
    sockets_removed: tuple[str, ...] = ()
    sockets_moved: tuple[str, ...] = ()
    sockets_tuned: tuple[str, ...] = ()
    watchers_added: tuple[str, ...] = ()
    watchers_removed: tuple[str, ...] = ()
    watchers_changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def restart_needed(self) -> list[str]:
        """What only a restart of the arbiter brings."""
        return [f"[circus] {name}" for name in self.arbiter if name not in _AT_ONCE]

    def told(self) -> dict[str, object]:
        """For the reply and the log."""
        return {
            "watchers": {
                "added": list(self.watchers_added),
                "removed": list(self.watchers_removed),
                "changed": {name: sorted(what) for name, what in self.watchers_changed.items()},
            },
            "sockets": {
                "added": list(self.sockets_added),
                "removed": list(self.sockets_removed),
                "changed": [*self.sockets_moved, *self.sockets_tuned],
            },
            "needs_restart": self.restart_needed(),
        }


def compare(old: StackConfig, new: StackConfig) -> Changes:
    """What differs. Raises ConfigError for a change that cannot be made while it runs."""
    before = {one.name: one for one in old.sockets}
    after = {one.name: one for one in new.sockets}
    both = [name for name in after if name in before and before[name] != after[name]]
    moved = tuple(name for name in both if not _is_in_place(before[name], after[name]))
    watched = {one.name: one for one in old.watchers}
    wanted = {one.name: one for one in new.watchers}
    return Changes(
        arbiter=tuple(sorted(_different(old.arbiter, new.arbiter))),
        sockets_added=tuple(name for name in after if name not in before),
        sockets_removed=tuple(name for name in before if name not in after),
        sockets_moved=moved,
        sockets_tuned=tuple(name for name in both if name not in moved),
        watchers_added=tuple(name for name in wanted if name not in watched),
        watchers_removed=tuple(name for name in watched if name not in wanted),
        watchers_changed={
            name: difference
            for name, one in wanted.items()
            if name in watched and (difference := _different(watched[name], one))
        },
    )


def uses(settings: WatcherSettings, socket: str) -> bool:
    """Whether processes of a watcher listen on a socket; who names none may use all."""
    text = " ".join((settings.cmd, settings.args, *settings.argv, *settings.env.values()))
    named = {name[8:] for name in variables.names_in(text) if name.startswith("sockets.")}
    named.update(name.lower() for name in settings.sockets)
    if (settings.stdin_socket or "").lower() == socket:
        return True
    return settings.use_sockets and (not named or socket in named)


def apply_settings(
    watcher: Watcher, settings: WatcherSettings, count: int, done: Waiter, *, force: bool = False
) -> None:
    """Brings a watcher to other settings: at once where it can, else generation for generation.

    With `force` generations are exchanged also when nothing has changed.
    """
    now = tuned(watcher.settings, settings)
    if now != watcher.settings:
        try:
            watcher.retune(settings)
        except OSError as error:
            done(Outcome(False, f"nothing was changed: {error.strerror or error}"))
            return
    if force or now != settings:
        watcher.scale(count)
        watcher.swap(settings, done, by_signal=False)
    elif count != watcher.wish.count:
        watcher.scale(count, done)
    else:
        done(Outcome(True))


@dataclass
class _Move:
    """A socket whose users are on their way from the old one to the new one."""

    old: ListeningSocket | None
    new: ListeningSocket | None
    left: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


class Reconfigurer:
    """Applies the file's configuration to a running arbiter."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter

    def reload(self, done: Done) -> None:
        """Reads the files again and applies them. Raises ChaussetteError, and changes nothing.

        `done` gets what has changed once all of it has come to an end.
        """
        old = self._arbiter.config
        if not old.files:
            raise ConfigError("this arbiter was not started from a file")
        new = with_overrides(load_stack(old.files[0], os.environ), old.overrides)
        check_system(new)
        changes = compare(old, new)
        self._check_names(changes)
        fresh = self._bind(new, changes)
        self._apply(new, changes, fresh, done)

    # -- before anything changes --------------------------------------------------

    def _check_names(self, changes: Changes) -> None:
        for name in changes.watchers_added:
            if self._arbiter.watcher(name) is not None:
                raise ConfigError(
                    f"[watcher:{name}]: there is a watcher of that name that was added by a "
                    f"command; `circusctl rm {name}` first"
                )

    def _bind(self, new: StackConfig, changes: Changes) -> list[ListeningSocket]:
        """Binds what is new or has moved; a socket that has another name is taken over."""
        table = self._arbiter.sockets
        wanted = [
            one
            for one in new.sockets
            if one.name in (*changes.sockets_added, *changes.sockets_moved)
        ]
        passed = {}
        for one in wanted:
            for name in changes.sockets_removed:
                old = table.get(name)
                if old is not None and replace(old.settings, name=one.name) == one:
                    passed[one.name] = old.sock.dup()
        fresh = table.bind(wanted, passed)
        for bound in fresh:
            bound.inherited = False
        return fresh

    # -- the change ---------------------------------------------------------------

    def _apply(
        self, new: StackConfig, changes: Changes, fresh: list[ListeningSocket], done: Done
    ) -> None:
        arbiter = self._arbiter
        gather = _Gather(lambda outcome: done(outcome, changes.told()))
        old, arbiter.config = arbiter.config, new
        self._take_over_arbiter(changes)
        moves = self._move_sockets(new, changes, fresh)
        for name in changes.watchers_removed:
            if (watcher := arbiter.watcher(name)) is not None:
                arbiter.remove_watcher(watcher, self._when_left(moves, name, gather.one(name)))
        for name, settings, watcher in self._affected(new, changes, moves):
            force = any(uses(settings, socket) for socket in moves)
            before = old.watcher(name) or settings
            count = watcher.wish.count
            if before.numprocesses != settings.numprocesses:
                count = settings.numprocesses
            live = replace(watcher.settings, **changes.watchers_changed.get(name, {}))
            after = partial(self._changed, before, moves, gather.one(name))
            apply_settings(watcher, live, count, after, force=force)
            if changed := changes.watchers_changed.get(name):
                arbiter.publish(name, "updated", {"options": sorted(changed)})
        added = [
            arbiter.add_watcher(one) for one in new.watchers if one.name in changes.watchers_added
        ]
        for watcher in added:
            arbiter.publish(watcher.name, "add", {})
        arbiter.start_watchers(added)
        for name in moves:
            self._end_if_left(moves, name)
        log.info("configuration reloaded: %s", changes.told())
        gather.close()

    def _take_over_arbiter(self, changes: Changes) -> None:
        for line in changes.restart_needed():
            log.warning("reloadconfig: %s takes effect when circusd is restarted", line)
        if "loglevel" in changes.arbiter and self._arbiter.config.arbiter.loggerconfig is None:
            level = self._arbiter.config.arbiter.loglevel.upper()
            logging.getLogger("chaussette").setLevel(level)

    def _move_sockets(
        self, new: StackConfig, changes: Changes, fresh: list[ListeningSocket]
    ) -> dict[str, _Move]:
        table = self._arbiter.sockets
        for settings in new.sockets:
            if settings.name in changes.sockets_tuned:
                one = table.get(settings.name)
                assert one is not None
                one.take_over(settings)
        moves = {one.name: _Move(table.put(one), one) for one in fresh}
        for name in changes.sockets_removed:
            moves[name] = _Move(table.remove(name), None)
        for name, move in moves.items():
            for watcher in self._arbiter.watchers.values():
                if watcher.wish.running and uses(watcher.settings, name):
                    move.left.add(watcher.name)
        return moves

    def _affected(
        self, new: StackConfig, changes: Changes, moves: Mapping[str, _Move]
    ) -> Iterator[tuple[str, WatcherSettings, Watcher]]:
        """Watchers that change, and those whose sockets do, also where they are not in the file."""
        for watcher in list(self._arbiter.watchers.values()):
            name = watcher.name
            settings = new.watcher(name) or watcher.settings
            if name in changes.watchers_changed or any(
                name in move.left or uses(settings, socket) for socket, move in moves.items()
            ):
                yield name, settings, watcher

    # -- afterwards -----------------------------------------------------------------

    def _when_left(self, moves: dict[str, _Move], name: str, done: Waiter) -> Waiter:
        def gone(outcome: Outcome) -> None:
            self._user_is_done(moves, name, ok=True)
            done(outcome)

        return gone

    def _changed(
        self, before: WatcherSettings, moves: dict[str, _Move], done: Waiter, outcome: Outcome
    ) -> None:
        """A watcher has come to the new settings, or has fallen back to the old ones."""
        name = before.name
        live = self._arbiter.watcher(name)
        if not outcome.ok and live is not None:
            # The next reloadconfig shall try again, also when the file stays as it is.
            self._remember(before)
        self._user_is_done(moves, name, ok=outcome.ok)
        done(outcome)

    def _user_is_done(self, moves: dict[str, _Move], name: str, *, ok: bool) -> None:
        for socket, move in moves.items():
            if name in move.left:
                move.left.discard(name)
                (move.moved if ok else move.failed).append(name)
                self._end_if_left(moves, socket)

    def _end_if_left(self, moves: dict[str, _Move], socket: str) -> None:
        """Ends the old socket once nobody uses it; or the new one, when somebody could not move."""
        move = moves[socket]
        if move.left:
            return
        if move.failed and move.old is not None:
            self._move_back(socket, move)
            return
        old, move.old = move.old, None
        if old is not None:
            renamed = any(
                other.new is not None and other.new.sock.getsockname() == old.sock.getsockname()
                for other in moves.values()
            )
            old.sock.close() if renamed else old.end()

    def _move_back(self, socket: str, move: _Move) -> None:
        table = self._arbiter.sockets
        if table.get(socket) is not move.new:
            return  # a later reloadconfig has taken over
        old, new, move.old = move.old, move.new, None
        assert old is not None
        log.error("socket %s stays where it was: %s did not come up", socket, move.failed)
        table.put(old)
        self._remember_socket(old.settings)
        back = _Gather(lambda _: new.end() if new is not None else None)
        for name in move.moved:
            if (watcher := self._arbiter.watcher(name)) is not None:
                watcher.swap(done=back.one(name), by_signal=False)
        back.close()

    def _remember(self, settings: WatcherSettings) -> None:
        config = self._arbiter.config
        watchers = tuple(settings if one.name == settings.name else one for one in config.watchers)
        self._arbiter.config = replace(config, watchers=watchers)

    def _remember_socket(self, settings: SocketSettings) -> None:
        config = self._arbiter.config
        others = tuple(one for one in config.sockets if one.name != settings.name)
        self._arbiter.config = replace(config, sockets=(*others, settings))


class _Gather:
    """Waits for many outcomes and gives one; `close` says that no more are expected."""

    def __init__(self, done: Callable[[Outcome], None]) -> None:
        self._done = done
        self._left = 1
        self._reasons: list[str] = []

    def one(self, name: str) -> Waiter:
        """What one of them is to call."""
        self._left += 1

        def ended(outcome: Outcome) -> None:
            if not outcome.ok:
                self._reasons.append(f"{name}: {outcome.reason}")
            self.close()

        return ended

    def close(self) -> None:
        """One less is awaited."""
        self._left -= 1
        if not self._left:
            self._done(Outcome(not self._reasons, "; ".join(self._reasons)))


def _different(old: Any, new: Any) -> dict[str, Any]:
    """Fields that differ, with their new values."""
    return {
        one.name: getattr(new, one.name)
        for one in dataclasses.fields(old)
        if getattr(old, one.name) != getattr(new, one.name)
    }


def _is_in_place(old: SocketSettings, new: SocketSettings) -> bool:
    """Whether a socket can stay bound. Raises ConfigError where it can neither stay nor move."""
    different = set(_different(old, new))
    if different <= _IN_PLACE:
        return True
    if any(name in different for name in _PLACE) or (old.path is None and new.port == 0):
        return False
    raise ConfigError(
        f"[socket:{new.name}] {', '.join(sorted(different - _IN_PLACE))} cannot be changed while "
        "the address stays the same: change the port as well, or restart circusd"
    )
