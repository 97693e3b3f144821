"""The processes of one watcher, and what happens to each of them.

It takes every process through its lifecycle and carries the acts out: signals,
deadlines, farewell. How many there shall be, of which generation and when, is
the watcher's business, who is told of everything that matters to that.
"""

from __future__ import annotations

import itertools
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from chaussette.arbiter.command import speaks_notify
from chaussette.arbiter.lifecycle import Act, Event, State, step
from chaussette.arbiter.loop import Loop
from chaussette.arbiter.process import Ending, Process, pick_lifetime
from chaussette.arbiter.wish import Owner

log = logging.getLogger("chaussette.arbiter")
KILL_AGAIN = 10.0
"""Seconds after which SIGKILL is sent once more to what did not end."""
ABORT_GRACE = 5.0
"""Seconds that a hung process has to write its stacks."""


class Chief(Protocol):
    """What the fleet tells its watcher, and asks it."""

    def came_up(self) -> None:
        """A process serves now."""
        ...

    def gave_up(self, process: Process, reason: str) -> None:
        """A process that did not come up in time is being ended."""
        ...

    def ended(self, process: Process, act: Act, ending: Ending) -> None:
        """A process has ended unasked; `act` says whether it had come up."""
        ...

    def hook(self, hook: str, then: Callable[[bool], None], **given: object) -> None:
        """Calls a hook; where there is none, `then` gets True at once."""
        ...

    def replan(self) -> None:
        """Something has changed: the plan is to be looked at."""
        ...


