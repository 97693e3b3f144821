"""The arbiter's own log: formatted here, written by the writer thread."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from chaussette import logformat
from chaussette.arbiter.sinks.base import Origin, Sink
from chaussette.arbiter.sinks.terminal import StdoutStream
from chaussette.arbiter.streams import StreamTable
from chaussette.errors import ConfigError
from chaussette.settings.arbiter import ArbiterSettings


class QueuedHandler(logging.Handler):
    """Hands records to the writer, so that a slow disk never stops the loop."""

    def __init__(self, streams: StreamTable, sink: Sink) -> None:
        super().__init__()
        self._streams = streams
        self._sink = sink
        self.setFormatter(logformat.formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Queues one record."""
        text = self.format(record) + "\n"
        origin = Origin(os.getpid(), "stderr")
        self._streams.writer.put(self._sink, text.encode("utf-8", "backslashreplace"), origin)


@contextlib.contextmanager
def logging_as_before() -> Iterator[None]:
    """Gives our logger back as it was: its handlers end with the streams."""
    logger = logging.getLogger("chaussette")
    before = (logger.level, logger.propagate, logger.handlers[:])
    try:
        yield
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers[:] = before[1:]


def set_up_logging(settings: ArbiterSettings, streams: StreamTable) -> None:
    """Sends the log where the settings say. Raises ConfigError."""
    if settings.loggerconfig is not None:
        _from_file(settings.loggerconfig)
        return
    logger = logging.getLogger("chaussette")
    logger.setLevel(settings.loglevel.upper())
    logger.propagate = False
    logger.handlers[:] = [_handler(settings.logoutput, streams)]


def _handler(output: str, streams: StreamTable) -> logging.Handler:
    if output.startswith("syslog://"):
        return _syslog(output)
    if output == "-":
        return QueuedHandler(streams, StdoutStream(sys.stderr.fileno()))
    try:
        return QueuedHandler(
            streams, streams.sink({"class": "FileStream", "filename": output}, "stderr")
        )
    except ConfigError as error:
        raise ConfigError(f"logoutput = {output!r}: {error}") from None


def _syslog(output: str) -> logging.Handler:
    """`syslog://HOST[:PORT][?FACILITY]` or `syslog:///PATH[?FACILITY]`."""
    from logging.handlers import SysLogHandler  # rarely wanted, and not small
    from urllib.parse import urlsplit

    parts = urlsplit(output)
    facility = SysLogHandler.facility_names.get(parts.query or "daemon")
    if facility is None:
        raise ConfigError(f"logoutput = {output!r}: no syslog facility {parts.query!r}")
    address: str | tuple[str, int] = parts.path or "/dev/log"
    if parts.hostname:
        address = (parts.hostname, parts.port or 514)
    try:
        handler = SysLogHandler(address, facility)
    except OSError as error:
        raise ConfigError(f"logoutput = {output!r}: {error}") from None
    handler.setFormatter(logging.Formatter("circusd[%(process)d]: [%(levelname)s] %(message)s"))
    return handler


def _from_file(path: str) -> None:
    import logging.config  # rarely wanted, and not small

    try:
        if path.endswith(".json"):
            logging.config.dictConfig(json.loads(Path(path).read_text("utf-8")))
        else:
            logging.config.fileConfig(path, disable_existing_loggers=False)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ImportError) as error:
        raise ConfigError(f"loggerconfig {path!r}: {error}") from None
