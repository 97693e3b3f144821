"""Commands that reach single processes: signal and kill."""

from __future__ import annotations

from typing import ClassVar

from chaussette.control.api import Answer, Control, KillOrder, Properties, SignalOrder
from chaussette.control.command import (
    NAME,
    WAITING,
    Command,
    Property,
    one_name,
    settle,
    whole_number,
)
from chaussette.control.levels import Level
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage

PID = Property("number", "One process; without it, all of the watcher.")


class Signal(Command):
    """Send a signal to the processes of a watcher, or to one of them.

    With --children only the process's own children get it, with --recursive the
    process and all its descendants. A signal is a name (INT, SIGINT, SIGRTMIN+1)
    or a number.
    """

    name = "signal"
    level = Level.OPERATE
    usage = "<watcher> [pid] [--children] [--recursive] <signal>"
    options: ClassVar = {"children": False, "recursive": False}
    words = (2, 3)
    changes = True
    properties: ClassVar = {
        "name": NAME,
        "signum": Property("signal", "The signal, by name or number.", required=True),
        "pid": PID,
        "childpid": Property("number", "One descendant of the process `pid`."),
        "children": Property("flag", "Only the process's children."),
        "recursive": Property("flag", "The process and all its descendants."),
    }

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties: Properties = {
            "name": words[0],
            "children": "children" in options,
            "recursive": "recursive" in options,
            "signum": words[-1],
        }
        if len(words) == 3:
            properties["pid"] = whole_number({"pid": words[1]}, "pid", 0)
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        asked = request.properties
        name = one_name(control, request)
        order = SignalOrder(
            _signal(asked["signum"]),
            _pid(request, "pid"),
            _pid(request, "childpid"),
            bool(asked.get("children")),
            bool(asked.get("recursive")),
        )
        if order.childpid is not None and order.pid is None:
            raise BadMessage("childpid needs the pid of the process whose child it is")
        control.signal(name, order)
        answer(Reply(ok=True))


class Kill(Command):
    """End the processes of a watcher, or one of them; they are replaced.

    They get the watcher's stop_signal (or --signum), and SIGKILL when they have not
    ended within its graceful_timeout (or --graceful_timeout).
    """

    name = "kill"
    level = Level.OPERATE
    usage = "<watcher> [pid] [--signum SIGNAL] [--graceful_timeout SECONDS] [--waiting]"
    options: ClassVar = {"signum": True, "graceful_timeout": True, "waiting": False}
    words = (1, 2)
    changes = True
    properties: ClassVar = {
        "name": NAME,
        "pid": PID,
        "signum": Property("signal", "In place of the watcher's stop_signal."),
        "graceful_timeout": Property("seconds", "In place of the watcher's."),
        "waiting": WAITING,
    }

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        if len(words) == 2:
            properties["pid"] = whole_number({"pid": words[1]}, "pid", 0)
        if "signum" in options:
            properties["signum"] = options["signum"]
        if "graceful_timeout" in options:
            text = options["graceful_timeout"]
            try:
                properties["graceful_timeout"] = float(text)
            except ValueError:
                raise BadMessage(f"graceful_timeout = {text!r}: expected seconds") from None
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        asked = request.properties
        name = one_name(control, request)
        signum, timeout = asked.get("signum"), asked.get("graceful_timeout")
        order = KillOrder(
            _pid(request, "pid"),
            None if signum is None else _signal(signum),
            None if timeout is None else float(timeout),
        )
        settle(request, answer, lambda later: control.end_processes(name, order, later))


def _pid(request: Request, key: str) -> int | None:
    if request.properties.get(key) is None:
        return None
    pid = whole_number(request.properties, key, 0)
    if pid <= 0:
        raise BadMessage(f"{key} = {pid}: no process has such a number")
    return pid


def _signal(value: object) -> int:
    from chaussette.settings.kinds import signal_number  # the client has no use for it

    try:
        return signal_number(str(value))
    except ValueError:
        raise BadMessage(f"signal invalid: there is no signal {value!r}") from None
