"""Which processes there are, and of which watcher: what the arbiter listed, and its events since.

Pure: it is told what was heard, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CIRCUS = "circus"
"""The topic of the arbiter's own processes, as in Circus."""
OWN = ("circusd", "circusd-stats", "circushttpd")
"""Watchers that are told of under CIRCUS."""


def event_name(watcher: str) -> str:
    """A watcher's name as it stands in the topics of events."""
    return watcher.lower().replace(" ", "_")


def topic_of(watcher: str, pid: int | None = None) -> str:
    """Where figures are published. A dot would end the name, so it is `-` here.

    Circus's circus-top takes a topic apart at its dots, and shows `-` as a dot.
    """
    topic = f"stat.{event_name(watcher).replace('.', '-')}"
    return topic if pid is None else f"{topic}.{pid}"


class Roster:
    """Pids by watcher, oldest first."""

    def __init__(self) -> None:
        self._pids: dict[str, list[int]] = {}
        self._names: dict[str, str] = {}

    def replace(self, listed: Mapping[str, Sequence[int]]) -> None:
        """Takes what the arbiter lists, by watcher, in place of all that was known."""
        self._names = {event_name(name): name for name in listed}
        self._pids = {event_name(name): list(pids) for name, pids in listed.items()}

    def hear(self, topic: str, message: Mapping[str, Any]) -> None:
        """Takes an event, `watcher.NAME.WHAT`; one that says nothing about pids is passed over."""
        key, _, what = topic.removeprefix("watcher.").rpartition(".")
        pid = message.get("process_pid")
        if key in OWN:
            return
        if what == "remove":
            self._pids.pop(key, None)
            self._names.pop(key, None)
        elif what == "spawn" and isinstance(pid, int):
            pids = self._pids.setdefault(key, [])
            if pid not in pids:
                pids.append(pid)
        elif what == "reap" and isinstance(pid, int):
            self.gone(key, pid)

    def gone(self, watcher: str, pid: int) -> None:
        """A process has ended."""
        pids = self._pids.get(event_name(watcher), [])
        if pid in pids:
            pids.remove(pid)

    def watchers(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Each watcher that has processes, and their pids."""
        for key, pids in list(self._pids.items()):
            if pids:
                yield self._names.get(key, key), tuple(pids)
