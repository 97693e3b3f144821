"""Processes from Python: an arbiter inside somebody else's program.

It is the arbiter of `circusd`, run by `stack.run_stack` as a guest: the
program's signals, descriptors, limits, umask and logging stay as they are. It
runs in the thread that calls `start`, or in one of its own. All methods may be
called from any thread.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chaussette.arbiter import arbiter as inner
from chaussette.arbiter.library_life import EmbeddedLife
from chaussette.arbiter.library_settings import arbiter_settings, plugin_from
from chaussette.arbiter.members import CircusSocket, Watcher
from chaussette.arbiter.stack import Surroundings
from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings import stats as stats_settings
from chaussette.settings.load import StackConfig
from chaussette.settings.values import watcher_from
from chaussette.settings.watcher import WatcherSettings


class Arbiter(EmbeddedLife):
    """Watchers and their processes, run from a program.

    `watchers` are Watcher objects or dictionaries of their options, `plugins`
    dictionaries with `use` and the plugin's options, `settings` those of
    `[circus]`. Without `endpoint`, `pubsub_endpoint` or `runtime_dir`, nobody
    but the program can control it. With `background`, `start` returns once it
    runs; with `signals`, it handles SIGTERM and the like as circusd does (only
    from the main thread). Raises ConfigError.
    """

    _restarting = False
    """What programs written for Circus ask, to start it once more: it never wants that."""

    def __init__(
        self,
        watchers: Iterable[Watcher | Mapping[str, Any]] = (),
        endpoint: str | None = None,
        pubsub_endpoint: str | None = None,
        *,
        sockets: Iterable[CircusSocket | Mapping[str, Any]] = (),
        plugins: Iterable[Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        background: bool = False,
        signals: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(background)
        self.pidfile: str | None = None
        self.loggerconfig: str | None = settings.get("loggerconfig")
        self._signals = signals
        self._env = dict(env or {})
        self._wants_logging = bool({"loglevel", "logoutput", "loggerconfig"} & settings.keys())
        self._settings = stats_settings.completed(
            arbiter_settings(settings, endpoint, pubsub_endpoint)
        )
        self.pidfile = self._settings.pidfile
        self._sockets = [
            one if isinstance(one, CircusSocket) else CircusSocket(**one) for one in sockets
        ]
        self._plugins = [plugin_from(one) for one in plugins or ()]
        self._watchers: list[Watcher] = []
        for one in watchers:
            self._add(one)

    # -- what it has --------------------------------------------------------------

    @property
    def watchers(self) -> list[Watcher]:
        """All watchers, plugins' not among them."""
        return list(self._watchers)

    def iter_watchers(self, reverse: bool = True) -> Iterator[Watcher]:
        """All watchers; those with most priority first, unless `reverse` is false."""
        sign = -1 if reverse else 1
        return iter(sorted(self._watchers, key=lambda one: sign * one.settings.priority))

    def get_watcher(self, name: str) -> Watcher:
        """The watcher of that name, in any case. Raises KeyError."""
        for one in self._watchers:
            if one.name.lower() == name.lower():
                return one
        known = [one.name for one in self._watchers]
        raise KeyError(f"no watcher {name!r}{did_you_mean(name, known)}")

    def numwatchers(self) -> int:
        """How many watchers there are."""
        return len(self._watchers)

    def numprocesses(self) -> int:
        """How many processes there are."""
        return sum(len(one.pids()) for one in self._watchers)

    def statuses(self) -> dict[str, str]:
        """Each watcher's state."""
        return {one.name: one.status() for one in self._watchers}

    def get_socket(self, name: str) -> CircusSocket:
        """The socket of that name. Raises KeyError."""
        return {one.name: one for one in self._sockets}[name.lower()]

    @property
    def sockets(self) -> dict[str, CircusSocket]:
        """All sockets, by name."""
        return {one.name: one for one in self._sockets}

    # -- what can be asked of it ------------------------------------------------------

    def add_watcher(self, name: str, cmd: Any, **options: Any) -> Watcher:
        """Adds a watcher; where the arbiter runs, it is to be started."""
        added = self._add({"name": name, "cmd": cmd, **options})
        if self.running:
            self.ask(lambda arbiter: arbiter.add_watcher(added.settings))
        return added

    def start_watchers(self) -> None:
        """Starts all watchers, and waits until they are up."""
        self._together("start")

    def stop_watchers(self) -> None:
        """Stops all watchers, and waits until they have."""
        self._together("stop")

    def reload(self) -> None:
        """Replaces all processes, generation for generation, without a gap."""
        self._together("reload")

    def restart(self) -> None:
        """Ends all processes and starts them anew."""
        self._together("restart")

    # -- details ------------------------------------------------------------------

    def _add(self, one: Watcher | Mapping[str, Any]) -> Watcher:
        if not isinstance(one, Watcher):
            one = Watcher(**one)
        one.attach(self, watcher_from(one.given, self._env))
        if any(other.name.lower() == one.name.lower() for other in self._watchers):
            raise ConfigError(f"two watchers are called {one.name!r}")
        self._watchers.append(one)
        return one

    def _together(self, what: str) -> None:
        threads = [threading.Thread(target=getattr(one, what)) for one in self._watchers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _surroundings(self) -> Surroundings:
        is_main = threading.current_thread() is threading.main_thread()
        return Surroundings(
            has_endpoint=self._has_endpoint(),
            announce=self._announced,
            is_guest=True,
            has_signals=self._signals and is_main,
            has_logging=self._wants_logging,
        )

    def _bound(self, arbiter: inner.Arbiter) -> None:
        for one in self._sockets:
            one.bound(arbiter.sockets.get(one.name))

    def _has_endpoint(self) -> bool:
        settings = self._settings
        given = (settings.endpoint, settings.pubsub_endpoint, settings.runtime_dir)
        return any(given) or bool(self._plugins) or self._settings.statsd

    def _stats(self) -> tuple[WatcherSettings, ...]:
        return (stats_settings.watcher(self._settings),) if self._settings.statsd else ()

    @contextlib.contextmanager
    def _configured(self) -> Iterator[StackConfig]:
        """The configuration; endpoints that were not given are in a directory of our own."""
        config = StackConfig(
            self._settings,
            tuple(one.settings for one in self._sockets),
            (*(one.settings for one in self._watchers), *self._plugins, *self._stats()),
        )
        if not self._has_endpoint() or self._settings.runtime_dir:
            yield config
            return
        path = tempfile.mkdtemp(prefix="chaussette-")
        try:
            yield replace(config, arbiter=replace(self._settings, runtime_dir=path))
        finally:
            shutil.rmtree(path, ignore_errors=True)


def get_arbiter(
    watchers: Iterable[Watcher | Mapping[str, Any]],
    controller: str | None = None,
    pubsub_endpoint: str | None = None,
    env: Mapping[str, str] | None = None,
    name: str | None = None,
    background: bool = False,
    plugins: Iterable[Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Arbiter:
    """An arbiter with these watchers, each a dictionary of options; not started yet.

    `controller` is its control endpoint, `env` the environment of all
    processes, `name` that of a single watcher. Everything else is as in
    `Arbiter`. Raises ConfigError.
    """
    given = [dict(one) if not isinstance(one, Watcher) else one for one in watchers]
    if name is not None and len(given) == 1 and isinstance(given[0], dict):
        given[0].setdefault("name", name)
    endpoint = settings.pop("endpoint", None)
    return Arbiter(
        given,
        controller or endpoint,
        pubsub_endpoint,
        env=env,
        background=background,
        plugins=plugins,
        **settings,
    )


def get_trainer(
    cmd: str | Sequence[Any], n: int = 1, *, background: bool = False, **options: Any
) -> Arbiter:
    """An arbiter that runs a command `n` times; `start` and `stop` are what it is for.

    The processes get the program's environment. `options` are those of a
    watcher. Raises ConfigError.
    """
    watcher = {"cmd": cmd, "numprocesses": n, "copy_env": True, **options}
    return Arbiter([watcher], background=background)
