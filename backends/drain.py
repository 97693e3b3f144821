"""When a worker that was told to stop may do what; no clock but the caller's.

Every backend drains by the same three marks: the moment it began, the moment
up to which idle connections stay open, and the moment when all must be over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from chaussette.backends.base import IDLE_GRACE

Clock = Callable[[], float]


class Drain:
    """The end of one worker's life: not begun, or begun at one moment for good."""

    def __init__(self, graceful_timeout: float, clock: Clock = time.monotonic) -> None:
        self._graceful_timeout = graceful_timeout
        self._clock = clock
        self._began_at = math.inf

    @property
    def began(self) -> bool:
        """Whether the worker was told to stop."""
        return self._began_at != math.inf

    def begin(self) -> bool:
        """Begins it; False when it had begun already. Safe in a signal handler."""
        if self.began:
            return False
        self._began_at = self._clock()
        return True

    def idle_is_over(self) -> bool:
        """Whether connections with no request on them are to be closed now."""
        return self._clock() >= self._began_at + min(IDLE_GRACE, self._graceful_timeout)

    def is_over(self) -> bool:
        """Whether the time for requests under way has passed."""
        return self.remaining() <= 0

    def remaining(self) -> float:
        """Seconds that requests under way still have; infinite before the drain."""
        return self._began_at + self._graceful_timeout - self._clock()
