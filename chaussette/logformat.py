"""How a log line of ours looks, in the arbiter and in its workers alike."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    import logging

FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"


def formatter() -> logging.Formatter:
    """The formatter of all our handlers."""
    import logging  # a worker whose application does not log does without

    return logging.Formatter(FORMAT, DATE_FORMAT)


def line(level: str, message: str) -> str:
    """The same line, made without logging."""
    return f"{time.strftime(DATE_FORMAT)} [{os.getpid()}] [{level}] {message}"
