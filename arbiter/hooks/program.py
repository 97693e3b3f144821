"""Hooks that are callables of the program that embeds the arbiter.

They run in threads of the program, one for each watcher, so that one that hangs
holds up its own watcher only. They get the library's own Watcher and Arbiter.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from chaussette.arbiter.hooks.caller import Result
from chaussette.arbiter.hooks.host import called
from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.watcher import Watcher

log = logging.getLogger("chaussette.arbiter")
Call = Callable[[], None]


class ProgramCalls:
    """Calls a program's functions; `host` is its arbiter (library.py)."""

    def __init__(self, loop: Loop, host: Any) -> None:
        self._loop = loop
        self._host = host
        self._threads: dict[str, queue.SimpleQueue[Call | None]] = {}

    def call(
        self,
        function: Callable[..., object],
        watcher: Watcher,
        hook: str,
        given: Mapping[str, Any],
        then: Callable[[Result], None],
    ) -> None:
        """Has a hook called; `then` gets the result in the arbiter's thread."""
        timeout = watcher.settings.hooks_timeout
        name = watcher.name
        answered: list[Timer] = []

        def finish(result: Result) -> None:
            if answered:
                answered.pop().cancel()
                then(result)

        def late() -> None:
            # Its thread may hang for ever: the watcher gets another one.
            self._threads.pop(name, queue.SimpleQueue()).put(None)
            finish(Result(error=f"no answer in {timeout:g}s"))

        def call() -> None:
            result = self._made(function, name, hook, dict(given))
            self._loop.soon(lambda: finish(result))
            with contextlib.suppress(OSError):  # the arbiter has ended meanwhile
                self._loop.wake()

        answered.append(self._loop.after(timeout, late))
        self._queue(name).put(call)

    def close(self) -> None:
        """Ends the threads; one that hangs ends with the program."""
        for calls in self._threads.values():
            calls.put(None)
        self._threads.clear()

    def _made(
        self, function: Callable[..., object], name: str, hook: str, given: dict[str, Any]
    ) -> Result:
        try:
            watcher = self._host.get_watcher(name)
            value = called(function, watcher, self._host, hook, given)
        except Exception as error:
            # The wall of a call into the application: logged, and told as a failure.
            log.exception("%s: hook %s", name, hook)
            return Result(error=f"{type(error).__name__}: {error}")
        return Result(bool(value), stats=given.get("stats"))

    def _queue(self, name: str) -> queue.SimpleQueue[Call | None]:
        if name not in self._threads:
            calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
            self._threads[name] = calls
            work = threading.Thread(
                target=_work, args=(calls,), name=f"hooks of {name}", daemon=True
            )
            work.start()
        return self._threads[name]


def _work(calls: queue.SimpleQueue[Call | None]) -> None:
    while (call := calls.get()) is not None:
        call()
