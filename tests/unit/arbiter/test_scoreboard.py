"""Slots of the scoreboard: apart from each other, and always readable."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from chaussette.scoreboard import (
    ENVIRONMENT,
    SLOT_SIZE,
    Scoreboard,
    WorkerState,
    private_slot,
    slot_from_environment,
)


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    made = Scoreboard.create(4)
    yield made
    os.close(made.fd)


def test_a_slot_is_one_cache_line(board: Scoreboard) -> None:
    assert SLOT_SIZE == 64
    assert os.fstat(board.fd).st_size == 4 * SLOT_SIZE


def test_a_worker_writes_what_the_arbiter_reads(board: Scoreboard) -> None:
    theirs = slot_from_environment({ENVIRONMENT: board.environment(2)})
    theirs.enter(WorkerState.SERVING, 77, 10)
    theirs.begin()
    theirs.begin()
    theirs.end(busy_ns=5, bytes_sent=7, failed=True)
    theirs.beat(20)
    seen = board.slot(2).read()
    assert (seen.state, seen.pid, seen.heartbeat_ns) == (WorkerState.SERVING, 77, 20)
    assert (seen.in_flight, seen.requests, seen.busy_ns, seen.bytes_sent, seen.errors) == (
        1,
        1,
        5,
        7,
        1,
    )
    for index in (0, 1, 3):
        assert board.slot(index).read().pid == 0


def test_a_cleared_slot_is_as_new(board: Scoreboard) -> None:
    slot = board.slot(1)
    slot.enter(WorkerState.DRAINING, 5, 5)
    slot.begin()
    slot.clear()
    assert slot.read() == private_slot().read()


def test_an_end_without_a_beginning_does_not_go_below_nothing() -> None:
    slot = private_slot()
    slot.end()
    assert slot.read().in_flight == 0


def test_slots_end_where_they_end(board: Scoreboard) -> None:
    for index in (-1, 4):
        with pytest.raises(IndexError):
            board.slot(index)


@pytest.mark.parametrize("text", ["", "x", "1:2", "999999:0:4", "0:9:4", "-1:0:1", "1:2:3:4"])
def test_another_managers_leftovers_give_a_private_slot(text: str) -> None:
    slot = slot_from_environment({ENVIRONMENT: text})
    slot.begin()
    assert slot.read().in_flight == 1
