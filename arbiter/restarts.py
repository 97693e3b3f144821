"""When a dead process may be replaced: at once, later, or not any more.

Pure: the clock's readings are arguments. Two things are told apart. A *failed
start* (it ended before it came up) is tried again after a growing pause, and
given up after `max_retry` in a row. A *death* of a process that was up is
repaired at once, as long as there are not more of them than a healthy service
can explain; past that, the pause grows too. The first failed start is tried again
at once, too: whoever is killed young need not be the cause of it.
"""

from __future__ import annotations

from collections import deque

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
WINDOW = 10.0
"""Seconds over which deaths are counted."""
BURST = 5
"""Deaths within the window that are always repaired at once."""


class RestartPolicy:
    """The memory of one watcher: what failed lately, and until when to wait."""

    def __init__(self) -> None:
        self.not_before = 0.0
        self.failures = 0
        self.parked = False
        self._last_failure = float("-inf")
        self._deaths: deque[float] = deque()
        self._excess = 0

    def failed_start(self, started: float, now: float, max_retry: int) -> None:
        """A process that was started at `started` did not come up.

        Those that were under way together count once: they fail for one reason.
        """
        if started < self._last_failure:
            return
        self._last_failure = now
        self.failures += 1
        self.not_before = now + (pause(self.failures - 1) if self.failures > 1 else 0.0)
        self.parked = 0 <= max_retry < self.failures

    def came_up(self) -> None:
        """A process came up: whatever was wrong with starting is over."""
        self.failures = 0

    def died(self, now: float, processes: int) -> None:
        """A process that was up has ended unasked: it is replaced, whatever failed before."""
        self.parked = False
        self.failures = 0
        self._deaths.append(now)
        while self._deaths and self._deaths[0] < now - WINDOW:
            self._deaths.popleft()
        if len(self._deaths) <= max(BURST, 2 * processes):
            self._excess = 0
            return
        self._excess += 1
        self.not_before = max(self.not_before, now + pause(self._excess))

    @property
    def slowed(self) -> bool:
        """Whether processes die so often that their replacement has to wait."""
        return self._excess > 0

    def forgive(self) -> None:
        """Somebody asked for a start: begin anew."""
        self.__init__()  # type: ignore[misc]


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 0.1, 0.2, 0.4 … 30."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 16)))
