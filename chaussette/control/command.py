"""The shape of a command: one small class that knows both of its ends.

A command says how its words on the command line become properties (`read`),
what it does with an arbiter (`execute`), and how its reply is shown (`show`).
Registering it is inheriting from Command.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.levels import Level
from chaussette.control.pattern import LONGEST_PATTERN, Pattern
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage, ControlError, UnknownCommand, did_you_mean

COMMANDS: dict[str, type[Command]] = {}


class Property(NamedTuple):
    """One property of a command's message: its kind (see `_KINDS`) and what it means."""

    kind: str
    help: str
    required: bool = False


NAME = Property("text", "The watcher, in any case.", required=True)
MAYBE_NAME = Property("text", "The watcher, in any case; without it, all.")
WAITING = Property("flag", "Reply when it is done, rather than at once.")


class Command:
    """One command.

    `usage` is the line of the help behind the name, `options` the flags it
    knows (name to whether a value follows), `words` how many words it takes,
    `properties` what its message may hold, `replies` the keys of its reply.
    """

    name: ClassVar[str] = ""
    usage: ClassVar[str] = ""
    options: ClassVar[Mapping[str, bool]] = {}
    words: ClassVar[tuple[int, int]] = (0, 0)
    changes: ClassVar[bool] = False
    level: ClassVar[Level]
    """The class that a client's key must have, where keys are asked for."""
    properties: ClassVar[Mapping[str, Property]] = {}
    replies: ClassVar[str] = ""
    passes_on: ClassVar[bool] = False
    """Whether options that it does not know are words, of a command that it is given."""
    listens: ClassVar[bool] = False
    """Whether it is no question to the endpoint, but subscribes to events."""

    def __init_subclass__(cls) -> None:
        if cls.name:
            COMMANDS[cls.name] = cls

    def level_of(self, properties: Mapping[str, Any]) -> Level:
        """The class that is needed for just these properties, of whatever kind they are."""
        del properties
        return self.level

    def text(self) -> str:
        """What it does, as help shows it: the first line in short."""
        lines = (self.__doc__ or "").strip().splitlines()
        return "\n".join(line.removeprefix("    ") for line in lines)

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        """Properties from the words and options of a command line."""
        properties: Properties = {"waiting": True} if "waiting" in options else {}
        if words and self.words[1] > 0:
            properties["name"] = words[0]
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        """Does it. Raises ControlError; otherwise `answer` is called once."""
        raise NotImplementedError

    def show(self, reply: Reply) -> str:
        """The reply as a user reads it."""
        return "ok" if reply.ok else f"error: {reply.reason}"


def find(name: str) -> Command:
    """The command of that name. Raises UnknownCommand."""
    try:
        return COMMANDS[name.lower()]()
    except KeyError:
        raise UnknownCommand(
            f"unknown command {_short(name)}{did_you_mean(name, COMMANDS)}"
        ) from None


def run(control: Control, request: Request, answer: Answer) -> None:
    """Has a request carried out. Raises ControlError; otherwise `answer` is called once."""
    command = find(request.command)
    check_properties(command, request.properties)
    command.execute(control, request, answer)


def check_properties(command: Command, properties: Mapping[str, Any]) -> None:
    """Raises BadMessage where a property is missing or of the wrong kind.

    Properties that nobody knows are left alone, as Circus does: clients send many.
    """
    for name, what in command.properties.items():
        value = properties.get(name)
        if value is None:
            if what.required:
                raise BadMessage(f"message invalid {name!r} is missing")
            continue
        test, expected = _KINDS[what.kind]
        if not test(value):
            raise BadMessage(f"{name} = {_short(value)}: expected {expected}")


def settle(request: Request, answer: Answer, act: Callable[[Answer], object]) -> None:
    """Has `act` begin, and answers: at its end to those who wait, else at once.

    What `act` raises is raised, and nothing has been answered then.
    """
    act(answer if request.waiting else _nobody)
    if not request.waiting:
        answer(Reply(ok=True))


def _nobody(reply: Reply) -> None:
    """Takes the reply that nobody waits for."""


def chosen(control: Control, request: Request) -> list[str]:
    """The watchers that `name` means: all without one; a pattern where `match` says so."""
    name = request.properties.get("name")
    names = control.names()
    if name is None:
        return names
    if not isinstance(name, str):
        raise BadMessage("name must be a string")
    if len(name) > LONGEST_PATTERN:
        raise BadMessage(f"name: a name or pattern has at most {LONGEST_PATTERN} characters")
    how = str(request.properties.get("match", "glob")).lower()
    if how == "regex":
        pattern = Pattern(name)
        found = [one for one in names if pattern.matches(one)]
    elif how == "glob":
        found = [one for one in names if fnmatch.fnmatch(one.lower(), name.lower())]
    elif how == "simple":
        found = [one for one in names if one.lower() == name.lower()]
    else:
        raise BadMessage(f"match = {how!r}: expected simple, glob or regex")
    if not found:
        raise no_watcher(name, names)
    return found


def chosen_to_start(control: Control, request: Request) -> list[str]:
    """The same for what starts watchers: who names none leaves alone those without autostart."""
    names = chosen(control, request)
    if request.properties.get("name") is not None:
        return names
    return [name for name in names if control.starts_by_itself(name)]


def one_name(control: Control, request: Request) -> str:
    """The watcher that `name` means. Raises ControlError without one."""
    name = request.properties.get("name")
    if not isinstance(name, str):
        raise BadMessage(f"{request.command} needs the name of a watcher")
    for known in control.names():
        if known.lower() == name.lower():
            return known
    raise no_watcher(name, control.names())


def whole_number(properties: Mapping[str, Any], key: str, default: int) -> int:
    """A whole number among the properties, also where a client sent it as text."""
    value = properties.get(key, default)
    if not _is_whole(value):
        raise BadMessage(f"{key} = {_short(value)}: expected a whole number")
    return int(value)


def no_watcher(name: str, names: list[str]) -> ControlError:
    """The error for a watcher that does not exist."""
    known = ", ".join(names) or "none"
    return BadMessage(f"no watcher {_short(name)}{did_you_mean(name, names)} (watchers: {known})")


MOST_OPTIONS = 200
"""Of one command: each that is not known is compared with all that are."""
LARGEST = 2**31 - 1
"""The largest whole number that a message may hold: no pid, signal or count is larger."""


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?[0-9]{1,9}", value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_seconds(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_text(value: Any) -> bool:
    """Text that can be handed to a system call, and put into a log."""
    return isinstance(value, str) and "\0" not in value and not _SURROGATE.search(value)


def _are_words(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(_is_text(one) for one in value))


_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "text": (_is_text, "some text"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "number": (_is_whole, "a whole number"),
    "seconds": (_is_seconds, "seconds, 0 or more"),
    "signal": (lambda value: _is_whole(value) or _is_text(value), "a signal, by name or number"),
    "share": (
        lambda value: _is_whole(value) or _is_text(value),
        "a number, or a share such as 25%",
    ),
    "words": (_are_words, "text, or a list of texts"),
    "object": (
        lambda value: isinstance(value, dict) and len(value) <= MOST_OPTIONS,
        f"an object of at most {MOST_OPTIONS} options",
    ),
}
"""Kinds of properties: the test, and what is said of a value that fails it."""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
