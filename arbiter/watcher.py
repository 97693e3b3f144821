"""A watcher: one command, its processes, and how many of them there shall be.

It turns events into steps of the lifecycle, and the plan's orders into starts
and signals. Each watcher works by itself: nothing it waits for holds another
one up, and whatever it is asked is answered at once or when its plan settles.
"""

from __future__ import annotations

import itertools
import logging
import signal
from collections.abc import Callable
from functools import partial

from chaussette.arbiter.fleet import Fleet
from chaussette.arbiter.lifecycle import Act, Event, State
from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.plan import SLICE, FleetView, Style, plan
from chaussette.arbiter.process import Ending, Process
from chaussette.arbiter.restarts import RestartPolicy
from chaussette.arbiter.wish import HookedLife, Outcome, Owner, Waiter, Wish
from chaussette.errors import SpawnError
from chaussette.settings.watcher import WatcherSettings, tuned, within_limits

log = logging.getLogger("chaussette.arbiter")
LONGEST_START = 0.01
"""Seconds of starting processes past which signals and commands are heard first."""
SPAWN_DELAY = 1.0
"""Seconds until the hook before_spawn is asked again."""


class Watcher:
    """One group of identical processes."""

    def __init__(self, settings: WatcherSettings, loop: Loop, owner: Owner) -> None:
        self.settings = settings
        self.wish = Wish(count=settings.numprocesses)
        self.restarts = RestartPolicy()
        self.failure = ""
        self.exit_code = 0
        self._loop = loop
        self._owner = owner
        self.fleet = Fleet(settings.name, loop, owner, self)
        self._serving = (1, settings)
        self._numbers = itertools.count(2)
        self._next_start = 0.0
        self._retry: Timer | None = None
        self._planned = False
        self._waiters: list[Waiter] = []
        self._hooked = HookedLife()

    # -- what it is ---------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    def processes(self) -> list[Process]:
        """All processes that have not ended, oldest first."""
        return self.fleet.all()

    def process(self, pid: int) -> Process | None:
        """The process of that pid, or None."""
        return self.fleet.get(pid)

    def status(self) -> str:
        """Circus's words: active, starting, stopping, stopped; and reloading, parked."""
        states = {process.state for process in self.processes()}
        if not self.wish.running:
            if self.restarts.parked:
                return "parked"
            return "stopping" if states else "stopped"
        if self.restarts.parked and State.READY not in states:
            return "parked"
        if self.wish.generation != self._serving[0]:
            return "reloading"
        return "active" if State.READY in states or not self.wanted() else "starting"

    def wanted(self) -> int:
        """How many processes shall serve now."""
        return self.wish.count if self.wish.running else 0

    # -- what can be asked of it --------------------------------------------

    def start(self, done: Waiter | None = None) -> None:
        """Brings it up; forgives what failed before."""
        self.restarts.forgive()
        self.failure = ""
        hooked = self._hooked
        hooked.turn += not hooked.starting
        if self.wish.running:
            self._ask(done)
            return
        if done is not None:
            self._waiters.append(done)
        if not hooked.starting:
            hooked.starting = True
            turn = hooked.turn
            self.hook("before_start", lambda answer: self._begin(answer, turn))

    def _begin(self, answer: bool, turn: int) -> None:
        """The hook before_start has answered, or there is none."""
        hooked = self._hooked
        if turn != hooked.turn:
            return
        hooked.starting = hooked.may_spawn = False
        if not answer:
            self.failure = "its hook before_start did not let it start"
            log.warning("%s: %s", self.name, self.failure)
            self._answer(Outcome(False, self.failure))
            return
        hooked.tell_started = True
        self.wish.running = True
        self.wish.style = Style.STOP_FIRST if self.settings.singleton else Style.SWAP
        self._owner.publish(self.name, "start", {})
        self.replan()

    def stop(self, done: Waiter | None = None) -> None:
        """Ends all its processes; what others were waiting for will not happen."""
        self._answer(Outcome(False, f"{self.name} was stopped"))
        hooked = self._hooked
        hooked.turn += 1
        hooked.starting = False
        turn = hooked.turn
        if not len(self.fleet):
            self._end(done)
            return

        def end(_: bool) -> None:
            if turn == hooked.turn:
                hooked.tell_stopped = True
                self._end(done)
            elif done is not None:
                done(Outcome(False, f"{self.name} was asked for something else since"))

        self.hook("before_stop", end)

    def _end(self, done: Waiter | None) -> None:
        self.wish.running = False
        # Also when it is stopped already: whoever means to start it again must know.
        self._owner.publish(self.name, "stop", {})
        self.restarts.forgive()
        self._serving = (self.wish.generation, self.settings)
        self._ask(done)

    def kill(self) -> None:
        """Ends all its processes now."""
        self.wish.running = False
        for process in self.processes():
            self.fleet.feed(process, Event.KILL_ASKED)

    def scale(self, count: int, done: Waiter | None = None) -> int:
        """Sets how many there shall be, within the limits; returns what it has become."""
        self.wish.count = within_limits(self.settings, count)
        self._ask(done)
        return self.wish.count

    def swap(
        self,
        settings: WatcherSettings | None = None,
        done: Waiter | None = None,
        *,
        style: Style = Style.SWAP,
        surge: int | None = None,
        pause: float = 0.0,
        by_signal: bool = True,
    ) -> None:
        """Replaces all processes by a new generation, started with `settings`.

        With Style.SWAP the old ones serve until the new ones are ready, and go
        on serving when the new ones do not come up. Where the watcher has
        send_hup and nothing else changed, its processes get SIGHUP instead,
        unless `by_signal` is false.
        """
        settings = settings or self.settings
        if by_signal and settings.send_hup and settings == self.settings:
            self._reload_by_hup(done)
            return
        self.settings = settings
        self.restarts.forgive()
        self.failure = ""
        if not self.wish.running:
            if done is not None:
                done(Outcome(True))
            return
        self._answer(Outcome(False, f"{self.name}: another reload has taken over"))
        self.wish.generation = next(self._numbers)
        self.wish.style = Style.STOP_FIRST if settings.singleton else style
        self.wish.surge = surge
        self.wish.pause = pause
        self._owner.publish(self.name, "reload", {"generation": self.wish.generation})
        self._ask(done)

    def retune(self, settings: WatcherSettings) -> None:
        """Takes over what needs no new processes; those that run follow it at once.

        All other fields of `settings` are left for `swap`. Raises OSError when a limit
        cannot be set.
        """
        self._owner.adjust_limits(tuned(self.settings, settings))
        for process in self.processes():
            aged = process.settings.max_age != settings.max_age
            process.settings = tuned(process.settings, settings)
            if aged and process.state is State.READY:
                self.fleet.plan_retirement(process)
        generation, serving = self._serving
        self._serving = (generation, tuned(serving, settings))
        hooks = self.settings.hooks
        self.settings = tuned(self.settings, settings)
        if hooks != self.settings.hooks:
            self._owner.hooks_set(self)
        self.replan()

    # -- what happens to its processes ---------------------------------------

    def replan(self) -> None:
        """Has the plan looked at once more, soon."""
        if not self._planned:
            self._planned = True
            self._loop.soon(self._carry_out)

    # -- details --------------------------------------------------------------

    def _ask(self, done: Waiter | None) -> None:
        if done is not None:
            self._waiters.append(done)
        self.replan()

    def _answer(self, outcome: Outcome) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter(outcome)

    # -- what the fleet tells it (fleet.Chief) ---------------------------------

    def came_up(self) -> None:
        """A process serves now."""
        self.restarts.came_up()
        if self.wish.pause and not self.fleet.is_anybody(State.STARTING):
            self._next_start = self._loop.clock() + self.wish.pause

    def gave_up(self, process: Process, reason: str) -> None:
        """A process did not come up in time."""
        self._failed_start(process.generation, process.started, reason)

    def ended(self, process: Process, act: Act, ending: Ending) -> None:
        """A process has ended unasked."""
        if not process.settings.respawn:
            self._one_less(ending)
        elif act is Act.DIED:
            self.restarts.died(self._loop.clock(), self.wish.count)
            self._say_slowed(process, ending)
        else:
            self.exit_code = ending.code
            self.gave_up(process, f"process {process.pid} ended before it was ready: {ending}")

    def _say_slowed(self, process: Process, ending: Ending) -> None:
        """Tells of a watcher whose processes come up and keep dying; it is never given up."""
        if not self.restarts.slowed:
            self.failure = ""
            return
        self.failure = f"process {process.pid} ended: {ending}, and so do too many"
        wait = max(0.0, self.restarts.not_before - self._loop.clock())
        log.error("%s: %s; the next start waits %.1fs", self.name, self.failure, wait)
        self._owner.publish(self.name, "slowed", {"reason": self.failure, "wait": wait})

    def _one_less(self, ending: Ending) -> None:
        """A process that is not to be replaced has ended."""
        self.wish.count -= 1
        if self.wish.count <= 0:
            self._answer(Outcome(ending.code == 0, f"its last process has ended: {ending}"))
            self.wish.count = self.settings.numprocesses
            self.stop()

    def _failed_start(self, generation: int, started: float, reason: str) -> None:
        """A start has failed: back to the generation that serves, or try later."""
        if (
            generation == self.wish.generation
            and generation != self._serving[0]
            and self.fleet.serves_besides(self.wish.generation)
        ):
            self._fall_back(reason)
            return
        self.restarts.failed_start(started, self._loop.clock(), self._max_retry())
        self.failure = reason
        if self.restarts.parked:
            log.error(
                "%s: given up after %d failed starts (%s); `circusctl start %s` tries again",
                self.name,
                self.restarts.failures,
                reason,
                self.name,
            )
            self._owner.publish(self.name, "parked", {"reason": reason})
            self._answer(Outcome(False, reason))
            self._owner.watcher_failed(self)

    def _max_retry(self) -> int:
        """What is critical is not given up as long as a part of it serves."""
        serves = self.fleet.is_anybody(State.READY)
        return -1 if self.settings.critical and serves else self.settings.max_retry

    def _fall_back(self, reason: str) -> None:
        failed = self.wish.generation
        self.wish.generation, self.settings = self._serving
        self.wish.style = Style.SWAP
        self.wish.pause = 0.0
        self.failure = reason
        log.error(
            "%s: generation %d did not come up (%s); generation %d serves on",
            self.name,
            failed,
            reason,
            self.wish.generation,
        )
        self._owner.publish(self.name, "reload_failed", {"reason": reason, "generation": failed})
        self._answer(Outcome(False, reason))

    def _carry_out(self) -> None:
        self._planned = False
        now = self._loop.clock()
        todo = plan(self._fleet(now))
        # Whom it stops is planned anew by each step: the rest have their turn then.
        for pid in todo.stop[:SLICE]:
            if (process := self.process(pid)) is not None:
                self.fleet.feed(process, Event.STOP_ASKED)
        self._start_some(todo.start, now)
        if todo.settled:
            self._settled()
        elif self.restarts.parked and not todo.stop:
            self._answer(Outcome(False, self.failure))
        elif not todo.start and not self._may_start(now):
            self._try_later()

    def _fleet(self, now: float) -> FleetView:
        return FleetView(
            wanted=self.wanted(),
            generation=self.wish.generation,
            processes=[process.view() for process in self.processes()],
            style=self.wish.style,
            surge=self.wish.surge,
            may_start=self._may_start(now),
        )

    def _may_start(self, now: float) -> bool:
        earliest = max(self.restarts.not_before, self._next_start)
        return self.wish.running and not self.restarts.parked and now >= earliest

    def _try_later(self) -> None:
        if not self.wish.running:
            return
        if self._retry is not None:
            self._retry.cancel()
        earliest = max(self.restarts.not_before, self._next_start)
        self._retry = self._loop.at(earliest, self.replan)

    def _start_some(self, count: int, now: float) -> None:
        if self.settings.warmup_delay:
            count = min(count, 1)
        if count and "before_spawn" in self.settings.hooks and not self._asked_to_spawn():
            return
        if "before_spawn" in self.settings.hooks:
            count = min(count, 1)
        current = sum(one.generation == self.wish.generation for one in self.processes())
        missing = max(count, self.wanted() - current)
        for wid in self.fleet.free_wids(missing)[:count]:
            try:
                process = self._owner.start_process(self.settings, wid, self.wish.generation)
            except SpawnError as error:
                log.error("%s: cannot start: %s", self.name, error)
                self._failed_start(self.wish.generation, now, str(error))
                self.replan()
                return
            self.fleet.add(process)
            self.hook("after_spawn", partial(self._wanted_or_not, process), pid=process.pid)
            if self._loop.clock() - now > LONGEST_START:
                break
        if count:
            self._next_start = now + self.settings.warmup_delay
            self.replan()

    def _asked_to_spawn(self) -> bool:
        """Whether the hook before_spawn has allowed a process; else it is being asked."""
        hooked = self._hooked
        if hooked.may_spawn:
            hooked.may_spawn = False
            return True
        if hooked.asking_to_spawn:
            return False

        def answered(answer: bool) -> None:
            hooked.asking_to_spawn = False
            hooked.may_spawn = answer
            if not answer:
                # Only this one spawn waits; Circus stops the whole watcher.
                self._next_start = self._loop.clock() + SPAWN_DELAY
            self.replan()

        hooked.asking_to_spawn = True
        self.hook("before_spawn", answered)
        return False

    def _wanted_or_not(self, process: Process, answer: bool) -> None:
        """Where the hook after_spawn does not want a process, it ends; another is tried later."""
        if answer:
            return
        if self.process(process.pid) is process and process.state is not State.STOPPING:
            self.fleet.feed(process, Event.STOP_ASKED)
            self.gave_up(process, f"its hook after_spawn did not want process {process.pid}")

    def hook(self, hook: str, then: Callable[[bool], None], **given: object) -> None:
        """Calls a hook; where there is none, `then` gets True at once."""
        if hook in self.settings.hooks:
            self._owner.call_hook(self, hook, given, then)
        else:
            then(True)

    def _settled(self) -> None:
        if self.wish.running and self._serving[0] != self.wish.generation:
            log.info("%s: generation %d serves now", self.name, self.wish.generation)
            self._owner.publish(self.name, "reloaded", {"generation": self.wish.generation})
        self._serving = (self.wish.generation, self.settings)
        self.wish.style = Style.STOP_FIRST if self.settings.singleton else Style.SWAP
        self.wish.surge = None
        self.wish.pause = 0.0
        hooked = self._hooked
        if self.wish.running and hooked.tell_started:
            hooked.tell_started = False
            self.hook("after_start", lambda answer: None if answer else self.stop())
        if not self.wish.running and hooked.tell_stopped:
            hooked.tell_stopped = False
            self.hook("after_stop", lambda _: self._answer(Outcome(True)))
        else:
            self._answer(Outcome(True))

    def _reload_by_hup(self, done: Waiter | None) -> None:
        self.fleet.send(signal.SIGHUP)
        if done is not None:
            done(Outcome(True))
