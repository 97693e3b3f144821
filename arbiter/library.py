"""Processes from Python: an arbiter inside somebody else's program.

It is the arbiter of `circusd`, run by `stack.run_stack` as a guest: the
program's signals, descriptors, limits, umask and logging stay as they are. It
runs in the thread that calls `start`, or in one of its own. All methods may be
called from any thread.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from chaussette.arbiter import arbiter as inner
from chaussette.arbiter.lifecycle import State
from chaussette.arbiter.members import CircusSocket, Watcher
from chaussette.arbiter.stack import Surroundings, run_stack
from chaussette.arbiter.watcher import Watcher as Inner
from chaussette.arbiter.wish import Outcome
from chaussette.errors import ConfigError, NotRunning, SpawnError, did_you_mean
from chaussette.settings import plugins as plugin_settings
from chaussette.settings import stats as stats_settings
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import key_names
from chaussette.settings.load import StackConfig
from chaussette.settings.values import typed, watcher_from
from chaussette.settings.watcher import WatcherSettings

log = logging.getLogger("chaussette.arbiter")
T = TypeVar("T")
_CIRCUS_ONLY = (
    "context loop stream_backend ssh_server proc_name prereload_fn endpoint_owner_mode"
).split()
"""Circus's arguments that cannot mean anything here."""


