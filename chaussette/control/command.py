"""The shape of a command: one small class that knows both of its ends.

A command says how its words on the command line become properties (`read`),
what it does with an arbiter (`execute`), and how its reply is shown (`show`).
Registering it is inheriting from Command.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage, ControlError, UnknownCommand, did_you_mean

COMMANDS: dict[str, type[Command]] = {}


class Command:
    """One command.

    `usage` is the line of the help behind the name, `options` the flags it
    knows (name to whether a value follows), `words` how many words it takes.
    """

    name: ClassVar[str] = ""
    usage: ClassVar[str] = ""
    options: ClassVar[Mapping[str, bool]] = {}
    words: ClassVar[tuple[int, int]] = (0, 0)
    changes: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if cls.name:
            COMMANDS[cls.name] = cls

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
        raise UnknownCommand(f"unknown command {name!r}{did_you_mean(name, COMMANDS)}") from None


def settle(control: Control, request: Request, answer: Answer) -> Answer:
    """The answer to hand on: now for those who do not wait, later for those who do."""
    del control
    if request.waiting:
        return answer
    answer(Reply(ok=True))
    return lambda _: None


def chosen(control: Control, request: Request) -> list[str]:
    """The watchers that `name` means: all without one; a pattern where `match` says so."""
    name = request.properties.get("name")
    names = control.names()
    if name is None:
        return names
    if not isinstance(name, str):
        raise BadMessage("name must be a string")
    how = str(request.properties.get("match", "glob")).lower()
    if how == "regex":
        found = [one for one in names if _matches(name, one)]
    elif how == "glob":
        found = [one for one in names if fnmatch.fnmatch(one.lower(), name.lower())]
    elif how == "simple":
        found = [one for one in names if one.lower() == name.lower()]
    else:
        raise BadMessage(f"match = {how!r}: expected simple, glob or regex")
    if not found:
        raise no_watcher(name, names)
    return found


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
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadMessage(f"{key} = {value!r}: expected a whole number")
    return value


def no_watcher(name: str, names: list[str]) -> ControlError:
    """The error for a watcher that does not exist."""
    known = ", ".join(names) or "none"
    return ControlError(f"no watcher {name!r}{did_you_mean(name, names)} (watchers: {known})")


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name, re.IGNORECASE) is not None
    except re.error as error:
        raise BadMessage(f"name = {pattern!r}: not a regular expression: {error}") from None
