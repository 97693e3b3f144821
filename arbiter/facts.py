"""What `stats` and `dstats` tell: facts of the system, and what the arbiter knows itself.

Looking never waits. A hook that is to add something (extended_stats) is asked in
the hook host, and what it has not said in time is left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.process import Process
from chaussette.arbiter.tree import descendants
from chaussette.arbiter.watcher import Watcher
from chaussette.errors import ControlError
from chaussette.facts import Facts, pss_of

Infos = dict[str, dict[int, dict[str, object]]]
"""Facts of processes by pid, by the name of their watcher."""
HOOK_LIMIT = 2.0
"""Seconds that the hooks of one question have at most: a client waits for 5."""


class Observer:
    """Looks at the processes of one arbiter."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self._facts = Facts()

    def look(self, processes: Iterable[Process], extended: bool) -> dict[int, dict[str, object]]:
        """Facts about processes by pid; those that have gone are missing."""
        found: dict[int, dict[str, object]] = {}
        for process in processes:
            if (facts := self._facts.of(process.pid)) is not None:
                found[process.pid] = facts
                facts.update(self._own_facts(process))
                if extended:
                    facts["children"] = self._children_of(process.pid)
        return found

    def look_closely(self, process: Process) -> dict[int, dict[str, object]]:
        """The same of one process, with its children, and what takes the kernel longer: `pss`."""
        found = self.look([process], extended=True)
        if process.pid in found and (pss := pss_of(process.pid)) is not None:
            found[process.pid]["pss"] = pss
        return found

    def arbiter(self) -> dict[str, object]:
        """Facts about the arbiter's process, its name, and where its scoreboard is."""
        facts = self._facts.of(os.getpid())
        if facts is None:
            raise ControlError("/proc cannot be read")
        fd, slots = self._arbiter.factory.scoreboard_place
        return {**facts, "fqdn": self._arbiter.fqdn, "scoreboard": {"fd": fd, "slots": slots}}

    def extend(self, infos: Infos, then: Callable[[], None]) -> None:
        """Has the hook extended_stats change facts in place; calls `then` once, soon or later."""
        hooked = [
            (watcher, info)
            for name, info in infos.items()
            if (watcher := self._arbiter.watcher(name)) is not None
            and "extended_stats" in watcher.settings.hooks
            and info
        ]
        if not hooked:
            then()
            return
        asking = _Asking(self._arbiter, len(hooked), then)
        for watcher, info in hooked:
            asking.ask(watcher, info, list(info))

    def _children_of(self, pid: int) -> list[dict[str, object]]:
        return [one for child in descendants(pid) if (one := self._facts.of(child)) is not None]

    def _own_facts(self, process: Process) -> dict[str, object]:
        """What the arbiter knows of a process, and what a worker says in its slot."""
        age = process.age(self._arbiter.loop.clock())
        facts: dict[str, object] = {
            "age": age,
            "started": time.time() - age,
            "wid": process.wid,
        }
        if process.slot is not None and (view := process.slot.read()).pid:
            facts["worker"] = {
                "state": view.state.name.lower(),
                "in_flight": view.in_flight,
                "requests": view.requests,
                "errors": view.errors,
            }
        return facts


class _Asking:
    """One question to the hooks of several watchers: each is asked for one process at a time.

    A hook that fails or hangs is not asked for the watcher's other processes,
    and what comes when the question has been answered changes nothing.
    """

    def __init__(self, arbiter: Arbiter, watchers: int, then: Callable[[], None]) -> None:
        self._arbiter = arbiter
        self._left = watchers
        self._then = then
        self._over = False
        self._timer = arbiter.loop.after(HOOK_LIMIT, self._end)

    def ask(self, watcher: Watcher, info: dict[int, dict[str, object]], pids: list[int]) -> None:
        """Asks about the first of the pids; the others come when it is answered."""
        if not pids or self._over:
            self._ended()
            return
        pid = pids.pop(0)
        given: Mapping[str, object] = info[pid]
        answered = partial(self._answered, watcher, info, pid, pids, given)
        self._arbiter.hook_host().extended_stats(watcher, pid, given, answered)

    def _answered(
        self,
        watcher: Watcher,
        info: dict[int, dict[str, object]],
        pid: int,
        pids: list[int],
        given: Mapping[str, object],
        stats: Any,
    ) -> None:
        if self._over:
            return
        if stats is given:  # there was no answer
            self._ended()
            return
        info[pid] = stats
        self.ask(watcher, info, pids)

    def _ended(self) -> None:
        self._left -= 1
        if not self._left:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._timer.cancel()
            self._then()
