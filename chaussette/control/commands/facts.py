"""Commands that look at processes: stats and dstats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.command import MAYBE_NAME, Command, Property, one_name, whole_number
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage

_LINE = "{pid}  {cmdline} {username} {nice} {mem_info1} {mem_info2} {cpu} {mem} {ctime}"


class Stats(Command):
    """Print what the processes of a watcher, or of all, use.

    A line each: pid, program, user, nice, resident and virtual memory, CPU and
    memory in percent, CPU time. CPU is counted since the last time that anybody
    asked. --extended adds the children of each process.
    """

    name = "stats"
    usage = "[--extended] [watcher [pid]]"
    options: ClassVar = {"extended": False}
    words = (0, 2)
    properties: ClassVar = {
        "name": MAYBE_NAME,
        "process": Property("number", "The pid of one process of the watcher."),
        "extended": Property("flag", "With the children of each process."),
    }
    replies = (
        "infos{watcher{pid{…}}}; with a watcher name and info{pid{…}}; with a process, "
        "process and info{…}. A process has mem_info1, mem_info2, cpu, mem, ctime, pid, "
        "username, nice, create_time, age, cmdline, started, wid, children[], and of a worker "
        "also worker{state, in_flight, requests, errors}"
    )

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties = super().read(words, options)
        properties["extended"] = "extended" in options
        if len(words) == 2:
            properties["process"] = whole_number({"process": words[1]}, "process", 0)
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        asked = request.properties
        extended = asked.get("extended") is True
        if asked.get("name") is None:
            if asked.get("process") is not None:
                raise BadMessage("process needs the name of its watcher")
            infos = {name: control.stats(name, None, extended) for name in control.names()}
            answer(Reply(True, {"infos": infos}))
            return
        name = one_name(control, request)
        if asked.get("process") is None:
            answer(Reply(True, {"name": name, "info": control.stats(name, None, extended)}))
            return
        pid = whole_number(asked, "process", 0)
        answer(Reply(True, {"process": pid, "info": control.stats(name, pid, extended)[pid]}))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        fields = reply.fields
        if "process" in fields:
            return f"{fields['process']}: {_show(fields['info'])}"
        infos = fields["infos"] if "infos" in fields else {fields.get("name"): fields["info"]}
        lines: list[str] = []
        for name, info in infos.items():
            lines.append(f"{name}:")
            lines += [f"{pid}: {_show(one)}" for pid, one in (info or {}).items()]
        return "\n".join(lines)


class DaemonStats(Command):
    """Print what the arbiter itself uses."""

    name = "dstats"
    replies = "info{…}, the keys of a process in stats"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del request
        answer(Reply(True, {"info": control.own_stats()}))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        info = reply.fields["info"]
        lines = ["Main Process:", f"    {_LINE.format(**info)}"]
        if info.get("children"):
            lines += ["Children:", *(f"    {_LINE.format(**one)}" for one in info["children"])]
        return "\n".join(lines)


def _show(info: Mapping[str, Any] | str) -> str:
    if isinstance(info, str):
        return info
    children = [f"   {_LINE.format(**one)}" for one in info.get("children", [])]
    return "\n".join([_LINE.format(**info), *children])
