"""The arbiter's own log: formatted here, written by the writer thread."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaussette import logformat
from chaussette.arbiter.sinks.base import Origin, Sink
from chaussette.arbiter.sinks.terminal import StdoutStream
from chaussette.arbiter.streams import StreamTable
from chaussette.errors import ConfigError, did_you_mean
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
        configure_from_file(settings.loggerconfig)
        return
    logger = logging.getLogger("chaussette")
    logger.setLevel(settings.loglevel.upper())
    logger.propagate = False
    logger.handlers[:] = [_handler(settings.logoutput, streams)]


def _handler(output: str, streams: StreamTable) -> logging.Handler:
    if output == "syslog" or output.startswith("syslog:"):
        return _syslog(output)
    if output == "-":
        return QueuedHandler(streams, StdoutStream(sys.stderr.fileno()))
    try:
        return QueuedHandler(
            streams, streams.sink({"class": "FileStream", "filename": output}, "stderr")
        )
    except ConfigError as error:
        raise ConfigError(f"logoutput = {output!r}: {error}") from None


class _TellOnce:
    """Says on standard error that the log goes nowhere, once; the next record may get through."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._told = False

    def __call__(self, _: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            sys.stderr.write(f"circusd: lines are lost: {self._output}: {sys.exc_info()[1]}\n")


def _syslog(output: str) -> logging.Handler:
    """`syslog`, `syslog://HOST[:PORT][?FACILITY]` or `syslog:///PATH[?FACILITY]`. See RFC 3164."""
    from logging.handlers import SysLogHandler  # rarely wanted, and not small
    from urllib.parse import urlsplit

    parts = urlsplit(output if ":" in output else "syslog:///dev/log")
    facility = SysLogHandler.facility_names.get(parts.query or "daemon")
    if facility is None:
        raise ConfigError(
            f"logoutput = {output!r}: no syslog facility {parts.query!r}"
            + did_you_mean(parts.query, SysLogHandler.facility_names)
        )
    address: str | tuple[str, int] = parts.path or "/dev/log"
    if parts.hostname:
        address = (parts.hostname, parts.port or 514)
    try:
        if isinstance(address, str) and not stat.S_ISSOCK(os.stat(address).st_mode):
            raise OSError(0, f"{address} is no socket")
        handler = SysLogHandler(address, facility)
    except OSError as error:
        raise ConfigError(f"logoutput = {output!r}: {error.strerror or error}") from None
    handler.handleError = _TellOnce(output)  # type: ignore[assignment]
    handler.setFormatter(logging.Formatter("circusd[%(process)d]: [%(levelname)s] %(message)s"))
    return handler


def _yaml(text: str) -> Any:
    from importlib import import_module

    yaml: Any = import_module("yaml")  # no dependency of ours
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def configure_from_file(path: str) -> None:
    """Has logging read a configuration file. Raises ConfigError."""
    import logging.config  # rarely wanted, and not small

    try:
        if path.endswith((".json", ".yaml", ".yml")):
            text = Path(path).read_text("utf-8")
            logging.config.dictConfig(json.loads(text) if path.endswith(".json") else _yaml(text))
        else:
            logging.config.fileConfig(path, disable_existing_loggers=False)
    except ModuleNotFoundError as error:
        hint = "; pip install PyYAML, or write it as .json" if error.name == "yaml" else ""
        raise ConfigError(f"loggerconfig {path!r}: {error}{hint}") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ImportError) as error:
        raise ConfigError(f"loggerconfig {path!r}: {error}") from None
