"""The kinds of values a setting can have: text in, typed value out.

A kind says what it expects in words that end a sentence, so that every error
message is made in one place. Kinds do no I/O: a user's name stays a name here
and is looked up where the process is started.
"""

from __future__ import annotations

import resource
import signal
import socket
from collections.abc import Callable, Iterable

from chaussette.records import Record

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any, Generic, TypeVar

    T = TypeVar("T")
else:
    T = object

    class Generic:
        """Stands in for typing's: at run time, type parameters say nothing."""

        def __class_getitem__(cls, _):
            return cls


_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "off", "f", "n"})
_UNITS = {"": 1, "b": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30}


class Kind(Record, Generic[T]):
    """One kind of value.

    `parse` raises ValueError on text that is not of the kind; `expected` says
    what would have been.
    """

    metavar: str
    expected: str
    parse: Callable[[str], T]
    choices: tuple[str, ...] = ()
    is_list: bool = False


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def _octal(text: str) -> int:
    import re  # half a megabyte, for a setting that workers do not have

    if not re.fullmatch(r"(0o?)?[0-7]{1,4}", text.strip()):
        raise ValueError(text)
    return int(text.strip().replace("o", ""), 8)


def signal_number(text: str) -> int:
    """`TERM`, `sigterm`, `15`, `SIGRTMIN+1`: the number of a signal.

    Raises ValueError when there is no such signal.
    """
    word = text.strip().upper()
    if word.isdecimal():
        return int(signal.Signals(int(word)))
    base, sign, offset = word.partition("+")
    name = base if base.startswith("SIG") else f"SIG{base}"
    try:
        number = int(signal.Signals[name])
    except KeyError:
        raise ValueError(text) from None
    if not sign:
        return number
    if name != "SIGRTMIN" or not offset.isdecimal() or number + int(offset) > signal.SIGRTMAX:
        raise ValueError(text)
    return number + int(offset)


def _measure(text: str) -> tuple[str, str]:
    """A number and its unit, both as they are written: `500 ms` is ("500", "ms")."""
    word = text.strip().lower()
    number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
    return number.rstrip(), word[len(number) :]


def _size(text: str) -> int:
    number, unit = _measure(text)
    if not number.isdecimal() or unit not in _UNITS:
        raise ValueError(text)
    return int(number) * _UNITS[unit]


def _limit(text: str) -> int:
    word = text.strip().lower()
    if word in {"", "infinity", "unlimited", "-1"}:
        return resource.RLIM_INFINITY
    return _size(word)


def _cpus(text: str) -> float:
    import re  # see _octal

    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(%?)", text.strip())
    if not match:
        raise ValueError(text)
    count = float(match[1]) / (100 if match[2] else 1)
    # The kernel grants no less than 1 ms in a period of 100 ms.
    if count < 0.01:
        raise ValueError(text)
    return count


def _words(text: str) -> tuple[str, ...]:
    import shlex  # which needs re, see _octal

    return tuple(shlex.split(text))


TEXT: Kind[str] = Kind("TEXT", "some text", str)
WORDS: Kind[tuple[str, ...]] = Kind(
    "WORDS",
    "words as a shell would split them",
    _words,
    is_list=True,
)
BOOL: Kind[bool] = Kind("BOOL", "true or false", _boolean)
PATH: Kind[str] = Kind("PATH", "a path", _path)
MODE: Kind[int] = Kind("OCTAL", "an octal mode such as 022", _octal)
SIZE: Kind[int] = Kind("SIZE", "a number of bytes, with K, M or G if you like", _size)
LIMIT: Kind[int] = Kind("LIMIT", "a number, or 'infinity'", _limit)
CPUS: Kind[float] = Kind(
    "CPUS", "a number of processors such as 0.5, or a share of one such as 150%, 1% or more", _cpus
)
SIGNAL: Kind[int] = Kind("SIGNAL", "a signal, by name or number", signal_number)
USER: Kind[str] = Kind("NAME|ID", "a user or group, by name or number", _path)


def at_least(low: int) -> Kind[int]:
    """A number of bytes, `low` (whole MiB) or more."""

    def parse(text: str) -> int:
        size = _size(text)
        if size < low:
            raise ValueError(text)
        return size

    return Kind(
        "SIZE", f"a number of bytes, {low >> 20}M or more, with K, M or G if you like", parse
    )


def size(low: int, high: int) -> Kind[int]:
    """A number of bytes within the bounds, both included."""

    def parse(text: str) -> int:
        number = _size(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return Kind(
        "SIZE", f"a number of bytes from {low} to {high}, with K, M or G if you like", parse
    )


def integer(low: int | None = None, high: int | None = None) -> Kind[int]:
    """A whole number within the bounds, both included."""

    def parse(text: str) -> int:
        number = int(text.strip(), 10)
        if (low is not None and number < low) or (high is not None and number > high):
            raise ValueError(text)
        return number

    return Kind("N", f"a whole number{_bounds(low, high)}", parse)


def seconds(low: float = 0.0) -> Kind[float]:
    """A time in seconds; `500ms`, `30s`, `5m` and `1h` are understood."""
    units = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}

    def parse(text: str) -> float:
        number, unit = _measure(text)
        whole, point, part = number.removeprefix("-").partition(".")
        if not whole.isdecimal() or (point and not part.isdecimal()) or unit not in units:
            raise ValueError(text)
        value = float(number) * units[unit]
        if value < low:
            raise ValueError(text)
        return value

    return Kind("SECONDS", f"a time in seconds, {low:g} or more", parse)


def fraction() -> Kind[float]:
    """A part of the whole, above 0 and up to 1: `0.8` or `80%`."""

    def parse(text: str) -> float:
        number, percent, rest = text.strip().partition("%")
        value = float(number) / (100 if percent else 1)
        if rest or not 0 < value <= 1:
            raise ValueError(text)
        return value

    return Kind("FRACTION", "a part of the whole, such as 0.8 or 80%", parse)


def choice(*names: str) -> Kind[str]:
    """One of the names, in any case."""
    by_lower = {name.lower(): name for name in names}

    def parse(text: str) -> str:
        try:
            return by_lower[text.strip().lower()]
        except KeyError:
            raise ValueError(text) from None

    return Kind("|".join(names), "one of " + ", ".join(names), parse, choices=names)


def list_of(kind: Kind[T], separator: str = ",") -> Kind[tuple[T, ...]]:
    """Values of one kind, separated."""

    def parse(text: str) -> tuple[T, ...]:
        parts = text.split(None if separator == " " else separator)
        return tuple(kind.parse(part.strip()) for part in parts if part.strip())

    word = "spaces" if separator == " " else f"{separator!r}"
    return Kind(
        kind.metavar, f"{kind.expected}, or more of them separated by {word}", parse, is_list=True
    )


def constant(prefix: str, names: Iterable[str]) -> Kind[int]:
    """A constant of the socket module, by its name, such as AF_INET6."""
    by_name = {name: int(getattr(socket, name)) for name in names if hasattr(socket, name)}

    def parse(text: str) -> int:
        word = text.strip().upper()
        return by_name[word if word.startswith(prefix) else prefix + word]

    def guarded(text: str) -> int:
        try:
            return parse(text)
        except KeyError:
            raise ValueError(text) from None

    return Kind("|".join(by_name), "one of " + ", ".join(by_name), guarded, choices=tuple(by_name))


def show(value: Any) -> str:
    """A value as it would be written in a configuration file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(show(part) for part in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _bounds(low: int | None, high: int | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f", {low} or more"
    if low is None:
        return f", at most {high}"
    return f" from {low} to {high}"
