"""Commands that look at processes: stats and dstats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.command import MAYBE_NAME, Command, Property, one_name, whole_number
from chaussette.control.levels import Level
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage

_LINE = "{pid}  {cmdline} {username} {nice} {mem_info1} {mem_info2} {cpu} {mem} {ctime}"


class Stats(Command):
    """Print what the processes of a watcher, or of all, use.

    A line each: pid, program, user, nice, resident and virtual memory, CPU and
    memory in percent, CPU time. CPU is counted since the last time that anybody
    asked. --extended adds the children of each process, and what the watcher's hook
    extended_stats has to say; of one process also pss, its share of the memory.
    A watcher with a control group has a line with its pressure: the share of the
    last 10 seconds in which some process had to wait.
    """

    name = "stats"
    level = Level.READ
    usage = "[--extended] [watcher [pid]]"
    options: ClassVar = {"extended": False}
    words = (0, 2)
    properties: ClassVar = {
        "name": MAYBE_NAME,
        "process": Property("number", "The pid of one process of the watcher."),
        "extended": Property("flag", "With children, and with what the hook extended_stats adds."),
    }
    replies = (
        "infos{watcher{pid{…}}}; with a watcher name and info{pid{…}}; with a process, "
        "process and info{…}. A process has mem_info1, mem_info2, cpu, mem, ctime, pid, "
        "username, nice, create_time, age, cmdline, started, wid, children[], and of a worker "
        "also worker{state, in_flight, requests, errors}. In bytes, seconds and a number: rss, "
        "vms, cpu_time, threads, and pss of one process with extended. Beside info or infos, "
        "pressure{memory, cpu, io} of a watcher with a control group, or pressure{watcher{…}}"
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
            self._all(control, extended, answer)
            return
        name = one_name(control, request)
        pid = None if asked.get("process") is None else whole_number(asked, "process", 0)
        infos = {name: control.stats(name, pid, extended)}

        def then() -> None:
            if pid is not None:
                answer(Reply(True, {"process": pid, "info": infos[name][pid]}))
                return
            pressure = control.pressure(name)
            told = {"pressure": pressure} if pressure else {}
            answer(Reply(True, {"name": name, "info": infos[name], **told}))

        _extend(control, infos, extended, then)

    def _all(self, control: Control, extended: bool, answer: Answer) -> None:
        infos = {name: control.stats(name, None, extended) for name in control.names()}
        pressures = {name: found for name in infos if (found := control.pressure(name))}
        told = {"pressure": pressures} if pressures else {}
        _extend(control, infos, extended, lambda: answer(Reply(True, {"infos": infos, **told})))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        fields = reply.fields
        if "process" in fields:
            return f"{fields['process']}: {_show(fields['info'])}"
        name = fields.get("name")
        infos = fields["infos"] if "infos" in fields else {name: fields["info"]}
        pressure = fields.get("pressure", {})
        pressures = pressure if "infos" in fields else {name: pressure}
        lines: list[str] = []
        for name, info in infos.items():
            lines.append(f"{name}:")
            lines += [f"{pid}: {_show(one)}" for pid, one in (info or {}).items()]
            if pressures.get(name):
                lines.append(f"   pressure, % of 10s: {_show_pressure(pressures[name])}")
        return "\n".join(lines)


class DaemonStats(Command):
    """Print what the arbiter itself uses."""

    name = "dstats"
    level = Level.READ
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


def _extend(
    control: Control,
    infos: dict[str, dict[int, dict[str, object]]],
    extended: bool,
    then: Callable[[], None],
) -> None:
    if extended:
        control.extend_stats(infos, then)
    else:
        then()


def _show_pressure(pressure: Mapping[str, Any]) -> str:
    return ", ".join(f"{kind} {one['some']['avg10']:g}" for kind, one in pressure.items())


def _show(info: Mapping[str, Any] | str) -> str:
    if isinstance(info, str):
        return info
    children = [f"   {_LINE.format(**one)}" for one in info.get("children", [])]
    return "\n".join([_LINE.format(**info), *children])
