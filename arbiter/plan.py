"""What a watcher must do next: from what is there to what is wanted.

One rule serves starting, scaling, reload, restart, retirement by age and
recovery: *current* processes are of the wanted generation and not retiring, all
others that live are *old*; start the current ones that are missing, and stop
old ones as current ones come up. Nothing here starts, signals or waits.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chaussette.arbiter.lifecycle import State

SLICE = 16
"""Starts asked for at a time, so that signals and commands are heard in between."""


class Style(enum.Enum):
    """In which order processes are exchanged."""

    SWAP = "swap"
    """New ones first; the old ones go when the new ones are ready."""
    STOP_FIRST = "stop first"
    """The old ones end before a new one is started."""


class ProcessView(NamedTuple):
    """What the plan needs to know of one process. `started` orders by age.

    No dataclass: a watcher of a thousand processes makes a thousand for each look.
    """

    pid: int
    generation: int
    state: State
    started: float
    retiring: bool = False


@dataclass(frozen=True)
class FleetView:
    """One watcher at one moment.

    `wanted` is how many shall serve, `generation` of which generation, `surge`
    how many may run beyond `wanted` while generations change hands.
    """

    wanted: int
    generation: int
    processes: Sequence[ProcessView]
    style: Style = Style.SWAP
    surge: int | None = None
    may_start: bool = True


@dataclass(frozen=True)
class Plan:
    """What to do now: how many to start, whom to stop, and whether all is well."""

    start: int = 0
    stop: tuple[int, ...] = ()
    settled: bool = False


def plan(fleet: FleetView) -> Plan:
    """The next orders for one watcher."""
    alive = [one for one in fleet.processes if one.state in (State.STARTING, State.READY)]
    ending = len(fleet.processes) - len(alive)
    current = [one for one in alive if _is_current(one, fleet)]
    old = [one for one in alive if not _is_current(one, fleet)]
    ready = sum(one.state is State.READY for one in current)
    missing = max(0, fleet.wanted - len(current))
    stop = _oldest(current, len(current) - fleet.wanted)
    stop += _oldest(old, len(old) - _old_to_keep(fleet, len(old), ready))
    start = min(missing, _room(fleet, len(current), len(old), ending), SLICE)
    return Plan(
        start=start if fleet.may_start else 0,
        stop=tuple(stop),
        settled=ready == fleet.wanted == len(current) and not old and not ending,
    )


def _is_current(process: ProcessView, fleet: FleetView) -> bool:
    return process.generation == fleet.generation and not process.retiring


def _old_to_keep(fleet: FleetView, old: int, ready: int) -> int:
    if fleet.style is Style.STOP_FIRST or fleet.wanted == 0:
        return 0
    if fleet.surge is None:
        return old if ready < fleet.wanted else 0
    if fleet.surge >= fleet.wanted:
        # No more than are wanted, or there might be no room for a new one.
        return fleet.wanted if ready < fleet.wanted else 0
    return max(0, fleet.wanted - ready)


def _room(fleet: FleetView, current: int, old: int, ending: int) -> int:
    """How many more may run beside those there are."""
    if fleet.style is Style.STOP_FIRST:
        return 0 if old or ending else fleet.wanted
    if fleet.surge is None:
        return fleet.wanted
    return max(0, fleet.wanted + max(1, fleet.surge) - current - old - ending)


def _oldest(processes: list[ProcessView], count: int) -> list[int]:
    by_age = sorted(processes, key=lambda one: one.started)
    return [one.pid for one in by_age[: max(0, count)]]


def pick_batch(text: str | None, wanted: int) -> int | None:
    """How many of `wanted` processes are exchanged at a time: `3`, `25%`; None: all."""
    if text is None:
        return None
    if text.endswith("%"):
        return max(1, -(-wanted * int(text[:-1]) // 100))
    return max(1, int(text))
