"""The timer wheel: never early, late by less than a slot, silent when nothing is set."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from build_c import shared
from hypothesis import given, settings
from hypothesis import strategies as st

SLOTS, SLOT = 128, 256
HORIZON = SLOTS * SLOT
TIMERS = 16
NOTHING, SET, CANCEL = range(3)
SCRIPT = tuple[int, int, int]  # act, target, due


def tick_of(due: int) -> int:
    return -(-due // SLOT)


class Wheel:
    """The C one."""

    def __init__(self, now: int) -> None:
        self.c = ctypes.CDLL(str(shared("wheel_stub", "wheel_stub.c", "wheel.c")))
        self.c.stub_new.restype = ctypes.c_void_p
        self.c.stub_tick.restype = ctypes.c_uint64
        self.at = ctypes.c_void_p(self.c.stub_new(ctypes.c_uint64(now)))

    def free(self) -> None:
        self.c.stub_free(self.at)

    def set(self, index: int, due: int) -> None:
        self.c.stub_set(self.at, index, ctypes.c_uint64(due))

    def cancel(self, index: int) -> None:
        self.c.stub_cancel(self.at, index)

    def script(self, index: int, script: SCRIPT) -> None:
        act, target, due = script
        self.c.stub_script(self.at, index, act, target, ctypes.c_uint64(due))

    def expire(self, now: int) -> list[int]:
        fired = (ctypes.c_int * (4 * TIMERS))()
        return list(fired[: self.c.stub_expire(self.at, ctypes.c_uint64(now), fired)])

    def next(self, now: int) -> int:
        return int(self.c.stub_next(self.at, ctypes.c_uint64(now)))

    def is_set(self, index: int) -> bool:
        return bool(self.c.stub_is_set(self.at, index))

    def tick(self, index: int) -> int:
        return int(self.c.stub_tick(self.at, index))


@pytest.fixture
def wheel() -> Iterator[Wheel]:
    wheel = Wheel(1000)
    yield wheel
    wheel.free()


def test_nothing_set_wakes_nobody(wheel: Wheel) -> None:
    assert wheel.next(1000) == -1
    wheel.set(0, 2000)
    wheel.cancel(0)
    wheel.cancel(0)
    assert wheel.next(1000) == -1
    assert wheel.expire(10**9) == []


@pytest.mark.parametrize("due", [1024, 1025, 1279, 1280, 1281, 5000, HORIZON, 10 * HORIZON + 3])
def test_on_time(wheel: Wheel, due: int) -> None:
    wheel.set(0, due)
    now = 1000
    while not (fired := wheel.expire(now)):
        wait = wheel.next(now)
        assert wait > 0
        now += wait
    assert fired == [0]
    assert due <= now < due + SLOT
    assert not wheel.is_set(0)
    assert wheel.next(now) == -1


def test_a_due_that_is_past_fires_at_the_end_of_the_slot(wheel: Wheel) -> None:
    wheel.set(0, 0)
    assert wheel.next(1000) == 24
    assert wheel.expire(1023) == []
    assert wheel.expire(1024) == [0]


def test_a_later_deadline_stays_linked_where_it_is(wheel: Wheel) -> None:
    wheel.set(0, 2000)
    tick = wheel.tick(0)
    wheel.set(0, 30_000)
    assert wheel.tick(0) == tick
    wheel.set(0, 5000)  # earlier than before, and not than its slot
    assert wheel.tick(0) == tick
    wheel.set(0, 1500)
    assert wheel.tick(0) == tick_of(1500)
    wheel.set(0, 6000)
    assert wheel.expire(1536) == []  # sent on
    assert wheel.tick(0) == tick_of(6000)


def test_not_a_millisecond_early(wheel: Wheel) -> None:
    wheel.set(0, 1500)
    wheel.set(1, 1500)
    wheel.set(0, 1537)  # both stay in the slot that ends at 1536
    wheel.set(1, 1536)
    assert wheel.expire(1536) == [1]
    assert wheel.expire(1792) == [0]


def test_a_busy_connection_is_relinked_once_per_timeout(wheel: Wheel) -> None:
    """Ten thousand requests in ten seconds, with a keep-alive of five."""
    ticks = set()
    for now in range(1000, 11_000):
        wheel.set(0, now + 5000)
        assert wheel.expire(now) == []
        ticks.add(wheel.tick(0))
    assert len(ticks) <= 3


def test_a_clock_that_stood_still_or_jumped(wheel: Wheel) -> None:
    for index in range(TIMERS):
        wheel.set(index, 1000 + index * 10_000)
    assert wheel.expire(1000) == []
    assert wheel.expire(500) == []
    assert wheel.next(5000) == 0
    assert sorted(wheel.expire(10**12)) == list(range(TIMERS))


def test_the_longest_deadline(wheel: Wheel) -> None:
    wheel.set(0, 2**64 - 1)
    assert 0 < wheel.next(1000) <= HORIZON
    assert wheel.expire(10**15) == []
    assert wheel.is_set(0)


def test_callbacks_move_their_neighbours(wheel: Wheel) -> None:
    for index in range(4):
        wheel.set(index, 2000)
    wheel.script(0, (CANCEL, 1, 0))
    wheel.script(2, (SET, 3, 9000))
    wheel.script(3, (SET, 3, 0))  # stays, for later
    assert wheel.expire(2048) == [0, 2]
    assert [wheel.is_set(index) for index in range(4)] == [False, False, False, True]
    assert wheel.expire(9216) == [3]
    assert wheel.expire(9216) == []
    assert wheel.expire(9472) == [3]


TIMES = st.one_of(
    st.integers(0, 3 * SLOT), st.integers(0, HORIZON + SLOT), st.integers(0, 5 * HORIZON)
)
STEPS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, TIMERS - 1), TIMES),
    st.tuples(st.just("cancel"), st.integers(0, TIMERS - 1), st.just(0)),
    st.tuples(st.just("expire"), st.just(0), TIMES),
    st.tuples(st.just("script"), st.integers(0, TIMERS - 1), TIMES),
)


class Model:
    """What must have fired, and what may."""

    def __init__(self, now: int) -> None:
        self.now, self.tick = now, now // SLOT
        self.due: dict[int, int] = {}
        self.latest: dict[int, int] = {}  # the tick at whose end it must have fired
        self.scripts: dict[int, SCRIPT] = {}

    def set(self, index: int, due: int) -> None:
        self.due[index] = due
        self.latest[index] = max(tick_of(due), self.tick + 1)

    def cancel(self, index: int) -> None:
        self.due.pop(index, None)
        self.latest.pop(index, None)

    def expired(self, fired: list[int]) -> None:
        """Follows what the wheel did at self.now."""
        self.tick = max(self.tick, self.now // SLOT)
        for index in fired:
            assert self.due[index] <= self.now, "early"
            self.cancel(index)
            act, target, due = self.scripts.pop(index, (NOTHING, 0, 0))
            if act == SET:
                self.set(target, due)
            elif act == CANCEL:
                self.cancel(target)
        assert all(tick > self.tick for tick in self.latest.values()), "late"


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60), st.integers(0, 10**6))
def test_as_the_model(steps: list[tuple[str, int, int]], start: int) -> None:
    wheel, model = Wheel(start), Model(start)
    for name, index, number in steps:
        if name == "set":
            # Sometimes before now, as a loop that was held up does.
            due = max(0, model.now + number - SLOT)
            wheel.set(index, due)
            model.set(index, due)
        elif name == "cancel":
            wheel.cancel(index)
            model.cancel(index)
        elif name == "script":
            script = (number % 3, number % TIMERS, model.now + number)
            wheel.script(index, script)
            model.scripts[index] = script
        else:
            model.now += number
            model.expired(wheel.expire(model.now))
        assert {index for index in range(TIMERS) if wheel.is_set(index)} == set(model.due)
        wait = wheel.next(model.now)
        assert (wait == -1) == (not model.due)
        if model.due:
            assert model.now + wait <= max(model.now, min(model.latest.values()) * SLOT)
    wheel.free()
