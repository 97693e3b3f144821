"""The policy, driven by figures and a clock that are made up."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from chaussette.arbiter.scaling.decide import Decision, Memory, Reading, Rules, decide

RULES = Rules(low=1, high=8, up_at=0.8, down_at=0.3, up_after=3.0, down_after=10.0)
FRACTIONS = st.floats(0.0, 1.0)


class Simulated:
    """A watcher whose processes come at once, looked at once per second."""

    def __init__(self, rules: Rules = RULES, count: int = 1) -> None:
        self.rules = rules
        self.memory = Memory()
        self.now = 100.0
        self.count = count
        self.made: list[Decision] = []

    def look(self, busy: float | None = None, queue: int = 0, **other: object) -> Decision | None:
        self.now += 1.0
        reading = Reading(self.now, self.count, self.count, busy=busy, queue=queue)
        reading = dataclasses.replace(reading, **other)  # type: ignore[arg-type]
        self.memory, decision = decide(self.rules, self.memory, reading)
        if decision is not None:
            self.made.append(decision)
            self.count = decision.count
        return decision

    def run(self, busy: Sequence[float]) -> list[int]:
        return [one.count for one in (self.look(each) for each in busy) if one is not None]

    def under(self, load: Callable[[], float], seconds: int) -> list[str]:
        """The words of what is decided while `load` processes' worth of work comes in."""
        first = len(self.made)
        for _ in range(seconds):
            self.look(min(1.0, load() / self.count))
        return [one.word for one in self.made[first:]]


def test_busy_for_long_enough_brings_one_more() -> None:
    watcher = Simulated()
    assert watcher.run([1.0] * 4) == []
    decision = watcher.look(1.0)
    assert decision is not None
    assert (decision.word, decision.before, decision.count) == ("grow", 1, 2)
    assert decision.reason == "busy 100% of the last 3s (limit 80%)"


def test_a_moment_of_load_brings_nothing() -> None:
    assert Simulated().run([0.5] * 10 + [1.0] + [0.5] * 10) == []


def test_idle_for_long_enough_ends_one_after_the_other_and_not_the_last() -> None:
    watcher = Simulated(count=3)
    assert watcher.run([0.0] * 11) == []
    assert watcher.run([0.0] * 40) == [2, 1]
    assert [one.word for one in watcher.made] == ["shrink", "shrink"]


def test_after_a_shrink_the_span_begins_anew() -> None:
    watcher = Simulated(count=4)
    times = [watcher.now for _ in range(50) if watcher.look(0.0)]
    assert all(after - before >= RULES.down_after for before, after in itertools.pairwise(times))


def test_a_queue_that_persists_counts_at_once_and_for_as_many_as_wait() -> None:
    watcher = Simulated(count=4)
    decisions = [watcher.look(0.5, queue) for queue in (0, 3, 5, 2)]
    assert decisions[:3] == [None, None, None]
    assert decisions[3] is not None
    assert decisions[3].count == 6
    assert decisions[3].queue == 2


def test_a_queue_never_more_than_doubles() -> None:
    watcher = Simulated(count=2)
    for _ in range(4):
        watcher.look(1.0, 500)
    assert watcher.count == 4


def test_processes_that_take_many_requests_are_started_for_many_waiting() -> None:
    watcher = Simulated(dataclasses.replace(RULES, concurrency=10), count=4)
    for _ in range(4):
        watcher.look(None, 15)
    assert watcher.count == 6


def test_a_queue_that_comes_and_goes_brings_nothing() -> None:
    watcher = Simulated()
    for _ in range(30):
        assert watcher.look(0.5, 3) is None
        assert watcher.look(0.5, 3) is None
        assert watcher.look(0.5, 0) is None


def test_nobody_goes_while_somebody_waits() -> None:
    watcher = Simulated(count=3)
    for second in range(60):
        assert watcher.look(0.0, int(second % 3 == 0)) is None


def test_nothing_more_is_started_before_the_last_ones_serve() -> None:
    watcher = Simulated(count=1)
    watcher.run([1.0] * 5)
    assert watcher.count == 2
    for _ in range(20):
        assert watcher.look(1.0, 50, serving=1) is None
    assert watcher.run([1.0] * 3) == []
    assert watcher.run([1.0]) == [3]


