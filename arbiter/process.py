"""One running process, as the arbiter sees it.

It holds the pidfd, the state and the timers of one child, and carries single
acts out on it. It decides nothing: see lifecycle.py and plan.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from chaussette.arbiter.containment.group import Group
from chaussette.arbiter.lifecycle import State
from chaussette.arbiter.loop import Timer
from chaussette.arbiter.plan import ProcessView
from chaussette.arbiter.tree import Held
from chaussette.scoreboard import Slot
from chaussette.settings.watcher import WatcherSettings


@dataclass(frozen=True)
class Ending:
    """How a process ended: an exit code, or minus the signal's number."""

    code: int
    dumped_core: bool = False
    oom_kills: int = 0
    """How many processes of its watcher the kernel has ended for memory since the last ending."""

    def __str__(self) -> str:
        if self.oom_kills:
            return f"{self._how()}, out of memory (the kernel's oom_kill count: +{self.oom_kills})"
        return self._how()

    def _how(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"{name}, core dumped" if self.dumped_core else name


class Process:
    """A child that has been started. `wid` is its number within the watcher, from 1."""

    def __init__(
        self, pid: int, wid: int, generation: int, settings: WatcherSettings, started: float
    ) -> None:
        self.pid = pid
        self.wid = wid
        self.generation = generation
        self.settings = settings
        self.started = started
        self.state = State.STARTING
        self.pidfd = os.pidfd_open(pid)
        self.slot: Slot | None = None
        self.timer: Timer | None = None
        self.retirement: Timer | None = None
        self.retiring = False
        self.farewell: list[Callable[[], None]] = []
        """Called once it has ended and been waited for."""
        self.group: Group | None = None
        self._held: Held | None = None

    def view(self) -> ProcessView:
        """What the plan sees of it."""
        return ProcessView(self.pid, self.generation, self.state, self.started, self.retiring)

    def age(self, now: float) -> float:
        """Seconds since it was started."""
        return now - self.started

    def send(self, number: int) -> bool:
        """Sends a signal; False when the process has ended, or has become another user's."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def ask_to_stop(self) -> None:
        """Sends the stop signal, to its descendants, too, where so configured."""
        contained = self.group is not None and self.group.path is not None
        if self.settings.stop_children and self._held is None and not contained:
            self._held = Held(self.pid)
        self.send(self.settings.stop_signal)
        # A stopped process (SIGSTOP) could not act on the signal.
        self.send(signal.SIGCONT)
        if self._held is not None:
            self._held.send(self.settings.stop_signal)
        elif self.settings.stop_children and self.group is not None:
            self.group.send(self.settings.stop_signal, besides=self.pid)

    def kill(self) -> None:
        """Sends SIGKILL to it and all its descendants."""
        if self.group is not None and self.group.path is not None:
            # It may not have entered its group yet, and has no child then.
            self.send(signal.SIGKILL)
            self.group.kill()
            return
        held = self._held or Held(self.pid)
        self.send(signal.SIGKILL)
        held.send(signal.SIGKILL)
        if held is not self._held:
            held.release()

    def abort(self) -> None:
        """Sends SIGABRT: a worker leaves the stacks of all its threads in the log."""
        self.send(signal.SIGABRT)
        self.send(signal.SIGCONT)

    def wait_nowait(self) -> Ending | None:
        """Its ending, where it has ended; it is reaped then. See waitid(2)."""
        try:
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return Ending(0)
        if result is None:
            return None
        oom_kills = self.group.watcher.new_oom_kills() if self.group is not None else 0
        if result.si_code == os.CLD_EXITED:
            return Ending(result.si_status, oom_kills=oom_kills)
        return Ending(-result.si_status, result.si_code == os.CLD_DUMPED, oom_kills)

    def release(self) -> None:
        """Gives back what is held for it; descendants left over are killed."""
        self.cancel_timers()
        if self._held is not None:
            self._held.send(signal.SIGKILL)
            self._held.release()
        with contextlib.suppress(OSError):
            os.close(self.pidfd)

    def cancel_timers(self) -> None:
        """No deadline counts any more."""
        for timer in (self.timer, self.retirement):
            if timer is not None:
                timer.cancel()
        self.timer = self.retirement = None


def pick_lifetime(settings: WatcherSettings) -> float:
    """Seconds after which a new process retires: max_age and a part of its variance.

    By chance, so that processes that were started together do not retire together.
    """
    # Not `random`: it would load OpenSSL, 3 MB that the arbiter has no other use for.
    chance = int.from_bytes(os.urandom(4), "big") / 2**32
    return settings.max_age + settings.max_age_variance * chance
