"""Where output goes: from options to a sink. Each family has a module."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from typing import Any

from chaussette.arbiter.sinks.base import Origin, Sink
from chaussette.arbiter.sinks.file import FileStream, WatchedFileStream
from chaussette.arbiter.sinks.terminal import FancyStdoutStream, StdoutStream
from chaussette.errors import ConfigError
from chaussette.settings.given import Given
from chaussette.settings.streams import CLASSES, class_name, typed_options

__all__ = ["Origin", "Sink", "check_sink", "make_sink"]
_FILES = ("FileStream", "TimedRotatingFileStream", "WatchedFileStream")


def make_sink(
    options: Mapping[str, Any], channel: str, group: int | None = None, nth: int = 0
) -> Sink:
    """A sink from the options of a `stdout_stream` or `stderr_stream`.

    `group` owns new files where processes run as another user; `nth` picks a
    colour where none is given. Raises ConfigError.
    """
    try:
        return _make(options, channel, group, nth)
    except ConfigError as error:
        raise ConfigError(f"{channel}_stream: {error}") from None
    except OSError as error:
        raise ConfigError(
            f"{channel}_stream.filename = {options.get('filename')!r}: {error.strerror}"
        ) from None


def check_sink(options: Mapping[str, Any], channel: str) -> None:
    """Checks options as `make_sink` does, and opens nothing. Raises ConfigError."""
    if isinstance(options.get("stream"), Given):
        return
    try:
        path = typed_options(options).filename if class_name(options) in _FILES else None
    except ConfigError as error:
        raise ConfigError(f"{channel}_stream: {error}") from None
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    reason = ""
    if os.path.isdir(path):
        reason = "it is a directory"
    elif not os.path.isdir(folder):
        reason = f"there is no directory {folder!r}: make it first"
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        reason = os.strerror(errno.EACCES)
    if reason:
        raise ConfigError(f"{channel}_stream.filename = {path!r}: {reason}")


def _make(options: Mapping[str, Any], channel: str, group: int | None, nth: int) -> Sink:
    if isinstance(given := options.get("stream"), Given):
        from chaussette.arbiter.sinks.memory import CalledSink, as_callable  # for who embeds us

        return CalledSink(as_callable(given.value))
    kind = class_name(options)
    if kind not in CLASSES:
        from chaussette.arbiter.sinks.custom import HostedSink  # subprocess, json: rarely wanted

        return HostedSink(kind, {key: options[key] for key in options if key != "class"})
    typed = typed_options(options)
    match kind:
        case "FileStream":
            return FileStream(typed, group)
        case "WatchedFileStream":
            return WatchedFileStream(typed, group)
        case "TimedRotatingFileStream":
            from chaussette.arbiter.sinks.rotating import TimedRotatingFileStream

            return TimedRotatingFileStream(typed, group)
        case "QueueStream":
            from chaussette.arbiter.sinks.memory import CalledSink, QueueStream

            return CalledSink(QueueStream())
        case "FancyStdoutStream":
            return FancyStdoutStream(_own_fd(channel), typed, nth)
    return StdoutStream(_own_fd(channel))


def _own_fd(channel: str) -> int:
    # Circus has its StdoutStream write the standard error of processes to standard
    # output; here each keeps its own.
    return sys.stdout.fileno() if channel == "stdout" else sys.stderr.fileno()
