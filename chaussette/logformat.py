"""How a log line of ours looks, in the arbiter and in its workers alike."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"


def formatter() -> logging.Formatter:
    """The formatter of all our handlers."""
    return logging.Formatter(FORMAT, DATE_FORMAT)
