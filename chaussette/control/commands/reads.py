"""Commands that only look: watchers, pids, states, sockets, the arbiter's options."""

from __future__ import annotations

from typing import ClassVar

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.command import MAYBE_NAME, Command, Property, one_name
from chaussette.control.levels import Level
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage, did_you_mean


class List(Command):
    """List watchers, or the pids of one watcher."""

    name = "list"
    level = Level.READ
    usage = "[watcher]"
    words = (0, 1)
    properties: ClassVar = {"name": MAYBE_NAME}
    replies = "watchers[], in lower case and sorted; or pids[], oldest first"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        if request.properties.get("name") is None:
            answer(Reply(True, {"watchers": sorted(name.lower() for name in control.names())}))
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
    level = Level.READ
    usage = "[watcher]"
    words = (0, 1)
    properties: ClassVar = {"name": MAYBE_NAME}
    replies = "numprocesses; with a watcher also watcher_name"

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
    level = Level.READ
    replies = "numwatchers"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del request
        answer(Reply(True, {"numwatchers": len(control.names())}))

    def show(self, reply: Reply) -> str:
        return str(reply.fields.get("numwatchers")) if reply.ok else super().show(reply)


class Status(Command):
    """Print the state of one watcher or of all."""

    name = "status"
    level = Level.READ
    usage = "[watcher]"
    words = (0, 1)
    properties: ClassVar = {"name": MAYBE_NAME}
    replies = (
        "statuses{} and failures{}; with a watcher its state in the place of `ok`, and failure"
    )

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
            for name, status in sorted(reply.fields["statuses"].items())
        )


class ListSockets(Command):
    """List the listening sockets."""

    name = "listsockets"
    level = Level.READ
    replies = "sockets[]: fd, name, backlog, and host and port, or path"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del request
        found = []
        for one in sorted(control.sockets(), key=lambda one: one.fd):
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


class GlobalOptions(Command):
    """Print the arbiter's own options, or one of them."""

    name = "globaloptions"
    level = Level.READ
    usage = "[option]"
    words = (0, 1)
    properties: ClassVar = {"option": Property("text", "The option; without it, all.")}
    replies = "options{}"

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        del options
        return {"option": words[0]} if words else {}

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        found = control.global_options()
        wanted = request.properties.get("option")
        if wanted is not None and wanted not in found:
            raise BadMessage(f"no option {wanted!r}{did_you_mean(wanted, found)}")
        answer(Reply(True, {"options": found if wanted is None else {wanted: found[wanted]}}))

    def show(self, reply: Reply) -> str:
        return show_options(reply) if reply.ok else super().show(reply)


def show_options(reply: Reply) -> str:
    """`key: value`, a line each, as Circus prints them."""
    return "\n".join(
        f"{key}: {_value(value)}" for key, value in reply.fields.get("options", {}).items()
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={one}" for key, one in value.items())
    return "" if value is None else str(value)
