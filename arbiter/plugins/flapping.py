"""Flapping: a watcher whose processes die young, again and again, is rested, then given up.

The arbiter itself slows down what keeps dying, and parks what never comes up;
this plugin adds a rest of the whole watcher. What it stops is what nobody else
has stopped, and what it starts is what it has stopped itself: a watcher that a
user stops stays stopped, and one that has been given up stays so until somebody
starts it.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from chaussette.arbiter.plugins.base import CircusPlugin
from chaussette.arbiter.plugins.loop import Timer
from chaussette.errors import ConfigError
from chaussette.settings.declare import parse_value
from chaussette.settings.plugins import FlappingOptions

log = logging.getLogger("chaussette.plugin.flapping")


class Verdict(enum.Enum):
    """What an event asks the plugin to do."""

    NOTHING = "nothing"
    REST = "stop it, and start it later"
    GIVE_UP = "stop it for good"
    LET_GO = "somebody else has decided: no start is to come from here"


@dataclass
class Case:
    """What is known of one watcher. Times are those of the events; no clock is read."""

    options: FlappingOptions
    tries: int = 0
    given_up: bool = False
    started: float = float("-inf")
    own_stops: int = 0
    own_start: bool = False
    born: dict[int, float] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    early: deque[float] = field(default_factory=deque)

    def feed(self, action: str, pid: int, now: float) -> Verdict:
        """Takes an event of the watcher."""
        match action:
            case "spawn":
                self.born[pid] = now
                self.own_start = False
            case "kill":
                self.asked.add(pid)
            case "reap":
                return self._died(pid, now)
            case "stop" if self.own_stops:
                self.own_stops -= 1
            case "start" if self.own_start:
                self.own_start = False
            case "stop" | "start" | "remove" | "parked":
                return self._let_go()
        return Verdict.NOTHING

    def _died(self, pid: int, now: float) -> Verdict:
        born = self.born.pop(pid, None)
        if pid in self.asked:
            self.asked.discard(pid)
            return Verdict.NOTHING
        window = self.options.window
        if not self.options.active or born is None or now - born >= window:
            return Verdict.NOTHING
        self.early.append(now)
        while self.early[0] < now - window:
            self.early.popleft()
        healthy = any(now - other >= window for other in self.born.values())
        if len(self.early) < self.options.attempts or healthy or self.given_up:
            return Verdict.NOTHING
        return self._flaps(now)

    def _flaps(self, now: float) -> Verdict:
        self.early.clear()
        if now - self.started > self.options.window + self.options.retry_in:
            self.tries = 0  # it was well in between
        if 0 <= self.options.max_retry <= self.tries:
            self.given_up = True
            return Verdict.GIVE_UP
        self.tries += 1
        return Verdict.REST

    def _let_go(self) -> Verdict:
        self.tries = 0
        self.given_up = False
        self.early.clear()
        return Verdict.LET_GO


class Flapping(CircusPlugin):
    """Stops a watcher whose processes die again and again, and tries again later."""

    name = "flapping"
    Options = FlappingOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.cases: dict[str, Case] = {}
        self._timers: dict[str, Timer] = {}

    def handle_recv(self, data: tuple[bytes, bytes]) -> None:
        """Hears of starts, deaths, and what users do."""
        watcher, action, text = self.split_data(data)
        if watcher.startswith("plugin:"):
            return
        if action == "updated" and watcher in self.cases:
            self.cases[watcher].options = self._options_of(watcher)
        case = self.cases.get(watcher)
        if case is None:
            case = self.cases[watcher] = Case(self._options_of(watcher))
        message = self.load_message(text)
        verdict = case.feed(action, int(message.get("process_pid", 0)), float(message["time"]))
        if action == "remove":
            del self.cases[watcher]
        self._act(watcher, case, verdict)

    def handle_stop(self) -> None:
        """Nothing rests for ever because the plugin has gone."""
        for watcher in list(self._timers):
            log.warning("%s rests, and nobody is left to start it", watcher)

    def _act(self, watcher: str, case: Case, verdict: Verdict) -> None:
        if verdict is Verdict.LET_GO and watcher in self._timers:
            log.info("%s: somebody else has taken over; it is left alone", watcher)
            self._timers.pop(watcher).cancel()
        if verdict is Verdict.REST:
            log.warning(
                "%s is flapping: it rests for %gs (try %d of %s)",
                watcher,
                case.options.retry_in,
                case.tries,
                case.options.max_retry if case.options.max_retry >= 0 else "any number",
            )
            if self._stop(watcher, case):
                self._timers[watcher] = self.loop.after(
                    case.options.retry_in, lambda: self._start(watcher)
                )
        if verdict is Verdict.GIVE_UP:
            log.error("%s is given up after %d tries; start it by hand", watcher, case.tries)
            self._stop(watcher, case)

    def _stop(self, watcher: str, case: Case) -> bool:
        case.own_stops += 1
        reply = self.call("stop", name=self.full_name(watcher), match="simple")
        if reply["status"] == "error":
            case.own_stops -= 1
            log.warning("%s cannot be stopped: %s", watcher, reply.get("reason"))
        return bool(reply["status"] != "error")

    def _start(self, watcher: str) -> None:
        self._timers.pop(watcher, None)
        case = self.cases[watcher]
        case.own_start = True
        reply = self.call("start", name=self.full_name(watcher), match="simple")
        case.started = float(reply["time"])
        if reply["status"] == "error":
            log.warning("%s cannot be started: %s", watcher, reply.get("reason"))

    def _options_of(self, watcher: str) -> FlappingOptions:
        reply = self.call("options", name=self.full_name(watcher))
        own = reply.get("options", {}) if reply.get("status") != "error" else {}
        return watcher_options(self.options, own, watcher)


def watcher_options(
    common: FlappingOptions, options: Mapping[str, Any], watcher: str
) -> FlappingOptions:
    """The plugin's options, with the `flapping.x` of one watcher over them."""
    changed: dict[str, Any] = {}
    for one in fields(FlappingOptions):
        if (text := options.get(f"flapping.{one.name}")) is not None:
            try:
                changed[one.name] = parse_value(FlappingOptions, one.name, str(text))
            except ConfigError as error:
                log.error("[watcher:%s] flapping.%s", watcher, error)
    return replace(common, **changed)
