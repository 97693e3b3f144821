"""From a point of a watcher's life to a call of its hook, and back to a yes or no."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chaussette.arbiter.hooks.caller import HookCaller, Result
from chaussette.arbiter.watcher import Watcher
from chaussette.errors import ConfigError
from chaussette.settings.given import Given
from chaussette.settings.hooks import read_hook

if TYPE_CHECKING:
    from chaussette.arbiter.arbiter import Arbiter
    from chaussette.arbiter.hooks.program import ProgramCalls

log = logging.getLogger("chaussette.arbiter")
ALWAYS_IGNORED = ("before_stop", "after_stop", "before_signal", "after_signal", "extended_stats")
"""Hooks whose failure never changes anything, as in Circus."""


class Hooks:
    """The hooks of one arbiter; made when the first is to be called."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self._caller = HookCaller(arbiter.loop)
        self._calls: ProgramCalls | None = None

    def call(
        self,
        watcher: Watcher,
        hook: str,
        given: Mapping[str, object],
        then: Callable[[bool], None],
    ) -> None:
        """Calls a hook; `then` gets False when it says no, or fails and that counts."""
        function, ignored = read_hook(watcher.settings.hooks[hook])
        ignored = ignored or hook in ALWAYS_IGNORED

        def done(result: Result) -> None:
            self._tell(watcher, hook, result)
            then(ignored if result.error else result.value)

        self._ask(watcher, hook, function, given, done)

    def extended_stats(
        self, watcher: Watcher, pid: int, stats: Mapping[str, object], then: Callable[[Any], None]
    ) -> None:
        """Has the hook extended_stats add to the statistics of a process.

        `then` gets what it made of them, or `stats` itself where there is no answer.
        """
        hook = "extended_stats"
        if hook not in watcher.settings.hooks:
            then(stats)
            return
        function, _ = read_hook(watcher.settings.hooks[hook])

        def done(result: Result) -> None:
            self._tell(watcher, hook, result)
            then(stats if result.stats is None else result.stats)

        self._ask(watcher, hook, function, {"pid": pid, "stats": dict(stats)}, done)

    def close(self) -> None:
        """Ends the hook host."""
        self._caller.close()
        if self._calls is not None:
            self._calls.close()

    def _tell(self, watcher: Watcher, hook: str, result: Result) -> None:
        """What came of a call: an event, and a line in the log where it has failed."""
        fields: dict[str, object] = {"name": hook, "time": time.time()}
        if result.error:
            log.error("%s: hook %s: %s", watcher.name, hook, result.error)
            fields["error"] = result.error
        event = "hook_failure" if result.error else "hook_success"
        self._arbiter.publish(watcher.name, event, fields)

    def _own_calls(self) -> ProgramCalls:
        if self._calls is None:
            from chaussette.arbiter.hooks.program import ProgramCalls  # for who embeds us

            self._calls = ProgramCalls(self._arbiter.loop, self._arbiter.host)
        return self._calls

    def _ask(
        self,
        watcher: Watcher,
        hook: str,
        function: str,
        given: Mapping[str, object],
        then: Callable[[Result], None],
    ) -> None:
        settings = asdict(watcher.settings)
        pids = [process.pid for process in watcher.processes()]
        message = {
            "hook": hook,
            "watcher": {**settings, "pids": pids, "numprocesses": watcher.wish.count},
            "arbiter": {
                **self._arbiter.endpoints,
                "pid": os.getpid(),
                "watchers": [one.name for one in self._arbiter.watchers.values()],
            },
            "given": given,
        }
        what = f"{watcher.name}: hook {hook}"
        if isinstance(function, Given):
            self._own_calls().call(function.value, watcher, hook, given, then)
            return
        self._caller.call(function, message, watcher.settings.hooks_timeout, then, what)

    def check(self, watchers: Iterable[Watcher]) -> None:
        """Has functions imported in the host, so that what is wrong is said before they are due."""
        functions: dict[str, str] = {}
        for watcher in watchers:
            for hook, text in watcher.settings.hooks.items():
                if isinstance(text, Given):
                    continue
                try:
                    functions[f"{watcher.name}: hooks.{hook} = {text}"] = read_hook(text)[0]
                except ConfigError as error:
                    log.error("%s: hooks.%s = %s", watcher.name, hook, error)
        if functions:
            self._caller.check(functions)
