"""The table of a process's life is complete, and says what the design promises."""

from __future__ import annotations

from itertools import product

import pytest

from chaussette.arbiter.lifecycle import NEVER, TABLE, Act, Event, State, as_mermaid, step
from chaussette.errors import LifecycleBug


def test_every_pair_is_either_handled_or_impossible() -> None:
    assert set(TABLE) | NEVER == set(product(State, Event))
    assert not set(TABLE) & NEVER


def test_only_an_exit_leads_to_gone_and_nothing_leads_back() -> None:
    order = [State.STARTING, State.READY, State.STOPPING, State.GONE]
    for (state, event), (following, _) in TABLE.items():
        assert (following is State.GONE) == (event is Event.EXITED)
        assert order.index(following) >= order.index(state)


def test_no_event_is_lost_on_the_way_to_the_end() -> None:
    for state in (State.STARTING, State.READY, State.STOPPING):
        assert step(state, Event.KILL_ASKED) == (State.STOPPING, Act.KILL)
        assert step(state, Event.EXITED)[0] is State.GONE


@pytest.mark.parametrize(("state", "event"), sorted(NEVER, key=str))
def test_the_impossible_is_a_bug(state: State, event: Event) -> None:
    with pytest.raises(LifecycleBug):
        step(state, event)


def test_an_end_before_readiness_is_always_a_failed_start() -> None:
    """Also for one that took leave first, or that never said that it is ready."""
    assert step(State.STARTING, Event.EXITED)[1] is Act.FAILED
    assert step(State.STARTING, Event.LEAVING) == (State.STARTING, Act.NOTHING)
    assert step(State.STARTING, Event.DEADLINE) == (State.STOPPING, Act.GIVE_UP)


def test_diagram_names_each_state() -> None:
    text = as_mermaid()
    for state in State:
        assert f" {state.value}" in text