class Arbiter:
    """Watchers and their processes, run from a program.

    `watchers` are Watcher objects or dictionaries of their options, `plugins`
    dictionaries with `use` and the plugin's options, `settings` those of
    `[circus]`. Without `endpoint`, `pubsub_endpoint` or `runtime_dir`, nobody
    but the program can control it. With `background`, `start` returns once it
    runs; with `signals`, it handles SIGTERM and the like as circusd does (only
    from the main thread). Raises ConfigError.
    """

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
        self.background = background
        self.pidfile: str | None = None
        self.loggerconfig: str | None = settings.get("loggerconfig")
        self._signals = signals
        self._env = dict(env or {})
        self._wants_logging = bool({"loglevel", "logoutput", "loggerconfig"} & settings.keys())
        self._settings = stats_settings.completed(
            _arbiter_settings(settings, endpoint, pubsub_endpoint)
        )
        self.pidfile = self._settings.pidfile
        self._sockets = [
            one if isinstance(one, CircusSocket) else CircusSocket(**one) for one in sockets
        ]
        self._plugins = [_plugin(one) for one in plugins or ()]
        self._watchers: list[Watcher] = []
        for one in watchers:
            self._add(one)
        self._lock = threading.Lock()
        self._inner: inner.Arbiter | None = None
        self._thread: int | None = None
        self._calls: set[Future[Any]] = set()
        self._began: Future[None] = Future()
        self._up: Future[None] = Future()
        self._ended: Future[int] = Future()
        self._ended.set_result(0)

    # -- its life ---------------------------------------------------------------

    def start(self, cb: Callable[[Future[None]], object] | None = None) -> Future[None]:
        """Runs until it is stopped; in the background, returns once it runs.

        `cb` is called, in the arbiter's thread, once the processes are up; the
        future that it gets, and that is returned, is the outcome. Raises
        ConfigError, SocketError and the like when it cannot be started.
        """
        self._prepare(cb)
        if not self.background:
            self._run()
            return self._up
        self._run_in_thread()
        self._began.result()
        return self._up

    async def start_async(self, ready: bool = False) -> None:
        """Starts it in the background of an asyncio program; with `ready`, until all is up."""
        self._prepare(None)
        self._run_in_thread()
        await asyncio.wrap_future(self._began)
        if ready:
            await asyncio.wrap_future(self._up)

    def wait_ready(self, timeout: float | None = None) -> None:
        """Waits until all processes are up.

        Raises SpawnError when some did not come up, TimeoutError when it took too long.
        """
        self._up.result(timeout)

    def stop(self) -> None:
        """Ends all processes, and the arbiter; waits until it is done.

        From the arbiter's own thread (a callback, a signal handler) it only asks.
        One that does not run is no error.
        """
        if self._ask_to_stop() and self._thread != threading.get_ident():
            with contextlib.suppress(Exception):
                self._ended.result()

    async def stop_async(self) -> None:
        """`stop` for an asyncio program."""
        if self._ask_to_stop():
            await asyncio.wait([asyncio.wrap_future(self._ended)])

    def join(self, timeout: float | None = None) -> int:
        """Waits for its end; returns the exit code that circusd would have."""
        return self._ended.result(timeout)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._inner is not None

    def __enter__(self) -> Arbiter:
        self.background = True
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Arbiter:
        await self.start_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_async()

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

    def ask(self, what: Callable[[inner.Arbiter], T]) -> T:
        """Calls something in the arbiter's thread, with the arbiter of arbiter.py.

        Raises NotRunning where it does not run.
        """
        outcome: Future[T] = Future()
        is_own = self._thread == threading.get_ident()
        with self._lock:
            running = self._inner
            if running is None:
                raise NotRunning("the arbiter does not run")
            call = partial(_settle, outcome, what, running)
            if not is_own:
                self._calls.add(outcome)
                running.loop.soon(call)
                running.loop.wake()
        if is_own:
            call()
        try:
            return outcome.result()
        finally:
            self._calls.discard(outcome)

    def order(self, name: str, act: Callable[[Inner, Callable[[Outcome], None]], object]) -> None:
        """Has a watcher do something, and waits until it is done, but in its own thread.

        Raises SpawnError with the reason when it failed.
        """
        done: Future[Outcome] = Future()
        with self._lock:
            self._calls.add(done)

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        def call(arbiter: inner.Arbiter) -> None:
            watcher = arbiter.watcher(name)
            if watcher is None:
                raise KeyError(f"no watcher {name!r}")
            act(watcher, settle)

        try:
            self.ask(call)
            if self._thread != threading.get_ident() and not (outcome := done.result()).ok:
                raise SpawnError(outcome.reason)
        finally:
            self._calls.discard(done)

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

    def _prepare(self, cb: Callable[[Future[None]], object] | None) -> None:
        with self._lock:
            if not self._ended.done():
                raise ConfigError("the arbiter runs already")
            self._began, self._up, self._ended = Future(), Future(), Future()
            for one in (self._began, self._up, self._ended):
                one.set_running_or_notify_cancel()
        if cb is not None:
            self._up.add_done_callback(cb)

    def _run_in_thread(self) -> None:
        atexit.register(self.stop)
        threading.Thread(target=self._run_quietly, name="chaussette-arbiter", daemon=True).start()

    def _run_quietly(self) -> None:
        # Whoever waits for the start or the end gets the exception.
        with contextlib.suppress(BaseException):
            self._run()

    def _run(self) -> None:
        error: BaseException | None = None
        code = 0
        try:
            with self._runtime_dir() as config:
                code = run_stack(config, self._surroundings())
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._end(code, error)

    def _surroundings(self) -> Surroundings:
        is_main = threading.current_thread() is threading.main_thread()
        return Surroundings(
            has_endpoint=self._has_endpoint(),
            announce=self._announced,
            is_guest=True,
            has_signals=self._signals and is_main,
            has_logging=self._wants_logging,
        )

    def _has_endpoint(self) -> bool:
        settings = self._settings
        given = (settings.endpoint, settings.pubsub_endpoint, settings.runtime_dir)
        return any(given) or bool(self._plugins) or self._settings.statsd

    def _stats(self) -> tuple[WatcherSettings, ...]:
        return (stats_settings.watcher(self._settings),) if self._settings.statsd else ()

    @contextlib.contextmanager
    def _runtime_dir(self) -> Iterator[StackConfig]:
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

    def _announced(self, arbiter: inner.Arbiter) -> None:
        """Called before anything is started, in the arbiter's thread."""
        self._thread = threading.get_ident()
        arbiter.host = self
        arbiter.listeners.append(lambda *_: self._look_whether_up(arbiter))
        for one in self._sockets:
            one.bound(arbiter.sockets.get(one.name))
        with self._lock:
            self._inner = arbiter
        # Twice: the first round only plans the starts.
        arbiter.loop.soon(lambda: arbiter.loop.soon(partial(self._has_begun, arbiter)))

    def _has_begun(self, arbiter: inner.Arbiter) -> None:
        self._began.set_result(None)
        self._look_whether_up(arbiter)

    def _look_whether_up(self, arbiter: inner.Arbiter) -> None:
        if not self._up.done() and self._began.done():
            # Behind the change that the event tells of.
            arbiter.loop.soon(partial(self._check_up, arbiter))

    def _check_up(self, arbiter: inner.Arbiter) -> None:
        watchers = list(arbiter.watchers.values())
        if self._up.done() or not all(map(_is_settled, watchers)):
            return
        failed = [f"{one.name}: {one.failure}" for one in watchers if one.restarts.parked]
        if failed:
            self._up.set_exception(SpawnError("; ".join(failed)))
        else:
            self._up.set_result(None)

    def _ask_to_stop(self) -> bool:
        """Asks it to stop; whether it runs, or is about to."""
        with self._lock:
            if self._ended.done():
                return False
        if self._thread != threading.get_ident():
            with contextlib.suppress(Exception):
                self._began.result()
        with self._lock:
            running = self._inner
            if running is not None:
                running.loop.soon(lambda: None if running.stopping else running.stop())
                running.loop.wake()
        return True

    def _end(self, code: int, error: BaseException | None) -> None:
        atexit.unregister(self.stop)
        with self._lock:
            self._inner = None
            self._thread = None
            calls, self._calls = list(self._calls), set()
        gone = error or NotRunning("the arbiter has ended")
        for call in calls:
            if not call.done():
                call.set_exception(NotRunning("the arbiter has ended"))
        for waiting in (self._began, self._up):
            if not waiting.done():
                waiting.set_exception(gone)
        if error is not None:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(code)


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


