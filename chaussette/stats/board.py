"""What was last told of everything: messages in, a table or one object out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaussette.facts import human

SOCKETS = "sockets"
SORTS = ("cpu", "mem", "age", "pid")
_HEAD = f"{'PID':>9} {'CPU %':>7} {'MEM %':>7} {'RSS':>8} {'THR':>4} {'FDS':>5} {'AGE s':>10}"
_WORKER_HEAD = f" {'REQ/s':>8} {'BUSY %':>6} {'NOW':>4}"


class Board:
    """Collects messages; ours and Circus's alike."""

    def __init__(self) -> None:
        self._groups: dict[str, Mapping[str, Any]] = {}
        self._members: dict[str, dict[int, Mapping[str, Any]]] = {}

    def take(self, topic: str, message: Mapping[str, Any]) -> None:
        """Takes one message; a topic that nobody knows is passed over."""
        parts = topic.split(".")
        if len(parts) == 2:
            self._groups[parts[1]] = message
        elif len(parts) == 3 and parts[2].isdecimal():
            self._members.setdefault(parts[1], {})[int(parts[2])] = message

    def told(self, sort: str = "cpu") -> dict[str, Any]:
        """All of it: watchers with their processes, the arbiter's own, and sockets."""
        watchers = {
            str(group.get("watcher", name)): {**group, "processes": self._processes(name, sort)}
            for name, group in sorted(self._groups.items())
            if name != SOCKETS
        }
        sockets = [one for _, one in sorted(self._members.get(SOCKETS, {}).items())]
        return {"watchers": watchers, SOCKETS: sockets}

    def _processes(self, name: str, sort: str) -> list[Mapping[str, Any]]:
        """Those that the group still names: who has ended is told of no more."""
        members = self._members.get(name, {})
        found = [members[pid] for pid in self._groups[name].get("pid", []) if pid in members]
        if sort == "pid":
            return sorted(found, key=lambda one: int(one["pid"]))
        return sorted(found, key=lambda one: -_number(one.get(sort)))


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The table, a line each."""
    for name, group in told["watchers"].items():
        yield from _watcher(name, group)
    if told[SOCKETS]:
        yield f"{SOCKETS}"
        yield f"{'FD':>9} {'QUEUE':>7} {'READS':>7}  ADDRESS"
        for one in told[SOCKETS]:
            queue = "-" if one.get("queue") is None else one["queue"]
            named = f"  {one['name']}" if one.get("name") else ""
            yield f"{one['fd']:>9} {queue:>7} {one['reads']:>7}  {one['address']}{named}"


def _watcher(name: str, group: Mapping[str, Any]) -> Iterator[str]:
    processes: Sequence[Mapping[str, Any]] = group["processes"]
    cpu, mem = _number(group.get("cpu")), _number(group.get("mem"))
    line = f"{_plain(name)}: {len(processes)} processes, CPU {cpu:.1f} % (mean), MEM {mem:.1f} %"
    if workers := group.get("workers"):
        line += (
            f", {workers['rate']:.1f} requests/s, busy {100 * workers['busy']:.0f} %, "
            f"{workers['in_flight']} in flight"
        )
    yield line
    yield _HEAD + (_WORKER_HEAD if workers else "") + "  PROGRAM"
    for one in processes:
        yield _process(one, bool(workers))


def _process(one: Mapping[str, Any], with_worker: bool) -> str:
    rss = human(one["rss"]) if "rss" in one else str(one.get("mem_info1", "-"))
    text = (
        f"{one['pid']:>9} {_number(one['cpu']):>7.1f} {_number(one['mem']):>7.2f} {rss:>8} "
        f"{one.get('threads', '-'):>4} {one.get('fds', '-'):>5} {_number(one['age']):>10.1f}"
    )
    if with_worker:
        worker = one.get("worker") or {"rate": 0.0, "busy": 0.0, "in_flight": 0}
        text += f" {worker['rate']:>8.1f} {100 * worker['busy']:>6.0f} {worker['in_flight']:>4}"
    return f"{text}  {_plain(str(one.get('name') or one.get('cmdline')))}"


def _number(value: Any) -> float:
    """A figure; Circus writes `N/A` where it may not look."""
    return float(value) if isinstance(value, int | float) else 0.0


def _plain(text: str) -> str:
    """Without what a terminal would obey: a program may be called anything."""
    return "".join(char if char.isprintable() else "?" for char in text)
