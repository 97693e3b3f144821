"""How busy a worker is, from what its scoreboard slot says at two moments.

A slot counts the time of requests that have ended. One that runs would look
idle until its end, and like more than it can do then; so what is in flight is
credited as it goes, and the credit is taken off when the request ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from chaussette.scoreboard import SlotView


@dataclass(frozen=True)
class Track:
    """What was last seen of one worker. `credit_ns` is what requests in flight were given."""

    now_ns: int
    requests: int = 0
    busy_ns: int = 0
    in_flight: int = 0
    credit_ns: int = 0


def follow(track: Track, view: SlotView, now_ns: int, concurrency: int) -> tuple[Track, float]:
    """The next track, and how busy the worker was since: 0 to 1.

    Requests are taken to end in the order in which they came; one that is new and
    still runs, to be as old as others get, or half the span. What was wrong in
    that is set right when it ends.
    """
    span = now_ns - track.now_ns
    ended = max(0, view.requests - track.requests)
    known = max(0, view.busy_ns - track.busy_ns)
    old_ended = min(track.in_flight, ended)
    paid = track.credit_ns * old_ended // track.in_flight if track.in_flight else 0
    used = max(0, known - paid)
    old = min(track.in_flight - old_ended, view.in_flight)
    so_far = min(span // 2, known // ended) if ended else span // 2
    # With one thread, the next request comes when the one before has ended.
    room = max(0, concurrency * span - used)
    running = min(old * span + (view.in_flight - old) * so_far, room)
    after = Track(
        now_ns,
        view.requests,
        view.busy_ns,
        view.in_flight,
        track.credit_ns - paid + running if view.in_flight else 0,
    )
    return after, min(1.0, (used + running) / (concurrency * span)) if span > 0 else 0.0


def threads_of(words: Sequence[str]) -> int:
    """How many requests a command takes at a time, by its --threads; 1 without."""
    for word, after in itertools.pairwise((*words, "")):
        name, _, value = word.partition("=")
        if name == "--threads":
            text = value or after
            return int(text) if text.isdecimal() and int(text) else 1
    return 1
