"""When a dead process may be replaced, with a clock of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaussette.arbiter.restarts import BURST, LONGEST_PAUSE, WINDOW, RestartPolicy, pause


def fail(policy: RestartPolicy, times: int, max_retry: int = 5) -> float:
    """Fails so often in a row, each as soon as it may; returns the time."""
    now = policy.not_before
    for _ in range(times):
        policy.failed_start(now, now, max_retry)
        now = policy.not_before
    return now


def test_the_first_failure_is_tried_again_at_once() -> None:
    policy = RestartPolicy()
    policy.failed_start(100.0, 100.5, 5)
    assert policy.not_before == 100.5


def test_pauses_grow_and_are_bounded() -> None:
    policy = RestartPolicy()
    now, pauses = 0.0, []
    for _ in range(14):
        policy.failed_start(now, now, -1)
        pauses.append(round(policy.not_before - now, 6))
        now = policy.not_before
    assert pauses[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE


def test_given_up_after_max_retry() -> None:
    policy = RestartPolicy()
    fail(policy, 5)
    assert not policy.parked
    fail(policy, 1)
    assert policy.parked


def test_minus_one_never_gives_up_and_zero_does_at_once() -> None:
    patient, strict = RestartPolicy(), RestartPolicy()
    fail(patient, 1000, max_retry=-1)
    fail(strict, 1, max_retry=0)
    assert not patient.parked
    assert strict.parked


def test_those_that_were_under_way_together_count_once() -> None:
    policy = RestartPolicy()
    for _ in range(20):
        policy.failed_start(1.0, 2.0, 5)
    assert policy.failures == 1


def test_coming_up_forgets_the_failures() -> None:
    policy = RestartPolicy()
    now = fail(policy, 5)
    policy.came_up()
    policy.failed_start(now, now, 5)
    assert not policy.parked
    assert policy.failures == 1


def test_forgiving_makes_it_as_new() -> None:
    policy = RestartPolicy()
    fail(policy, 9)
    policy.forgive()
    assert vars(policy) == vars(RestartPolicy())


def test_a_burst_of_deaths_is_repaired_at_once_and_more_than_that_later() -> None:
    policy = RestartPolicy()
    for number in range(BURST):
        policy.died(100.0 + number, 1)
    assert policy.not_before == 0.0
    policy.died(105.0, 1)
    assert policy.not_before > 105.0
    assert not policy.parked


def test_a_death_is_repaired_where_another_start_was_given_up() -> None:
    policy = RestartPolicy()
    now = fail(policy, 9)
    assert policy.parked
    policy.died(now, 3)
    assert not policy.parked
    fail(policy, 6)
    assert policy.parked


def test_a_large_watcher_may_lose_all_twice() -> None:
    policy = RestartPolicy()
    for _ in range(200):
        policy.died(100.0, 100)
    assert policy.not_before == 0.0


@given(st.lists(st.floats(WINDOW, 1e6), max_size=50))
def test_rare_deaths_never_wait(gaps: list[float]) -> None:
    policy = RestartPolicy()
    now = 0.0
    for gap in gaps:
        now += gap
        policy.died(now, 1)
    assert policy.not_before == 0.0


@given(st.integers(1, 10**9))
def test_a_pause_is_never_negative_and_never_endless(failures: int) -> None:
    assert 0.0 <= pause(failures) <= LONGEST_PAUSE
