"""The commands themselves. Names, properties and replies are Circus's."""

from __future__ import annotations

from typing import ClassVar

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.command import (
    COMMANDS,
    Command,
    chosen,
    one_name,
    settle,
    whole_number,
)
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage


class List(Command):
    """List watchers, or the pids of one watcher."""

    name = "list"
    usage = "[watcher]"
    words = (0, 1)

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        if request.properties.get("name") is None:
            answer(Reply(True, {"watchers": sorted(control.names())}))
        else:
            answer(Reply(True, {"pids": control.pids(one_name(control, request))}))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        found = reply.fields.get("watchers", reply.fields.get("pids", []))
        return ",".join(str(one) for one in found)


class NumProcesses(Command):
    """Print how many processes there are, in all or of one watcher."""

    name = "numprocesses"
    usage = "[watcher]"
    words = (0, 1)

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        if request.properties.get("name") is None:
            total = sum(len(control.pids(name)) for name in control.names())
            answer(Reply(True, {"numprocesses": total}))
            return
        name = one_name(control, request)
        answer(Reply(True, {"numprocesses": len(control.pids(name)), "watcher_name": name}))

    def show(self, reply: Reply) -> str:
        return str(reply.fields.get("numprocesses")) if reply.ok else super().show(reply)


class NumWatchers(Command):
    """Print how many watchers there are."""

    name = "numwatchers"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del request
        answer(Reply(True, {"numwatchers": len(control.names())}))

    def show(self, reply: Reply) -> str:
        return str(reply.fields.get("numwatchers")) if reply.ok else super().show(reply)


class Status(Command):
    """Print the state of one watcher or of all."""

    name = "status"
    usage = "[watcher]"
    words = (0, 1)

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        if request.properties.get("name") is not None:
            name = one_name(control, request)
            answer(Reply(True, {"status": control.status(name), "failure": control.failure(name)}))
            return
        names = control.names()
        failures = {name: control.failure(name) for name in names if control.failure(name)}
        statuses = {name: control.status(name) for name in names}
        answer(Reply(True, {"statuses": statuses, "failures": failures}))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        if "statuses" not in reply.fields:
            failure = reply.fields.get("failure")
            return f"{reply.fields.get('status', 'ok')}" + (f" ({failure})" if failure else "")
        failures = reply.fields.get("failures", {})
        return "\n".join(
            f"{name}: {status}" + (f" ({failures[name]})" if name in failures else "")
            for name, status in reply.fields["statuses"].items()
        )


class ListSockets(Command):
    """List the listening sockets."""

    name = "listsockets"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del request
        found = []
        for one in control.sockets():
            info = {"fd": one.fd, "name": one.name, "backlog": one.backlog}
            if one.location.startswith("unix:"):
                info["path"] = one.location[5:]
            else:
                host, _, port = one.location.rpartition(":")
                info.update({"host": host, "port": int(port)})
            found.append(info)
        answer(Reply(True, {"sockets": found}))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        return "\n".join(
            f"{one['fd']}:socket '{one['name']}' at "
            + str(one.get("path") or f"{one['host']}:{one['port']}")
            for one in reply.fields.get("sockets", [])
        )


class _Change(Command):
    """A command that changes watchers, one, some, or all."""

    usage = "[watcher] [--match simple|glob|regex] [--waiting]"
    options: ClassVar = {"waiting": False, "match": True}
    words = (0, 1)
    changes = True

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        if "match" in options:
            properties["match"] = options["match"]
        return properties


class Start(_Change):
    """Start watchers."""

    name = "start"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen(control, request)
        control.start(names, settle(control, request, answer))


class Stop(_Change):
    """Stop watchers: processes finish what they do, then end."""

    name = "stop"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen(control, request)
        control.stop(names, settle(control, request, answer))


class Restart(_Change):
    """Replace all processes; where they share sockets, without a gap."""

    name = "restart"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen(control, request)
        control.restart(names, settle(control, request, answer))


class Reload(_Change):
    """Replace processes generation by generation; no request is lost."""

    name = "reload"
    usage = "[watcher] [--terminate] [--sequential] [--waiting]"
    options: ClassVar = {"waiting": False, "match": True, "terminate": False, "sequential": False}

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        properties["graceful"] = "terminate" not in options
        properties["sequential"] = "sequential" in options
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen(control, request)
        later = settle(control, request, answer)
        if request.properties.get("graceful", True) is False:
            control.restart(names, later)
        else:
            surge = 1 if request.properties.get("sequential") else None
            control.reload(names, surge, later)


class Incr(Command):
    """Add processes to a watcher."""

    name = "incr"
    usage = "<watcher> [nb] [--waiting]"
    options: ClassVar = {"waiting": False}
    words = (1, 2)
    changes = True
    sign = 1

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        if len(words) > 1:
            properties["nb"] = whole_number({"nb": words[1]}, "nb", 1)
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        name = one_name(control, request)
        number = whole_number(request.properties, "nb", 1)
        if number < 0:
            raise BadMessage(f"nb = {number}: expected 0 or more")
        wanted = control.wanted(name) + self.sign * number
        if self.sign > 0 and control.is_singleton(name) and wanted > 1:
            answer(Reply(True, {"numprocesses": control.wanted(name), "singleton": True}))
            return
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
            return "This watcher is a singleton: it has at most one process"
        return str(reply.fields.get("numprocesses", "ok"))


class Decr(Incr):
    """Take processes away from a watcher, the oldest first."""

    name = "decr"
    sign = -1


class Quit(Command):
    """Stop everything and end the arbiter."""

    name = "quit"
    usage = "[--waiting]"
    options: ClassVar = {"waiting": False}
    changes = True

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        control.quit(settle(control, request, answer))


__all__ = ["COMMANDS"]
