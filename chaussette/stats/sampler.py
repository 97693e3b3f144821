"""One sample: everything that is published at one moment, as topics and messages.

It reads /proc, the scoreboard and the kernel's tables, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chaussette.facts import Facts
from chaussette.stats.details import Turns
from chaussette.stats.link import Socket, Traits
from chaussette.stats.queues import Queues
from chaussette.stats.roster import CIRCUS, Roster, topic_of
from chaussette.stats.summary import summary
from chaussette.stats.workers import WorkerFigures, Workers

Message = tuple[str, dict[str, Any]]
DETAILS = 100
"""Processes whose details are read anew for each sample."""


class Sampler:
    """Looks at all processes, workers and sockets of one arbiter."""

    def __init__(self, details: int = DETAILS) -> None:
        self.roster = Roster()
        self.workers = Workers()
        self.circus: Mapping[int, str] = {}
        self.sockets: Sequence[Socket] = ()
        self._facts = Facts()
        self._queues = Queues()
        self._turns = Turns(details)
        self._reads: dict[str, int] = {}
        self._all_reads = 0

    def sample(self, now_ns: int, traits: Callable[[str], Traits]) -> Iterator[Message]:
        """All messages of one moment; `now_ns` is monotonic, `traits` tells of a watcher."""
        watchers = list(self.roster.watchers())
        owners = {pid: name for name, pids in watchers for pid in pids}
        self._turns.look((*owners, *self.circus))
        working = self.workers.look(
            now_ns, lambda pid: traits(owners[pid]).concurrency if pid in owners else 1
        )
        self._reads, self._all_reads = {}, 0
        for name, pids in watchers:
            yield from self._watcher(name, pids, working, traits)
        yield from self._circus()
        yield from self._listening()

    def close(self) -> None:
        """Lets go of the scoreboard and the netlink socket."""
        self.workers.close()
        self._queues.close()

    def _watcher(
        self,
        name: str,
        pids: Sequence[int],
        working: Mapping[int, WorkerFigures],
        traits: Callable[[str], Traits],
    ) -> Iterator[Message]:
        infos: list[dict[str, Any]] = []
        done, has_workers = 0, False
        for pid in pids:
            info = self._process(pid, None)
            if info is None:
                self.roster.gone(name, pid)
                continue
            if (figures := working.get(pid)) is not None:
                info["worker"] = figures.told()
                done += figures.done
                has_workers = True
            infos.append(info)
            yield topic_of(name, pid), info
        if infos:
            yield topic_of(name), {"watcher": name, **summary(infos)}
        if has_workers:
            self._count(done, traits(name).sockets)

    def _circus(self) -> Iterator[Message]:
        infos = []
        for pid, name in self.circus.items():
            info = self._process(pid, name)
            if info is not None:
                infos.append(info)
                yield topic_of(CIRCUS, pid), info
        yield topic_of(CIRCUS), {"watcher": CIRCUS, **summary(infos)}

    def _process(self, pid: int, name: str | None) -> dict[str, Any] | None:
        info = self._facts.of(pid)
        if info is None:
            return None
        info["subtopic"] = pid
        info["name"] = name
        info.update(self._turns.of(pid))
        return info

    # -- sockets ------------------------------------------------------------------

    def _count(self, done: int, sockets: frozenset[str]) -> None:
        """Requests count once for each socket that they may have come through."""
        for name in sockets:
            self._reads[name] = self._reads.get(name, 0) + done
        if sockets:
            self._all_reads += done

    def _listening(self) -> Iterator[Message]:
        if not self.sockets:
            return
        waiting = self._queues.look(self.sockets)
        total = self._all_reads
        for one in self.sockets:
            queue = waiting.get(one.fd)
            reads = self._reads.get(one.name)
            if reads is None:
                # Who serves it does not count requests: a look that found somebody waiting.
                reads = int(bool(queue))
                total += reads
            info = {"fd": one.fd, "subtopic": one.fd, "reads": reads, "address": one.address}
            more = {"name": one.name, "queue": queue, "backlog": one.backlog}
            yield topic_of("sockets", one.fd), {**info, **more}
        yield (
            topic_of("sockets"),
            {"addresses": [one.address for one in self.sockets], "reads": total},
        )
