"""When looks are taken at all: a watcher without limits costs no timer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from chaussette.arbiter.loop import Callback, Loop, Timer
from chaussette.arbiter.process import Process
from chaussette.arbiter.scaling.scaler import Scaler
from chaussette.arbiter.watcher import Watcher
from chaussette.settings.watcher import WatcherSettings


class ClockedLoop(Loop):
    """A loop whose timers are due when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        super().__init__(lambda: self.now)
        self.timers: list[Timer] = []

    def at(self, when: float, callback: Callback) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def advance(self, seconds: float) -> int:
        """How many timers were due by then."""
        until, due = self.now + seconds, 0
        while timers := [one for one in self.timers if one.when <= until and one.callback]:
            timer = min(timers, key=lambda one: one.when)
            self.timers.remove(timer)
            self.now, due = timer.when, due + 1
            assert timer.callback is not None
            timer.callback()
        self.now = until
        return due


class Stage:
    """A watcher with a scaler; its processes are made up, and up at once."""

    def __init__(self, **settings: object) -> None:
        self.loop = ClockedLoop()
        self.heard: list[tuple[str, Mapping[str, object]]] = []
        values = {"name": "Web", "cmd": "true", "numprocesses": 2, **settings}
        self.watchers: dict[str, Watcher] = {}
        self.watcher = Watcher(WatcherSettings(**values), self.loop, self)  # type: ignore[arg-type]
        self.watchers["web"] = self.watcher
        self.scaler = Scaler(self.loop, self.watchers, lambda _: (), self.publish)

    def _never(self, *_: object) -> Process:
        raise AssertionError("nothing is carried out here")

    start_process = process_gone = watcher_failed = call_hook = _never

    def publish(self, watcher: str, topic: str, fields: Mapping[str, object]) -> None:
        self.heard.append((topic, fields))
        self.scaler.hear(watcher, topic, fields)

    def close(self) -> None:
        self.scaler.close()
        self.loop.close()


@pytest.fixture
def stages() -> Iterator[list[Stage]]:
    made: list[Stage] = []
    yield made
    for stage in made:
        stage.close()


def test_without_limits_there_is_no_timer(stages: list[Stage]) -> None:
    stages.append(stage := Stage())
    stage.watcher.start()
    stage.publish("Web", "ready", {})
    assert stage.loop.timers == []


def test_before_it_is_started_there_is_no_timer(stages: list[Stage]) -> None:
    stages.append(stage := Stage(max_processes=3))
    stage.publish("Web", "add", {})
    assert stage.loop.timers == []


def test_one_look_per_interval_until_it_is_stopped(stages: list[Stage]) -> None:
    stages.append(stage := Stage(max_processes=3, scale_interval=2.0))
    stage.watcher.start()
    stage.publish("Web", "spawn", {})
    assert stage.loop.advance(10.0) == 5
    stage.watcher.stop()
    assert stage.loop.advance(10.0) == 1
    assert stage.loop.advance(100.0) == 0
    stage.watcher.start()
    assert stage.loop.advance(10.0) == 5


def test_limits_that_are_taken_away_end_the_looks(stages: list[Stage]) -> None:
    stages.append(stage := Stage(max_processes=3))
    stage.watcher.start()
    stage.watcher.settings = WatcherSettings(name="Web", cmd="true")
    assert stage.loop.advance(10.0) == 1
    stage.watcher.settings = WatcherSettings(name="Web", cmd="true", max_processes=2)
    stage.publish("Web", "updated", {})
    assert stage.loop.advance(10.0) == 10


def test_one_that_is_removed_is_forgotten(stages: list[Stage]) -> None:
    stages.append(stage := Stage(max_processes=3))
    stage.watcher.start()
    del stage.watchers["web"]
    stage.publish("Web", "remove", {})
    assert stage.loop.advance(100.0) == 1


def test_a_number_beyond_a_new_limit_is_told_with_its_reason(stages: list[Stage]) -> None:
    stages.append(stage := Stage(max_processes=3))
    stage.watcher.start()
    stage.watcher.settings = WatcherSettings(name="Web", cmd="true", max_processes=1)
    stage.loop.advance(1.0)
    assert stage.watcher.wish.count == 1
    assert stage.heard[-1] == (
        "shrink",
        {
            "before": 2,
            "numprocesses": 1,
            "reason": "at most 1 are allowed",
            "busy": None,
            "queue": 0,
        },
    )
