"""`stdout_stream.*` and `stderr_stream.*`: the classes there are, and their options.

Names and options are Circus's. What can be known to be wrong without opening
anything is found here; the sinks themselves are in arbiter/sinks/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings import variables
from chaussette.settings.declare import build, key_names, parse_value, setting, unknown_key
from chaussette.settings.kinds import BOOL, PATH, SIZE, TEXT, Kind, choice, integer, seconds

COLORS = ("red", "green", "yellow", "blue", "magenta", "cyan", "white")
WHEN = ("S", "M", "H", "D", "MIDNIGHT", *(f"W{day}" for day in range(7)))
WITHOUT_MEANING = {"refresh_time": "output is written at once"}
"""Options that old configurations have, and why they are not needed."""


def _patience(text: str) -> float:
    word = text.strip().lower()
    if word in ("wait", "drop"):
        return float("inf") if word == "wait" else 0.0
    return seconds().parse(word)


PATIENCE = Kind(
    "wait|drop|SECONDS", "wait, drop, or how many seconds are waited for before", _patience
)


@dataclass(frozen=True, kw_only=True)
class WatchedFileOptions:
    """A file that something else rotates."""

    filename: str | None = setting(None, PATH, "The file.")
    time_format: str = setting("", TEXT, "strftime format; puts `TIME [PID] | ` before each line.")
    when_full: float = setting(
        1.0,
        PATIENCE,
        "What happens when the disk is slower than the processes: they wait so many seconds, then "
        "lines are dropped and counted; wait: they wait as long as it takes; drop: not at all.",
    )


@dataclass(frozen=True, kw_only=True)
class FileOptions(WatchedFileOptions):
    """A file, rotated by size."""

    max_bytes: int = setting(0, SIZE, "Size at which the file is rotated; 0: never.")
    backup_count: int = setting(0, integer(0), "How many old files are kept.")


@dataclass(frozen=True, kw_only=True)
class TimedFileOptions(WatchedFileOptions):
    """A file, rotated by the clock."""

    backup_count: int = setting(0, integer(0), "How many old files are kept; 0: all.")
    rotate_when: str = setting("H", choice(*WHEN), "Unit of time, or the day of the week.")
    rotate_interval: int = setting(1, integer(1), "How many units between two rotations.")
    utc: bool = setting(False, BOOL, "Use UTC rather than local time.")


@dataclass(frozen=True, kw_only=True)
class StdoutOptions:
    """The arbiter's own output."""


@dataclass(frozen=True, kw_only=True)
class FancyStdoutOptions:
    """The arbiter's own output, in colour."""

    color: str | None = setting(None, choice(*COLORS), "Colour; none: one for each watcher.")
    time_format: str = setting("%Y-%m-%d %H:%M:%S", TEXT, "strftime format.")


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """A queue in memory, for programs that embed the arbiter."""


CLASSES: dict[str, type[Any]] = {
    "FileStream": FileOptions,
    "TimedRotatingFileStream": TimedFileOptions,
    "WatchedFileStream": WatchedFileOptions,
    "StdoutStream": StdoutOptions,
    "FancyStdoutStream": FancyStdoutOptions,
    "QueueStream": QueueOptions,
}
OURS = ("circus", "chaussette")
"""Packages whose stream classes are the ones above."""


def class_name(options: Mapping[str, str]) -> str:
    """The class that options mean: one of CLASSES, or the dotted name of somebody's own.

    Raises ConfigError.
    """
    name = options.get("class", "FileStream" if "filename" in options else "StdoutStream")
    package, _, last = name.replace(":", ".").rpartition(".")
    if package and package.partition(".")[0] not in OURS:
        return name
    if last not in CLASSES:
        raise ConfigError(
            f"class = {name!r}: expected one of {', '.join(CLASSES)}, or package.module.Class"
            + did_you_mean(last, CLASSES)
        )
    return last


def typed_options(options: Mapping[str, str]) -> Any:
    """The options of one of CLASSES, typed. Raises ConfigError."""
    kind = CLASSES[class_name(options)]
    given = {key: value for key, value in options.items() if key not in ("class", *WITHOUT_MEANING)}
    typed = build(kind, given)
    if getattr(typed, "filename", "") is None:
        raise ConfigError("filename is missing: which file shall it be?")
    return typed


def check_option(options: Mapping[str, str], key: str) -> str | None:
    """Checks one option of a stream: a line for the log, or None.

    Raises ConfigError about this option, and no other.
    """
    try:
        kind = CLASSES.get(class_name(options))
    except ConfigError:
        if key == "class":
            raise
        return None
    if key in ("class", "stream") or kind is None:
        return None
    if key in WITHOUT_MEANING:
        return f"{key} has no effect: {WITHOUT_MEANING[key]}"
    if key not in key_names(kind):
        raise unknown_key(kind, key)
    if not any(True for _ in variables.names_in(options[key])):
        parse_value(kind, key_names(kind)[key], options[key])
    return None