class Fleet:
    """All processes of one watcher that have not ended."""

    def __init__(self, name: str, loop: Loop, owner: Owner, chief: Chief) -> None:
        self._name = name
        self._loop = loop
        self._owner = owner
        self._chief = chief
        self._processes: dict[int, Process] = {}
        self._failed: set[int] = set()
        """Numbers whose last process did not come up."""

    def __len__(self) -> int:
        return len(self._processes)

    def all(self) -> list[Process]:
        """All of them, oldest first."""
        return sorted(self._processes.values(), key=lambda one: one.started)

    def get(self, pid: int) -> Process | None:
        """The process of that pid, or None."""
        return self._processes.get(pid)

    def add(self, process: Process) -> None:
        """Takes a process in that has just been started."""
        self._processes[process.pid] = process
        settings = process.settings
        log.info("%s: started process %d", self._name, process.pid)
        self._owner.publish(self._name, "spawn", {"process_pid": process.pid})
        if speaks_notify(settings):
            if settings.boot_timeout:
                process.timer = self._loop.after(
                    settings.boot_timeout, lambda: self._boot_is_over(process)
                )
        elif settings.ready_after:
            process.timer = self._loop.after(
                settings.ready_after, lambda: self.feed(process, Event.CAME_UP)
            )
        else:
            self.feed(process, Event.CAME_UP)

    def release(self) -> list[Process]:
        """Lets go of all processes without ending them; returns them."""
        let_go = self.all()
        self._processes.clear()
        for process in let_go:
            process.cancel_timers()
        return let_go

    def feed(self, process: Process, event: Event, ending: Ending | None = None) -> None:
        """Takes one step in the life of a process, and acts on it."""
        before = process.state
        process.state, act = step(before, event)
        if process.state is not before:
            process.cancel_timers()
        self._act(process, act, ending)
        self._chief.replan()

    def check_heartbeat(self, process: Process, now_ns: int) -> None:
        """Replaces a worker whose last sign of life is too long ago."""
        limit = process.settings.heartbeat_timeout
        if process.state is not State.READY or process.slot is None or not limit:
            return
        view = process.slot.read()
        if view.pid and now_ns - view.heartbeat_ns > limit * 1e9:
            log.critical("%s: worker %d: no sign of life for %gs", self._name, process.pid, limit)
            self.feed(process, Event.HUNG)

    def stop_process(
        self, process: Process, number: int | None = None, timeout: float | None = None
    ) -> None:
        """Ends one process, with another signal or patience than usual; it is replaced."""
        settings = process.settings
        process.settings = replace(
            settings,
            stop_signal=settings.stop_signal if number is None else number,
            graceful_timeout=settings.graceful_timeout if timeout is None else timeout,
        )
        if process.state is not State.STOPPING:
            self.feed(process, Event.STOP_ASKED)
            return
        process.ask_to_stop()
        self._deadline(process, process.settings.graceful_timeout)

    def send(self, number: int) -> None:
        """Sends a signal to all processes."""
        for process in self.all():
            self.signal(process, number, partial(process.send, number))

    def signal(self, process: Process, number: int, send: Callable[[], object]) -> None:
        """Has a signal sent, unless the hook before_signal says no."""
        given = {"pid": process.pid, "signum": number}

        def answered(answer: bool) -> None:
            if process.pid not in self._processes:
                return
            if answer or number == signal.SIGKILL:
                send()
                self._chief.hook("after_signal", _nothing, **given)
            else:
                log.info("%s: signal %d is held back by a hook", self._name, number)

        self._chief.hook("before_signal", answered, **given)

    def plan_retirement(self, process: Process) -> None:
        """Sets when it is to be replaced because of its age."""
        if process.retirement is not None:
            process.retirement.cancel()
            process.retirement = None
        if process.settings.max_age:
            when = process.started + pick_lifetime(process.settings)
            process.retirement = self._loop.at(
                max(when, self._loop.clock()), lambda: self._retire(process)
            )

    def free_wids(self, count: int) -> list[int]:
        """So many numbers that no process has, from 1; whose process failed comes last.

        Thus one that always fails does not keep its siblings from being started.
        """
        taken = {process.wid for process in self._processes.values()}
        free = (wid for wid in itertools.count(1) if wid not in taken)
        return sorted(itertools.islice(free, count), key=lambda wid: wid in self._failed)

    def is_anybody(self, state: State) -> bool:
        """Whether a process is in this state."""
        return any(one.state is state for one in self._processes.values())

    def serves_besides(self, generation: int) -> bool:
        """Whether a process of another generation lives and is not ending."""
        alive = (State.STARTING, State.READY)
        return any(
            one.generation != generation and one.state in alive for one in self._processes.values()
        )

    # -- details --------------------------------------------------------------

    def _act(self, process: Process, act: Act, ending: Ending | None) -> None:
        settings = process.settings
        match act:
            case Act.WELCOME:
                self._welcome(process)
            case Act.TERM:
                log.info("%s: stopping process %d", self._name, process.pid)
                self._owner.publish(self._name, "kill", {"process_pid": process.pid})
                self.signal(process, settings.stop_signal, process.ask_to_stop)
                self._deadline(process, settings.graceful_timeout)
            case Act.LET_GO:
                self._deadline(process, settings.graceful_timeout)
            case Act.ABORT:
                self._abort(process)
            case Act.GIVE_UP:
                self._abort(process)
                self._chief.gave_up(
                    process, f"process {process.pid} was not ready in {settings.boot_timeout:g}s"
                )
            case Act.KILL:
                log.warning("%s: killing process %d", self._name, process.pid)
                process.kill()
                self._deadline(process, KILL_AGAIN)
            case Act.FAILED | Act.DIED | Act.STOPPED:
                self._gone(process, act, ending or Ending(0))
            case Act.NOTHING:
                pass

    def _welcome(self, process: Process) -> None:
        log.info("%s: process %d is ready", self._name, process.pid)
        self._failed.discard(process.wid)
        self.plan_retirement(process)
        self._chief.came_up()
        self._owner.publish(self._name, "ready", {"process_pid": process.pid})

    def _boot_is_over(self, process: Process) -> None:
        """Its time to come up is over: it has failed, or it is none that could tell.

        A program that is called chaussette but never touched its slot is not our
        runner (PyPI's Chaussette 1.3 is one): it lives, and that counts.
        """
        silent = process.slot is not None and not process.slot.read().pid
        if process.settings.readiness != "auto" or not silent:
            self.feed(process, Event.DEADLINE)
            return
        log.warning(
            "%s: process %d does not say when it is ready; set readiness = alive",
            self._name,
            process.pid,
        )
        self.feed(process, Event.CAME_UP)

    def _retire(self, process: Process) -> None:
        process.retiring = True
        self._chief.replan()

    def _abort(self, process: Process) -> None:
        log.error("%s: process %d is given up", self._name, process.pid)
        process.abort()
        self._deadline(process, ABORT_GRACE)

    def _deadline(self, process: Process, delay: float) -> None:
        if process.timer is not None:
            process.timer.cancel()
        process.timer = self._loop.after(delay, lambda: self.feed(process, Event.DEADLINE))

    def _gone(self, process: Process, act: Act, ending: Ending) -> None:
        reaped = {"process_pid": process.pid, "time": time.time()}
        self._chief.hook("before_reap", _nothing, **reaped)
        del self._processes[process.pid]
        process.release()
        self._owner.process_gone(process)
        for tell in process.farewell:
            tell()
        oom = {"oom_kills": ending.oom_kills} if ending.oom_kills else {}
        self._owner.publish(
            self._name, "reap", {"process_pid": process.pid, "exit_code": ending.code, **oom}
        )
        ended = {"exit_code": ending.code, "process_status": str(ending)}
        self._chief.hook("after_reap", _nothing, **reaped, **ended)
        level = logging.INFO if act is Act.STOPPED else logging.WARNING
        log.log(level, "%s: process %d has ended: %s", self._name, process.pid, ending)
        if act is Act.FAILED:
            self._failed.add(process.wid)
        if act is not Act.STOPPED:
            self._chief.ended(process, act, ending)


def _nothing(_: bool) -> None:
    """For a hook whose answer changes nothing."""
