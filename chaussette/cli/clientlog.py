"""The log of programs that run beside the arbiter: plugins and circusd-stats."""

from __future__ import annotations

import logging

from chaussette import logformat
from chaussette.errors import ConfigError
from chaussette.settings.server import LOG_LEVELS


def set_up_logging(level: str, output: str) -> None:
    """Logs from `level` on to a file, or - for standard error. Raises ConfigError."""
    if level.lower() not in LOG_LEVELS:
        raise ConfigError(f"--log-level {level}: expected one of {', '.join(LOG_LEVELS)}")
    try:
        handler = logging.StreamHandler() if output == "-" else logging.FileHandler(output)
    except OSError as error:
        raise ConfigError(f"--log-output {output!r}: {error.strerror}") from None
    handler.setFormatter(logformat.formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
