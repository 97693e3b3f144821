"""Ties measuring and deciding to the loop: one timer for each watcher that is to be scaled.

It hears the arbiter's events to learn which watchers run. One without
max_processes has no timer, and costs one look into its settings per event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from chaussette.arbiter.lifecycle import State
from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.scaling.decide import Decision, Memory, Reading, Rules, decide
from chaussette.arbiter.scaling.measure import Gauge, concurrency_of
from chaussette.arbiter.scaling.queues import QueueReader
from chaussette.arbiter.sockets import ListeningSocket
from chaussette.arbiter.watcher import Watcher
from chaussette.settings.watcher import WatcherSettings

log = logging.getLogger("chaussette.arbiter")
SocketsOf = Callable[[WatcherSettings], Sequence[ListeningSocket]]
Publish = Callable[[str, str, Mapping[str, object]], None]


class _Scaled:
    """What is remembered of one watcher that is scaled."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.gauge = Gauge()
        self.timer: Timer | None = None


class Scaler:
    """Grows and shrinks the watchers of one arbiter."""

    def __init__(
        self,
        loop: Loop,
        watchers: Mapping[str, Watcher],
        sockets_of: SocketsOf,
        publish: Publish,
    ) -> None:
        self._loop = loop
        self._watchers = watchers
        self._sockets_of = sockets_of
        self._publish = publish
        self._queues = QueueReader()
        self._scaled: dict[Watcher, _Scaled] = {}

    def hear(self, name: str, topic: str, fields: Mapping[str, object]) -> None:  # noqa: ARG002
        """An event of a watcher: it may have been started, or given limits."""
        watcher = self._watchers.get(name.lower())
        if watcher is not None and is_scaled(watcher) and watcher not in self._scaled:
            self._scaled[watcher] = _Scaled()
            self._look_later(watcher)

    def close(self) -> None:
        """No more looks; gives back what it holds."""
        for scaled in self._scaled.values():
            if scaled.timer is not None:
                scaled.timer.cancel()
        self._scaled.clear()
        self._queues.close()

    def _look_later(self, watcher: Watcher) -> None:
        delay = watcher.settings.scale_interval
        self._scaled[watcher].timer = self._loop.after(delay, lambda: self._look(watcher))

    def _look(self, watcher: Watcher) -> None:
        if not is_scaled(watcher) or self._watchers.get(watcher.name.lower()) is not watcher:
            del self._scaled[watcher]
            return
        scaled = self._scaled[watcher]
        self._look_later(watcher)
        rules = rules_of(watcher.settings)
        reading = self._read(watcher, scaled.gauge, rules.concurrency)
        scaled.memory, decision = decide(rules, scaled.memory, reading)
        if decision is not None:
            self._carry_out(watcher, decision)

    def _read(self, watcher: Watcher, gauge: Gauge, concurrency: int) -> Reading:
        now = self._loop.clock()
        serving = [
            one
            for one in watcher.processes()
            if one.state is State.READY
            and one.generation == watcher.wish.generation
            and not one.retiring
        ]
        return Reading(
            now=now,
            count=watcher.wish.count,
            serving=len(serving),
            leaving=sum(one.state is State.STOPPING for one in watcher.processes()),
            busy=gauge.busy(serving, int(now * 1e9), concurrency),
            queue=sum(self._queues.length(one) for one in self._sockets_of(watcher.settings)),
            steady=is_steady(watcher),
        )

    def _carry_out(self, watcher: Watcher, decision: Decision) -> None:
        log.info(
            "%s: %s from %d to %d processes: %s",
            watcher.name,
            decision.word,
            decision.before,
            decision.count,
            decision.reason,
        )
        watcher.scale(decision.count)
        self._publish(
            watcher.name,
            decision.word,
            {
                "before": decision.before,
                "numprocesses": decision.count,
                "reason": decision.reason,
                "busy": None if decision.busy is None else round(decision.busy, 3),
                "queue": decision.queue,
            },
        )


def is_scaled(watcher: Watcher) -> bool:
    """Whether its number of processes follows its load now."""
    return watcher.settings.max_processes > 0 and watcher.wish.running


def is_steady(watcher: Watcher) -> bool:
    """Whether nothing else is going on that changes its processes: no reload, no failure."""
    return not watcher.restarts.parked and all(
        one.generation == watcher.wish.generation
        for one in watcher.processes()
        if one.state is not State.STOPPING
    )


def rules_of(settings: WatcherSettings) -> Rules:
    """The policy that the settings ask for."""
    return Rules(
        low=max(1, settings.min_processes),
        high=settings.max_processes,
        up_at=settings.scale_up_at,
        down_at=settings.scale_down_at,
        up_after=settings.scale_up_after,
        down_after=settings.scale_down_after,
        concurrency=concurrency_of(settings),
    )