def _arbiter_settings(
    settings: dict[str, Any], endpoint: str | None, pubsub_endpoint: str | None
) -> ArbiterSettings:
    for name in _CIRCUS_ONLY:
        if settings.pop(name, None) is not None:
            log.warning("%s means nothing here: it is Circus's own", name)
    given = {**settings, "endpoint": endpoint, "pubsub_endpoint": pubsub_endpoint}
    try:
        return typed(
            ArbiterSettings,
            {
                key: value
                for key, value in given.items()
                if value is not None or key not in key_names(ArbiterSettings)
            },
        )
    except ConfigError as error:
        raise ConfigError(f"arbiter: {error}") from None


def _plugin(values: Mapping[str, Any]) -> Any:
    texts = {key: str(value) for key, value in values.items()}
    label = texts.pop("name", "") or texts.get("use", "").rpartition(".")[2].lower()
    try:
        plugin_settings.check(texts)
    except ConfigError as error:
        raise ConfigError(f"plugin {label!r}: {error}") from None
    return plugin_settings.watcher(label, texts)


def _is_settled(watcher: Inner) -> bool:
    """Whether nothing is to be expected of a watcher without an event from outside."""
    settings = watcher.settings
    if not watcher.wish.running:
        return not settings.autostart or settings.on_demand or not settings.respawn
    ready = sum(one.state is State.READY for one in watcher.processes())
    return watcher.restarts.parked or ready >= watcher.wanted()


def _settle(outcome: Future[T], what: Callable[[inner.Arbiter], T], arbiter: inner.Arbiter) -> None:
    try:
        value = what(arbiter)
    except Exception as error:  # noqa: BLE001 - it goes to whoever has asked
        if not outcome.done():
            outcome.set_exception(error)
        return
    if not outcome.done():
        outcome.set_result(value)
