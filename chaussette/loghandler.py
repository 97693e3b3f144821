"""The handler by which `logging` writes to a worker's log, once somebody has imported it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from chaussette import logformat


class LineHandler(logging.Handler):
    """Hands each record to `write` as one text, without a lock: a signal's handler may log."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(logformat.formatter())

    def createLock(self) -> None:
        """None: see above."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """One text, one write(2)."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - a bad format argument must not stop the server
            self.handleError(record)
