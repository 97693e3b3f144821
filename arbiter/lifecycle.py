"""What can happen to a process, as a table.

States and events are enums, the table gives the next state and what to do about
it, and `step` is a pure function. Who carries the act out is process.py's and
watcher.py's business.
"""

from __future__ import annotations

import enum

from chaussette.errors import LifecycleBug


class State(enum.Enum):
    """Where a process is in its life."""

    STARTING = "starting"
    """It runs, but has not come up yet."""
    READY = "ready"
    """It does its work."""
    STOPPING = "stopping"
    """It has been told to end, or ends by its own wish."""
    GONE = "gone"
    """It has ended and been waited for."""


class Event(enum.Enum):
    """What can happen to it."""

    CAME_UP = "came up"
    """It said READY=1, or lived as long as it must."""
    LEAVING = "leaving"
    """It said STOPPING=1 unasked: it finishes what it has and ends."""
    STOP_ASKED = "stop asked"
    KILL_ASKED = "kill asked"
    DEADLINE = "deadline"
    """The time of the state it is in is over."""
    HUNG = "hung"
    """No heartbeat for too long."""
    EXITED = "exited"


class Act(enum.Enum):
    """What the transition asks for."""

    NOTHING = "nothing"
    WELCOME = "welcome"
    """Count it among those that serve."""
    TERM = "stop signal"
    ABORT = "stacks, then SIGABRT"
    GIVE_UP = "count a failed start, stacks, then SIGABRT"
    KILL = "SIGKILL"
    LET_GO = "wait for its end"
    FAILED = "count a failed start"
    DIED = "count a death and replace it"
    STOPPED = "note that it is gone"


_S, _E, _A = State, Event, Act
TABLE: dict[tuple[State, Event], tuple[State, Act]] = {
    (_S.STARTING, _E.CAME_UP): (_S.READY, _A.WELCOME),
    (_S.STARTING, _E.LEAVING): (_S.STARTING, _A.NOTHING),
    (_S.STARTING, _E.STOP_ASKED): (_S.STOPPING, _A.TERM),
    (_S.STARTING, _E.KILL_ASKED): (_S.STOPPING, _A.KILL),
    (_S.STARTING, _E.DEADLINE): (_S.STOPPING, _A.GIVE_UP),
    (_S.STARTING, _E.EXITED): (_S.GONE, _A.FAILED),
    (_S.READY, _E.CAME_UP): (_S.READY, _A.NOTHING),
    (_S.READY, _E.LEAVING): (_S.STOPPING, _A.LET_GO),
    (_S.READY, _E.STOP_ASKED): (_S.STOPPING, _A.TERM),
    (_S.READY, _E.KILL_ASKED): (_S.STOPPING, _A.KILL),
    (_S.READY, _E.HUNG): (_S.STOPPING, _A.ABORT),
    (_S.READY, _E.EXITED): (_S.GONE, _A.DIED),
    (_S.STOPPING, _E.CAME_UP): (_S.STOPPING, _A.NOTHING),
    (_S.STOPPING, _E.LEAVING): (_S.STOPPING, _A.NOTHING),
    (_S.STOPPING, _E.STOP_ASKED): (_S.STOPPING, _A.NOTHING),
    (_S.STOPPING, _E.KILL_ASKED): (_S.STOPPING, _A.KILL),
    (_S.STOPPING, _E.DEADLINE): (_S.STOPPING, _A.KILL),
    (_S.STOPPING, _E.EXITED): (_S.GONE, _A.STOPPED),
}
NEVER: frozenset[tuple[State, Event]] = frozenset(
    {(_S.GONE, event) for event in Event}
    | {(_S.STARTING, _E.HUNG), (_S.READY, _E.DEADLINE), (_S.STOPPING, _E.HUNG)}
)


def step(state: State, event: Event) -> tuple[State, Act]:
    """The next state and the act. Raises LifecycleBug for what cannot happen."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise LifecycleBug(f"{event} in {state}") from None


def as_mermaid() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> starting"]
    for (state, event), (following, act) in TABLE.items():
        if act is not Act.NOTHING:
            lines.append(f"    {state.value} --> {following.value}: {event.value} / {act.value}")
    return "\n".join([*lines, "    gone --> [*]"])
