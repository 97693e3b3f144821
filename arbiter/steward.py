"""Carries out what control commands ask of an arbiter (control/api.py)."""

from __future__ import annotations

from collections.abc import Callable

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.command import speaks_notify
from chaussette.arbiter.plan import Style
from chaussette.arbiter.watcher import Outcome, Waiter, Watcher
from chaussette.control.api import Answer, SocketInfo
from chaussette.control.command import no_watcher
from chaussette.control.protocol import Reply


class Steward:
    """The arbiter as commands see it."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter

    def names(self) -> list[str]:
        """Names of all watchers."""
        return [watcher.name for watcher in self._arbiter.watchers.values()]

    def pids(self, name: str) -> list[int]:
        """Pids of a watcher's processes, oldest first."""
        return [process.pid for process in self._watcher(name).processes()]

    def wanted(self, name: str) -> int:
        """How many processes a watcher shall have."""
        return self._watcher(name).wish.count

    def is_singleton(self, name: str) -> bool:
        """Whether a watcher has at most one process."""
        return self._watcher(name).settings.singleton

    def status(self, name: str) -> str:
        """A watcher's state in one word."""
        return self._watcher(name).status()

    def failure(self, name: str) -> str:
        """Why a watcher did not come up the last time."""
        return self._watcher(name).failure

    def is_stopping(self) -> bool:
        """Whether the arbiter is about to end."""
        return self._arbiter.stopping

    def sockets(self) -> list[SocketInfo]:
        """All listening sockets."""
        return [
            SocketInfo(one.name, one.fd, one.location(), one.settings.backlog)
            for one in self._arbiter.sockets.all()
        ]

    def start(self, names: list[str], answer: Answer) -> None:
        """Starts watchers."""
        self._each(names, answer, lambda watcher, done: watcher.start(done))

    def stop(self, names: list[str], answer: Answer) -> None:
        """Stops watchers."""
        self._each(names, answer, lambda watcher, done: watcher.stop(done))

    def restart(self, names: list[str], answer: Answer) -> None:
        """Replaces all processes.

        Those that inherit sockets and say when they are ready are exchanged
        without a gap; all others end before new ones are started, as in Circus.
        """

        def one(watcher: Watcher, done: Waiter) -> None:
            settings = watcher.settings
            gapless = settings.use_sockets and speaks_notify(settings)
            style = Style.SWAP if gapless else Style.STOP_FIRST
            if watcher.wish.running:
                watcher.swap(done=done, style=style, by_signal=False)
            else:
                watcher.start(done)

        self._each(names, answer, one)

    def reload(self, names: list[str], surge: int | None, answer: Answer) -> None:
        """Exchanges generations."""
        self._each(names, answer, lambda watcher, done: watcher.swap(done=done, surge=surge))

    def scale(self, name: str, count: int, answer: Answer) -> int:
        """Sets the number of processes."""
        return self._watcher(name).scale(count, lambda outcome: answer(_reply(outcome)))

    def quit(self, answer: Answer) -> None:
        """Ends the arbiter; answers when every process is gone."""
        self._arbiter.stop(lambda: answer(Reply(ok=True)))

    def _watcher(self, name: str) -> Watcher:
        watcher = self._arbiter.watcher(name)
        if watcher is None:
            raise no_watcher(name, self.names())
        return watcher

    def _each(
        self, names: list[str], answer: Answer, act: Callable[[Watcher, Waiter], None]
    ) -> None:
        """Acts on each watcher and answers once, when all have come to an end."""
        left = set(names)
        reasons: list[str] = []

        def done(name: str, outcome: Outcome) -> None:
            left.discard(name)
            if not outcome.ok:
                reasons.append(f"{name}: {outcome.reason}")
            if not left:
                answer(_reply(Outcome(not reasons, "; ".join(reasons))))

        if not names:
            answer(Reply(ok=True))
        for name in names:
            act(self._watcher(name), lambda outcome, name=name: done(name, outcome))  # type: ignore[misc]


def _reply(outcome: Outcome) -> Reply:
    return Reply(ok=outcome.ok, reason=outcome.reason, errno=0 if outcome.ok else 5)
