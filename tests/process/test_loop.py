"""The loop with real descriptors and signals, and a clock that the test sets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from chaussette.arbiter.loop import LONGEST_WAIT, Loop


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[Loop]:
    made = Loop(clock)
    yield made
    made.close()


def rounds(loop: Loop, count: int = 1) -> None:
    """Lets the loop go round so often."""
    left = count

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.soon(again)
        else:
            loop.stop()

    loop.soon(again)
    loop.run()


def test_timers_fire_in_order_and_only_when_due(loop: Loop, clock: Clock) -> None:
    fired: list[str] = []
    loop.after(2, lambda: fired.append("second"))
    loop.after(1, lambda: fired.append("first"))
    loop.after(1, lambda: fired.append("first too"))
    cancelled = loop.after(1, lambda: fired.append("never"))
    cancelled.cancel()
    rounds(loop)
    assert fired == []
    clock.now = 1.0
    rounds(loop)
    assert fired == ["first", "first too"]
    clock.now = 5.0
    rounds(loop)
    assert fired == ["first", "first too", "second"]
    cancelled.cancel()


def test_a_deadline_of_a_year_is_no_overflow(loop: Loop) -> None:
    loop.after(365 * 24 * 3600.0, lambda: None)
    read, write = os.pipe()
    os.write(write, b"x")

    def readable() -> None:
        os.read(read, 1)
        loop.stop()

    loop.watch(read, readable)
    loop.run()
    assert LONGEST_WAIT * 1000 < 2**31
    loop.forget(read)
    for fd in (read, write):
        os.close(fd)


def test_what_one_callback_ends_another_is_not_told(loop: Loop) -> None:
    """Both are ready in the same round; the descriptor is closed by the first."""
    pipes = [os.pipe() for _ in range(2)]
    told: list[int] = []

    def readable(mine: int, other: int) -> None:
        told.append(mine)
        loop.forget(other)
        loop.forget(mine)

    for index, (read, write) in enumerate(pipes):
        os.write(write, b"x")
        other = pipes[1 - index][0]
        loop.watch(read, lambda mine=read, other=other: readable(mine, other))  # type: ignore[misc]
    rounds(loop)
    assert len(told) == 1
    for fd in (fd for pair in pipes for fd in pair):
        os.close(fd)


def test_a_failing_callback_is_a_wall_not_an_end(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    loop.soon(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    loop.soon(lambda: done.append("next"))
    rounds(loop)
    assert done == ["next"]
    assert "internal error" in caplog.text


def test_each_signal_is_heard_although_one_handler_fails(loop: Loop) -> None:
    heard: list[int] = []

    def fail(_: int) -> None:
        raise RuntimeError

    loop.on_signal(signal.SIGUSR1, fail)
    loop.on_signal(signal.SIGUSR2, heard.append)
    before = signal.getsignal(signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    rounds(loop, 2)
    assert heard == [signal.SIGUSR2]
    assert signal.getsignal(signal.SIGUSR2) is before


def test_signal_handlers_are_given_back(clock: Clock) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    loop = Loop(clock)
    loop.on_signal(signal.SIGUSR1, lambda _: None)
    assert signal.getsignal(signal.SIGUSR1) is not before
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is before