def test_one_that_drains_is_waited_for_before_the_next_is_ended() -> None:
    watcher = Simulated(count=3)
    for _ in range(40):
        assert watcher.look(0.0, leaving=1) is None
    assert watcher.look(0.0) is not None


def test_who_changes_the_number_starts_the_spans_anew() -> None:
    watcher = Simulated(count=4)
    watcher.run([0.0] * 11)
    watcher.count = 5
    assert watcher.run([0.0] * 11) == []
    assert watcher.run([0.0]) == [4]


def test_nothing_is_decided_during_a_reload_and_nothing_is_kept_from_it() -> None:
    watcher = Simulated()
    for _ in range(30):
        assert watcher.look(1.0, 9, steady=False) is None
    assert watcher.run([1.0] * 3) == []


def test_what_is_out_of_bounds_is_brought_back_at_once() -> None:
    watcher = Simulated(count=12)
    assert watcher.run([1.0]) == [8]
    watcher = Simulated(dataclasses.replace(RULES, low=3), count=1)
    assert watcher.look(None, serving=0) is not None
    assert watcher.made[0].reason == "at least 3 are wanted"


def test_no_shrink_that_would_bring_the_next_grow() -> None:
    rules = dataclasses.replace(RULES, up_at=0.6, down_at=0.5)
    assert Simulated(rules, count=2).run([0.4] * 60) == []
    assert Simulated(rules, count=4).run([0.4] * 12) == [3]


def test_where_nothing_is_known_nothing_is_done() -> None:
    watcher = Simulated(count=3)
    assert [watcher.look(None) for _ in range(60)] == [None] * 60


READINGS = st.lists(
    st.tuples(
        st.one_of(st.none(), FRACTIONS),
        st.integers(0, 40),
        st.integers(-2, 0),
        st.booleans(),
        st.one_of(st.none(), st.integers(1, 8)),
    ),
    max_size=60,
)


@given(READINGS, st.integers(1, 4), st.integers(4, 8), st.sampled_from((0.0, 0.5, 3.0)))
@settings(max_examples=150, deadline=None)
def test_never_outside_of_the_limits(
    readings: list[tuple[float | None, int, int, bool, int | None]],
    low: int,
    high: int,
    after: float,
) -> None:
    rules = dataclasses.replace(RULES, low=low, high=high, up_after=after, down_after=2 * after)
    watcher = Simulated(rules, count=low)
    for busy, queue, missing, steady, by_user in readings:
        if by_user is not None:
            watcher.count = min(high, max(low, by_user))
        before = watcher.count
        serving = max(0, before + missing)
        decision = watcher.look(busy, queue, steady=steady, serving=serving)
        assert low <= watcher.count <= high
        if decision is not None:
            assert decision.before == before != decision.count
            assert decision.count >= before - 1
            assert decision.count <= 2 * before


@given(st.lists(FRACTIONS, min_size=14, max_size=40), FRACTIONS, st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_more_load_never_means_fewer_processes(
    history: list[float], extra: float, count: int
) -> None:
    """The same past but busier at every moment, until the first decision of either."""
    calm, busier = Simulated(count=count), Simulated(count=count)
    for busy in history:
        one = calm.look(busy)
        other = busier.look(min(1.0, busy + extra))
        if one is not None or other is not None:
            assert calm.count <= busier.count
            return


@given(st.floats(0.1, 7.0), st.floats(0.0, 0.05), st.integers(0, 2**16), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_no_flapping_under_noise(load: float, noise: float, seed: int, count: int) -> None:
    """A load that stays about the same is never answered by a grow and a shrink in turn."""
    chance = random.Random(seed)
    watcher = Simulated(count=count)

    def noisy() -> float:
        return load * (1 + chance.uniform(-noise, noise))

    words = watcher.under(noisy, 400)
    turns = sum(one != other for one, other in itertools.pairwise(words))
    assert turns == 0, words


def test_load_comes_and_goes() -> None:
    watcher = Simulated()
    assert set(watcher.under(lambda: 4.0, 120)) == {"grow"}
    assert watcher.count == 6  # 4 of 5 would be 80 %
    assert set(watcher.under(lambda: 0.2, 120)) == {"shrink"}
    assert watcher.count == 1
