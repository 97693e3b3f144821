"""Looks at something that may take its time, beside the plugin's loop.

The look is in a thread of its own, so that events are heard and the plugin can
be ended meanwhile; its outcome is handled in the loop.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any

from chaussette.arbiter.plugins.statsd import BaseObserver


class RemoteObserver(BaseObserver):
    """Write `look`, which may block, and `seen`, which must not."""

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self._is_looking = False

    def look_after(self) -> None:
        """Starts a look, unless the last one is still under way."""
        if not self._is_looking:
            self._is_looking = True
            threading.Thread(target=self._look, daemon=True).start()

    @abstractmethod
    def look(self) -> Any:
        """Looks; in a thread."""

    @abstractmethod
    def seen(self, outcome: Any) -> None:
        """Takes what `look` has returned; in the loop."""

    def _look(self) -> None:
        outcome: Any = None
        try:
            outcome = self.look()
        finally:
            self.loop.add_callback(self._done, outcome)

    def _done(self, outcome: Any) -> None:
        self._is_looking = False
        if outcome is not None:
            self.seen(outcome)
