"""Commands that change watchers: start, stop, restart, reload, count, and the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from chaussette.control.api import Answer, Control, Properties, Rolling
from chaussette.control.command import (
    NAME,
    WAITING,
    Command,
    Property,
    chosen,
    chosen_to_start,
    one_name,
    settle,
    whole_number,
)
from chaussette.control.levels import Level
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage

MOST_PROCESSES = 10_000
"""Of one watcher; a mistyped number shall not fill the machine."""


class _Change(Command):
    """A command that changes watchers, one, some, or all."""

    usage = "[watcher] [--match simple|glob|regex] [--waiting]"
    options: ClassVar = {"waiting": False, "match": True}
    words = (0, 1)
    changes = True
    properties: ClassVar = {
        "name": Property("text", "The watchers, by name or pattern; without it, all."),
        "match": Property("text", "How name is meant: simple, glob (the default) or regex."),
        "waiting": WAITING,
    }
    replies = "info{started[], stopped[], kept[]}, when waited for and one watcher was meant"

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        if "match" in options:
            properties["match"] = options["match"]
        return properties


class Start(_Change):
    """Start watchers."""

    name = "start"
    level = Level.OPERATE

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen_to_start(control, request)
        _informed(control, request, names, answer, control.start, ("started", "kept"))


class Stop(_Change):
    """Stop watchers: processes finish what they do, then end."""

    name = "stop"
    level = Level.OPERATE
    replies = "info (null), when waited for and one watcher was meant"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen(control, request)
        _informed(control, request, names, answer, control.stop, ())


class Restart(_Change):
    """Replace all processes; where they share sockets, without a gap."""

    name = "restart"
    level = Level.OPERATE

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen_to_start(control, request)
        _informed(control, request, names, answer, control.restart)


class Reload(_Change):
    """Replace processes generation by generation; no request is lost.

    The new generation is started beside the old one, which goes when the new one
    is ready. With --batch, only so many (or so many percent) are exchanged at a
    time, with --pause seconds between a batch that is ready and the next one;
    --sequential is --batch 1. When a process of a batch does not come up, the old
    generation serves on. --terminate restarts instead. Without a watcher, all are
    reloaded and log files are opened anew.
    """

    name = "reload"
    level = Level.OPERATE
    usage = (
        "[watcher] [--batch N|N%] [--pause SECONDS] [--sequential] [--terminate] "
        "[--match simple|glob|regex] [--waiting]"
    )
    options: ClassVar = {
        "waiting": False,
        "match": True,
        "terminate": False,
        "sequential": False,
        "batch": True,
        "pause": True,
    }
    properties: ClassVar = {
        **_Change.properties,
        "graceful": Property("flag", "False: restart instead."),
        "sequential": Property("flag", "One process at a time."),
        "batch": Property("share", "How many processes at a time: a number, or `25%`."),
        "pause": Property("seconds", "Seconds between one batch and the next."),
    }

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        properties["graceful"] = "terminate" not in options
        properties["sequential"] = "sequential" in options
        properties.update({key: options[key] for key in ("batch", "pause") if key in options})
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        asked = request.properties
        names = chosen(control, request)
        rolling = _rolling(asked)
        if asked.get("name") is None:
            control.reopen_logs()
        act: Callable[[list[str], Answer], None] = partial(_reload, control, rolling)
        if asked.get("graceful", True) is False:
            names = chosen_to_start(control, request)
            act = control.restart
        _informed(control, request, names, answer, act)


class Incr(Command):
    """Add processes to a watcher."""

    name = "incr"
    level = Level.OPERATE
    usage = "<watcher> [nb] [--waiting]"
    options: ClassVar = {"waiting": False}
    words = (1, 2)
    changes = True
    properties: ClassVar = {
        "name": NAME,
        "nb": Property("number", "How many processes; 1 by default."),
        "waiting": WAITING,
    }
    replies = "numprocesses; singleton, where it is one"
    sign = 1

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        if len(words) > 1:
            properties["nb"] = whole_number({"nb": words[1]}, "nb", 1)
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        name = one_name(control, request)
        number = whole_number(request.properties, "nb", 1)
        if not 0 <= number <= MOST_PROCESSES:
            raise BadMessage(f"nb = {number}: expected a whole number from 0 to {MOST_PROCESSES}")
        wanted = control.wanted(name) + self.sign * number
        if self.sign > 0 and control.is_singleton(name) and wanted > 1:
            answer(Reply(True, {"numprocesses": control.wanted(name), "singleton": True}))
            return
        if wanted > MOST_PROCESSES:
            raise BadMessage(f"{name} would have {wanted} processes; at most {MOST_PROCESSES}")
        if not request.waiting:
            count = control.scale(name, wanted, lambda _: None)
            answer(Reply(True, {"numprocesses": count}))
            return

        def done(reply: Reply) -> None:
            answer(
                Reply(reply.ok, {"numprocesses": control.wanted(name)}, reply.reason, reply.errno)
            )

        control.scale(name, wanted, done)

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        if reply.fields.get("singleton"):
            return "This watcher is a Singleton - not changing the number of processes"
        return str(reply.fields.get("numprocesses", "ok"))


class Decr(Incr):
    """Take processes away from a watcher, the oldest first."""

    name = "decr"
    level = Level.OPERATE
    sign = -1


class Quit(Command):
    """Stop everything and end the arbiter."""

    name = "quit"
    level = Level.OPERATE
    usage = "[--waiting]"
    options: ClassVar = {"waiting": False}
    changes = True
    properties: ClassVar = {"waiting": WAITING}

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        settle(request, answer, control.quit)


class ReloadConfig(Command):
    """Read the configuration again, and apply the least that has changed.

    Watchers whose count alone changed grow or shrink; what needs no new processes
    takes effect at once; all else exchanges generations, and falls back when the
    new one does not come up. Sockets that did not change are not touched. When
    the file is wrong, nothing changes, and the reply says what is.
    """

    name = "reloadconfig"
    level = Level.CONFIGURE
    usage = "[--waiting]"
    options: ClassVar = {"waiting": False}
    changes = True
    properties: ClassVar = {"waiting": WAITING}
    replies = (
        "when waited for, info{watchers{added[], removed[], changed[]}, "
        "sockets{added[], removed[], changed[]}, needs_restart[]}"
    )

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        settle(request, answer, control.reload_config)

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        needed = reply.fields.get("info", {}).get("needs_restart", [])
        return "\n".join(["ok", *(f"needs a restart of circusd: {one}" for one in needed)])


def _rolling(asked: Mapping[str, Any]) -> Rolling:
    batch = asked.get("batch")
    if batch is None:
        batch = "1" if asked.get("sequential") else None
    elif not re.fullmatch(r"[1-9][0-9]{0,4}|[1-9][0-9]?%|100%", str(batch)):
        raise BadMessage(f"batch = {batch!r}: expected a number of processes, or 1% to 100%")
    return Rolling(None if batch is None else str(batch), float(asked.get("pause") or 0.0))


def _reload(control: Control, rolling: Rolling, names: list[str], answer: Answer) -> None:
    control.reload(names, rolling, answer)


def _informed(
    control: Control,
    request: Request,
    names: list[str],
    answer: Answer,
    act: Callable[[list[str], Answer], None],
    kinds: tuple[str, ...] = ("started", "stopped", "kept"),
) -> None:
    """As `settle`; who waits for one watcher learns what became of its processes."""
    if not request.waiting or request.properties.get("name") is None or len(names) != 1:
        settle(request, answer, partial(act, names))
        return
    before = set(control.pids(names[0]))

    def done(reply: Reply) -> None:
        after = set(control.pids(names[0])) if names[0] in control.names() else set()
        found = {"started": after - before, "stopped": before - after, "kept": after & before}
        info = {kind: sorted(found[kind]) for kind in kinds} or None
        answer(Reply(reply.ok, {"info": info} if reply.ok else {}, reply.reason, reply.errno))

    act(names, done)
