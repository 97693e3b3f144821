"""Commands about a watcher's options, and those that add and remove watchers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chaussette.control.api import Answer, Control, NewWatcher, Properties
from chaussette.control.command import NAME, WAITING, Command, Property, one_name, settle
from chaussette.control.commands.reads import show_options
from chaussette.control.levels import Level
from chaussette.control.protocol import Reply, Request
from chaussette.errors import LONGEST_NAME, BadMessage, did_you_mean

HARMLESS = frozenset(
    "numprocesses graceful_timeout warmup_delay max_retry max_age max_age_variance priority "
    "autostart respawn".split()
)
"""Options that change how many processes there are, and for how long, but not what is run."""


class Options(Command):
    """Print all options of a watcher; the values of its environment are masked."""

    name = "options"
    level = Level.READ
    usage = "<watcher>"
    words = (1, 1)
    properties: ClassVar = {"name": NAME}
    replies = "options{}"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        answer(Reply(True, {"options": control.options(one_name(control, request))}))

    def show(self, reply: Reply) -> str:
        return show_options(reply) if reply.ok else super().show(reply)


class Get(Command):
    """Print some options of a watcher."""

    name = "get"
    level = Level.READ
    usage = "<watcher> <option> [option…]"
    words = (2, 1000)
    properties: ClassVar = {
        "name": NAME,
        "keys": Property("words", "Names of the options.", required=True),
    }
    replies = "options{}"

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        del options
        return {"name": words[0], "keys": words[1:]}

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        found = control.options(one_name(control, request))
        keys = request.properties["keys"]
        wanted = [keys] if isinstance(keys, str) else list(keys)
        for key in wanted:
            if key not in found:
                raise BadMessage(
                    f"{key[:LONGEST_NAME]!r} option not found{did_you_mean(key, found)}"
                )
        answer(Reply(True, {"options": {key: found[key] for key in wanted}}))

    def show(self, reply: Reply) -> str:
        return show_options(reply) if reply.ok else super().show(reply)


class Set(Command):
    """Change options of a watcher, all that are named or none.

    What needs new processes exchanges generations, and falls back when the new
    one does not come up; all else takes effect at once. The change lasts until
    the arbiter ends: put it into the file as well.
    """

    name = "set"
    level = Level.CONFIGURE
    usage = "<watcher> <option> <value> [option value…] [--waiting]"
    options: ClassVar = {"waiting": False}
    words = (3, 1000)
    changes = True
    properties: ClassVar = {
        "name": NAME,
        "options": Property("object", "Options and their values.", required=True),
        "waiting": WAITING,
    }

    def level_of(self, properties: Mapping[str, Any]) -> Level:
        asked = properties.get("options")
        if isinstance(asked, dict) and asked and all(key in HARMLESS for key in asked):
            return Level.OPERATE
        return self.level

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        from chaussette.control.options import typed  # brings all settings with it

        properties = super().read(words, options)
        if len(words) % 2 == 0:
            raise BadMessage(f"{words[-1]}: a value is missing (options and values in pairs)")
        pairs = zip(words[1::2], words[2::2], strict=True)
        properties["options"] = {key.lower(): typed(key.lower(), value) for key, value in pairs}
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        name = one_name(control, request)
        options = request.properties["options"]
        settle(request, answer, lambda later: control.set_options(name, options, later))


class Add(Command):
    """Add a watcher until the arbiter ends; --start starts it."""

    name = "add"
    level = Level.CONFIGURE
    usage = "[--start] <watcher> <command…>"
    options: ClassVar = {"start": False, "waiting": False}
    words = (2, 1000)
    passes_on = True
    changes = True
    properties: ClassVar = {
        "name": Property("text", "Its name: 1 to 64 letters, digits, _ . -", required=True),
        "cmd": Property("text", "The command.", required=True),
        "args": Property("words", "Arguments after those of cmd."),
        "options": Property("object", "Options, as in `[watcher:NAME]`."),
        "start": Property("flag", "Start it."),
        "waiting": WAITING,
    }

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        properties.update({"cmd": " ".join(words[1:]), "start": "start" in options})
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        asked = request.properties
        wanted = NewWatcher(
            asked["name"],
            asked["cmd"],
            asked.get("args"),
            asked.get("options") or {},
            asked.get("start") is True,
        )
        settle(request, answer, lambda later: control.add(wanted, later))


class Rm(Command):
    """Remove a watcher; its processes are stopped, or with --nostop run on by themselves."""

    name = "rm"
    level = Level.CONFIGURE
    usage = "<watcher> [--nostop] [--waiting]"
    options: ClassVar = {"nostop": False, "waiting": False}
    words = (1, 1)
    changes = True
    properties: ClassVar = {
        "name": NAME,
        "nostop": Property("flag", "Do not stop the processes; nobody looks after them."),
        "waiting": WAITING,
    }

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        return {**super().read(words, options), "nostop": "nostop" in options}

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        name = one_name(control, request)
        nostop = request.properties.get("nostop") is True
        settle(request, answer, lambda later: control.remove(name, nostop, later))
