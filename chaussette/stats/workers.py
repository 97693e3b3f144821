"""Figures of workers, from the arbiter's scoreboard: what it reads are a few words of memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from chaussette.busyness import Track, follow
from chaussette.scoreboard import ScoreboardView, SlotView

log = logging.getLogger("chaussette.stats")


@dataclass(frozen=True)
class WorkerFigures:
    """One worker since the last look. `done` are requests, `rate` those per second."""

    view: SlotView
    now_ns: int
    done: int
    rate: float
    busy: float

    def told(self) -> dict[str, object]:
        """As it is published."""
        view = self.view
        return {
            "state": view.state.name.lower(),
            "in_flight": view.in_flight,
            "requests": view.requests,
            "errors": view.errors,
            "bytes_sent": view.bytes_sent,
            "heartbeat_age": round(max(0, self.now_ns - view.heartbeat_ns) / 1e9, 3),
            "rate": round(self.rate, 2),
            "busy": round(self.busy, 4),
        }


class Workers:
    """All workers of one arbiter, by pid."""

    def __init__(self) -> None:
        self._board: ScoreboardView | None = None
        self._tracks: dict[int, Track] = {}

    def open(self, place: tuple[str, int] | None) -> None:
        """Opens an arbiter's scoreboard in place of what was there; without one, nobody works."""
        self.close()
        self._tracks.clear()
        if place is None:
            return
        try:
            # A number that means another file by now is not read.
            if not os.readlink(place[0]).startswith("/memfd:chaussette-scoreboard"):
                raise OSError(0, "it is no scoreboard")
            self._board = ScoreboardView(*place)
        except OSError as error:
            log.warning("no figures of workers: %s: %s", place[0], error.strerror)

    def look(self, now_ns: int, concurrency: Callable[[int], int]) -> dict[int, WorkerFigures]:
        """All workers; `concurrency` tells how many requests the one of a pid takes at a time."""
        views = self._board.workers() if self._board is not None else {}
        for pid in self._tracks.keys() - views.keys():
            del self._tracks[pid]
        return {
            pid: self._figures(pid, view, now_ns, concurrency(pid)) for pid, view in views.items()
        }

    def close(self) -> None:
        """Lets go of the scoreboard."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _figures(self, pid: int, view: SlotView, now_ns: int, concurrency: int) -> WorkerFigures:
        before = self._tracks.get(pid)
        if before is None:
            self._tracks[pid] = Track(now_ns, view.requests, view.busy_ns, view.in_flight)
            return WorkerFigures(view, now_ns, 0, 0.0, 0.0)
        self._tracks[pid], busy = follow(before, view, now_ns, concurrency)
        done = max(0, view.requests - before.requests)
        span = now_ns - before.now_ns
        return WorkerFigures(view, now_ns, done, done * 1e9 / span if span > 0 else 0.0, busy)
