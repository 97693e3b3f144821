"""Whether a watcher shall have more processes, or fewer: a pure function of its figures.

`decide` takes what was remembered and what was read now, and returns what to
remember and what to do. It knows no clock, no process and no socket. Busyness is
averaged over a span before it counts, so that noise decides nothing; a queue on
the listening socket that does not go away counts at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

QUEUE_READINGS = 3
"""A queue that was seen so often in a row persists; once or twice is chance."""
MARGIN = 0.9
"""Those that stay after a shrink are at most so close to growing again."""
_ALMOST = 1e-9
"""Sums of intervals are not exact."""


@dataclass(frozen=True)
class Rules:
    """What was asked for; see the settings of the same names."""

    low: int
    high: int
    up_at: float = 0.8
    down_at: float = 0.3
    up_after: float = 5.0
    down_after: float = 60.0
    concurrency: int = 1


@dataclass(frozen=True)
class Reading:
    """One watcher at one moment.

    `count` shall serve, `serving` do, `leaving` are on their way out. `busy` is
    how much of the time since the last reading those that serve were busy, or
    None where nothing is known. `steady` is false while they are exchanged,
    stopped or not to be started: nothing is decided then.
    """

    now: float
    count: int
    serving: int
    leaving: int = 0
    busy: float | None = None
    queue: int = 0
    steady: bool = True


@dataclass(frozen=True)
class Sample:
    """How busy they were in the span that ended then."""

    began: float
    ended: float
    busy: float


@dataclass(frozen=True)
class Memory:
    """What the next decision needs to know of the past."""

    count: int = -1
    settling: bool = True
    """The number has changed: what was measured before says nothing about it."""
    last: float = 0.0
    samples: tuple[Sample, ...] = ()
    queues: tuple[int, ...] = ()
    """The readings of a queue that has not been empty since."""
    quiet_since: float = 0.0
    """Since when there has been neither a change nor a queue."""


@dataclass(frozen=True)
class Decision:
    """To have `count` processes, and why."""

    before: int
    count: int
    reason: str
    busy: float | None
    queue: int

    @property
    def word(self) -> str:
        """`grow` or `shrink`."""
        return "grow" if self.count > self.before else "shrink"


def decide(rules: Rules, memory: Memory, reading: Reading) -> tuple[Memory, Decision | None]:
    """What to remember, and what to do where something is to be done."""
    memory = _remember(rules, memory, reading)
    if not reading.steady:
        return memory, None
    found = _within(rules, reading)
    if found is None and not memory.settling and reading.serving >= reading.count:
        found = _grow(rules, memory, reading) or _shrink(rules, memory, reading)
    if found is None:
        return memory, None
    count, reason = found
    after = Memory(count=count, last=reading.now, quiet_since=reading.now)
    return after, Decision(
        reading.count, count, reason, mean(memory.samples, 0.0, reading.now), reading.queue
    )


def mean(samples: tuple[Sample, ...], since: float, until: float) -> float | None:
    """How busy they were on average; None where nothing is known."""
    spans = [
        (min(one.ended, until) - max(one.began, since), one.busy)
        for one in samples
        if min(one.ended, until) > max(one.began, since)
    ]
    total = sum(span for span, _ in spans)
    return sum(span * busy for span, busy in spans) / total if total else None


def _remember(rules: Rules, memory: Memory, reading: Reading) -> Memory:
    """What counts from now on: after a change, only what comes when all serve."""
    now = reading.now
    changed = memory.count != reading.count or not reading.steady
    still_settling = memory.settling and reading.serving < reading.count
    if changed or still_settling:
        return Memory(count=reading.count, last=now, quiet_since=now)
    samples = memory.samples
    if reading.busy is not None and now > memory.last:
        oldest = now - max(rules.up_after, rules.down_after)
        kept = tuple(one for one in samples if one.ended > oldest)
        samples = (*kept, Sample(memory.last, now, min(1.0, max(0.0, reading.busy))))
    if memory.settling:
        # The span before this reading began when not all of them served.
        samples = ()
    return replace(
        memory,
        settling=False,
        last=now,
        samples=samples,
        queues=(*memory.queues[1 - QUEUE_READINGS :], reading.queue) if reading.queue else (),
        quiet_since=now if reading.queue or memory.settling else memory.quiet_since,
    )


def _within(rules: Rules, reading: Reading) -> tuple[int, str] | None:
    if reading.count > rules.high:
        return rules.high, f"at most {rules.high} are allowed"
    if reading.count < rules.low:
        return rules.low, f"at least {rules.low} are wanted"
    return None


def _grow(rules: Rules, memory: Memory, reading: Reading) -> tuple[int, str] | None:
    if reading.count >= rules.high:
        return None
    if len(memory.queues) == QUEUE_READINGS:
        # At most twice as many: what the first ones take away is not known yet.
        waiting = min(memory.queues)
        more = min(max(1, math.ceil(waiting / rules.concurrency)), max(1, reading.count))
        return (
            min(reading.count + more, rules.high),
            f"{waiting} or more connections wait to be accepted, {QUEUE_READINGS} looks in a row",
        )
    busy = _over(memory, reading.now, rules.up_after)
    if busy is None or busy < rules.up_at:
        return None
    return reading.count + 1, (
        f"busy {busy:.0%} of the last {rules.up_after:g}s (limit {rules.up_at:.0%})"
    )


def _shrink(rules: Rules, memory: Memory, reading: Reading) -> tuple[int, str] | None:
    if reading.count <= rules.low or reading.queue or reading.leaving:
        return None
    if reading.now - memory.quiet_since < rules.down_after - _ALMOST:
        return None
    busy = _over(memory, reading.now, rules.down_after)
    if busy is None or busy > rules.down_at:
        return None
    left = reading.count - 1
    if left and busy * reading.count / left > MARGIN * rules.up_at:
        return None
    return left, f"busy {busy:.0%} of the last {rules.down_after:g}s (limit {rules.down_at:.0%})"


def _over(memory: Memory, now: float, span: float) -> float | None:
    """The average over the last `span` seconds; None while it is not so long yet."""
    if not memory.samples or memory.samples[0].began > now - span + _ALMOST:
        return None
    return mean(memory.samples, now - span if span else memory.samples[-1].began, now)
