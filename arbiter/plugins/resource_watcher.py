"""Replaces a process, and it alone, that takes too much or too little for too long."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from chaussette.arbiter.plugins.statsd import BaseObserver, number, to_bytes
from chaussette.settings.plugins import Memory, ResourceOptions

log = logging.getLogger("chaussette.plugin.resource_watcher")


class ResourceWatcher(BaseObserver):
    """Looks after the processes of one watcher."""

    name = "resource_watcher"
    Options = ResourceOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.watcher: str = self.options.watcher or ""
        self.counts: dict[int, dict[str, int]] = {}

    def look_after(self) -> None:
        """Looks at each process once."""
        reply = self.call("stats", name=self.watcher, extended=bool(self.options.process_children))
        if reply["status"] == "error":
            self._count("error")
            log.warning("no figures of %s: %s", self.watcher, reply.get("reason"))
            return
        seen: set[int] = set()
        for pid, info in _processes(reply["info"]):
            seen.add(pid)
            if self._is_over(pid, info):
                self._replace(pid)
                continue
            if self.options.process_children:
                for child_pid, child in _children(info):
                    seen.add(child_pid)
                    if self._is_over(child_pid, child):
                        self._signal_child(pid, child_pid)
        self.counts = {pid: self.counts[pid] for pid in seen if pid in self.counts}

    def _is_over(self, pid: int, info: Mapping[str, Any]) -> bool:
        """Counts this look; whether one limit has been passed too often in a row."""
        found = offences(self.options, info)
        for what in found:
            self._count(what)
        before = self.counts.get(pid, {})
        counts = {what: before.get(what, 0) + 1 for what in found}
        self.counts[pid] = counts
        worst = max(counts, key=lambda what: counts[what], default=None)
        if worst is None or counts[worst] <= self.options.max_count:
            return False
        log.warning(
            "%s: process %d is %s for the %dth time (cpu %s, memory %s)",
            self.watcher,
            pid,
            worst.replace("_", " "),
            counts[worst],
            info.get("cpu"),
            info.get("mem_info1"),
        )
        self._count("restarting")
        del self.counts[pid]
        return True

    def _replace(self, pid: int) -> None:
        self._say(self.call("kill", name=self.watcher, pid=pid), pid)

    def _signal_child(self, pid: int, child: int) -> None:
        number_ = self.options.child_signal
        self._say(
            self.call("signal", name=self.watcher, pid=pid, childpid=child, signum=number_), child
        )

    def _say(self, reply: Mapping[str, Any], pid: int) -> None:
        if reply["status"] == "error":
            log.error("%s: nothing done about %d: %s", self.watcher, pid, reply.get("reason"))

    def _count(self, what: str) -> None:
        self.statsd.increment(f"_resource_watcher.{self.watcher}.{what}")


def offences(options: ResourceOptions, info: Mapping[str, Any]) -> list[str]:
    """What a process with these figures does wrong."""
    cpu, share = number(info.get("cpu"), 100.0), number(info.get("mem"), 100.0)
    size = to_bytes(info.get("mem_info1"))
    found: list[str] = []
    if options.max_cpu and cpu > options.max_cpu:
        found.append("over_cpu")
    if options.min_cpu is not None and cpu <= options.min_cpu:
        found.append("under_cpu")
    if options.max_mem.amount and _of(options.max_mem, share, size) > options.max_mem.amount:
        found.append("over_memory")
    if options.min_mem is not None and _of(options.min_mem, share, size) < options.min_mem.amount:
        found.append("under_memory")
    if options.health_threshold and (cpu + share) / 2 > options.health_threshold:
        found.append("over_health")
    return found


def _of(limit: Memory, share: float, size: float) -> float:
    return share if limit.is_percent else size


def _processes(info: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for pid, one in info.items():
        if isinstance(one, dict):
            yield int(pid), one


def _children(info: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for child in info.get("children", []):
        if isinstance(child, dict) and "pid" in child:
            yield int(child["pid"]), child
