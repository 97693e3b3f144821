"""The life of an arbiter inside a program: threads, start and end, and who may ask it.

What it runs is the business of library.py.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from chaussette.arbiter import arbiter as inner
from chaussette.arbiter.lifecycle import State
from chaussette.arbiter.stack import Surroundings, run_stack
from chaussette.arbiter.watcher import Watcher as Inner
from chaussette.arbiter.wish import Outcome
from chaussette.errors import ConfigError, NotRunning, SpawnError
from chaussette.settings.load import StackConfig

T = TypeVar("T")


class EmbeddedLife:
    """Starts and ends an arbiter, in this thread or in one of its own, and asks it things."""

    def __init__(self, background: bool) -> None:
        self.background = background
        self._lock = threading.Lock()
        self._inner: inner.Arbiter | None = None
        self._thread: int | None = None
        self._calls: set[Future[Any]] = set()
        self._began: Future[None] = Future()
        self._up: Future[None] = Future()
        self._ended: Future[int] = Future()
        self._ended.set_result(0)

    # -- what it runs: see library.py ---------------------------------------------

    def _configured(self) -> contextlib.AbstractContextManager[StackConfig]:
        """The configuration, for as long as it runs."""
        raise NotImplementedError

    def _surroundings(self) -> Surroundings:
        """What it has beside its configuration."""
        raise NotImplementedError

    def _bound(self, arbiter: inner.Arbiter) -> None:
        """Its sockets are bound."""
        raise NotImplementedError

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

    def __enter__(self) -> Self:
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

    async def __aenter__(self) -> Self:
        await self.start_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_async()

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
            with self._configured() as config:
                code = run_stack(config, self._surroundings())
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._end(code, error)

    def _announced(self, arbiter: inner.Arbiter) -> None:
        """Called before anything is started, in the arbiter's thread."""
        self._thread = threading.get_ident()
        arbiter.host = self
        arbiter.listeners.append(lambda *_: self._look_whether_up(arbiter))
        self._bound(arbiter)
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
