"""Carries out what control commands ask of an arbiter (control/api.py)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.checks import faults_of, faults_of_command
from chaussette.arbiter.facts import Infos, Observer
from chaussette.arbiter.plan import pick_batch
from chaussette.arbiter.process import Process
from chaussette.arbiter.reconfigure import Reconfigurer, apply_settings
from chaussette.arbiter.restart import restart
from chaussette.arbiter.tree import Held, send_below
from chaussette.arbiter.users import look_up_owner
from chaussette.arbiter.watcher import Watcher
from chaussette.arbiter.wish import Outcome, Waiter
from chaussette.control import options
from chaussette.control.api import (
    Answer,
    KillOrder,
    NewWatcher,
    Rolling,
    SignalOrder,
    SocketInfo,
)
from chaussette.control.command import no_watcher
from chaussette.control.commands.tuning import HARMLESS
from chaussette.control.protocol import Reply
from chaussette.control.tail import Output
from chaussette.errors import BadMessage, ChaussetteError, ControlError
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import declared
from chaussette.settings.watcher import WatcherSettings

log = logging.getLogger("chaussette.arbiter.control")


class Steward:
    """The arbiter as commands see it."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self.output: Output | None = None
        self.keys_changed: Callable[[], None] = lambda: None
        """Called when keys may have been revoked: with reloadconfig."""
        self._observer = Observer(arbiter)
        self._reconfigurer = Reconfigurer(arbiter)

    def names(self) -> list[str]:
        """Names of all watchers."""
        return [watcher.name for watcher in self._arbiter.watchers.values()]

    def pids(self, name: str) -> list[int]:
        """Pids of a watcher's processes, oldest first."""
        return [process.pid for process in self._watcher(name).processes()]

    def wanted(self, name: str) -> int:
        """How many processes a watcher shall have."""
        return self._watcher(name).wish.count

    def starts_by_itself(self, name: str) -> bool:
        """Whether a watcher runs, or would be started with the arbiter."""
        watcher = self._watcher(name)
        return watcher.wish.running or watcher.settings.autostart

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

        self._each(names, answer, restart)

    def reload(self, names: list[str], rolling: Rolling, answer: Answer) -> None:
        """Exchanges generations."""

        def one(watcher: Watcher, done: Waiter) -> None:
            surge = pick_batch(rolling.batch, watcher.wish.count)
            watcher.swap(done=done, surge=surge, pause=rolling.pause)

        self._each(names, answer, one)

    def reopen_logs(self) -> None:
        """Opens all log files by name again."""
        self._arbiter.reopen_logs()

    def reload_config(self, answer: Answer) -> None:
        """Reads the configuration again and applies what has changed."""

        def done(outcome: Outcome, info: Mapping[str, object]) -> None:
            reply = _reply(outcome)
            answer(Reply(reply.ok, {"info": info}, reply.reason, reply.errno))

        self.keys_changed()
        try:
            self._reconfigurer.reload(done)
        except ChaussetteError as error:
            raise ControlError(f"nothing was changed: {error}") from None

    def options(self, name: str) -> dict[str, object]:
        """All options of a watcher."""
        watcher = self._watcher(name)
        return options.shown(watcher.settings, watcher.wish.count)

    def global_options(self) -> dict[str, object]:
        """Options of the arbiter itself."""
        settings = self._arbiter.config.arbiter
        values = {
            "endpoint": None,
            "stats_endpoint": None,
            "pubsub_endpoint": None,
            "check_delay": None,
            "multicast_endpoint": None,
            **{name: getattr(settings, name) for name in declared(ArbiterSettings)},
        }
        return {**values, **self._arbiter.endpoints, "fqdn": self._arbiter.fqdn}

    def set_options(self, name: str, wanted: Mapping[str, object], answer: Answer) -> None:
        """Changes options of a watcher."""
        watcher = self._watcher(name)
        settings = options.changed(watcher.settings, wanted)
        if "numprocesses" not in {key.lower() for key in wanted}:
            settings = replace(settings, numprocesses=watcher.settings.numprocesses)
            count = watcher.wish.count
        else:
            count = settings.numprocesses
        self._check(settings)
        self._check_owner(settings, wanted)
        log.info("%s: set %s", name, ", ".join(wanted))
        apply_settings(watcher, settings, count, lambda outcome: answer(_reply(outcome)))
        self._arbiter.publish(watcher.name, "updated", {"options": sorted(wanted)})

    def add(self, wanted: NewWatcher, answer: Answer) -> None:
        """Adds a watcher."""
        if not options.is_name(wanted.name):
            raise BadMessage(
                f"name = {wanted.name[:80]!r}: expected 1 to 64 letters, digits or any of _ . -"
            )
        if self._arbiter.watcher(wanted.name) is not None:
            raise ControlError(f"there is a watcher {wanted.name!r} already")
        asked: dict[str, object] = {"cmd": wanted.cmd}
        if wanted.args is not None:
            asked["args"] = wanted.args
        given = {
            key: value for key, value in wanted.options.items() if key not in options.NO_EFFECT
        }
        for key in wanted.options.keys() - given.keys():
            log.warning("%s: %s: %s", wanted.name, key, options.NO_EFFECT[key])
        settings = options.changed(WatcherSettings(name=wanted.name), {**asked, **given})
        self._check(settings)
        self._check_owner(settings, given)
        watcher = self._arbiter.add_watcher(settings)
        self._arbiter.publish(watcher.name, "add", {})
        if wanted.start:
            watcher.start(lambda outcome: answer(_reply(outcome)))
        else:
            answer(Reply(ok=True))

    def remove(self, name: str, nostop: bool, answer: Answer) -> None:
        """Forgets a watcher."""
        self._arbiter.remove_watcher(
            self._watcher(name), lambda outcome: answer(_reply(outcome)), nostop=nostop
        )

    def stats(self, name: str, pid: int | None, extended: bool) -> dict[int, dict[str, object]]:
        """Facts about the processes of a watcher."""
        watcher = self._watcher(name)
        if pid is None:
            return self._observer.look(watcher.processes(), extended)
        process = self._process(watcher, pid)
        closely = self._observer.look_closely
        found = closely(process) if extended else self._observer.look([process], extended)
        if pid not in found:
            raise ControlError(f"process {pid} has just ended")
        return found

    def own_stats(self) -> dict[str, object]:
        """Facts about the arbiter's process."""
        return self._observer.arbiter()

    def extend_stats(self, infos: Infos, then: Callable[[], None]) -> None:
        """Has the hook extended_stats add to facts, in place."""
        self._observer.extend(infos, then)

    def pressure(self, name: str) -> Mapping[str, object]:
        """How long a watcher's processes wait for memory, cpu and io."""
        return self._arbiter.factory.groups.pressure(self._watcher(name).name)

    def signal(self, name: str, order: SignalOrder) -> None:
        """Sends a signal to processes, or their descendants."""
        watcher = self._watcher(name)
        chosen = watcher.processes() if order.pid is None else [self._process(watcher, order.pid)]
        for process in chosen:
            if order.childpid is not None or order.children:
                send_below(process.pid, order.signum, order.childpid)
                continue
            below = Held(process.pid) if order.recursive else None
            watcher.fleet.signal(process, order.signum, partial(process.send, order.signum))
            if below is not None:
                below.send(order.signum)
                below.release()

    def end_processes(self, name: str, order: KillOrder, answer: Answer) -> None:
        """Ends processes of a watcher."""
        watcher = self._watcher(name)
        chosen = watcher.processes() if order.pid is None else [self._process(watcher, order.pid)]
        left = {process.pid for process in chosen}

        def gone(pid: int) -> None:
            left.discard(pid)
            if not left:
                answer(Reply(ok=True))

        if not chosen:
            answer(Reply(ok=True))
        for process in chosen:
            process.farewell.append(partial(gone, process.pid))
            watcher.fleet.stop_process(process, order.signum, order.graceful_timeout)

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

    def _process(self, watcher: Watcher, pid: int) -> Process:
        process = watcher.process(pid)
        if process is None:
            there = ", ".join(str(one.pid) for one in watcher.processes()) or "none"
            raise BadMessage(f"process {pid} not found in {watcher.name!r} (pids: {there})")
        return process

    def _check(self, settings: WatcherSettings) -> None:
        sockets = [one.name for one in self._arbiter.sockets.all()]
        faults = [*faults_of_command(settings, sockets), *faults_of(settings)]
        if faults:
            raise BadMessage("; ".join(faults))

    def _check_owner(self, settings: WatcherSettings, wanted: Mapping[str, object]) -> None:
        """With `endpoint_owner`, who commands is not the arbiter's user, nor becomes it."""
        owner = self._arbiter.config.arbiter.endpoint_owner
        if owner is None or look_up_owner(owner).uid in (None, os.geteuid()):
            return
        if {key.lower() for key in wanted} <= HARMLESS and wanted:
            return
        if settings.uid is None or look_up_owner(settings.uid).uid != look_up_owner(owner).uid:
            raise ControlError(f"with endpoint_owner = {owner}, a watcher needs uid = {owner}")
        for key in wanted:
            if key.lower().startswith(("hooks", "stdout_stream", "stderr_stream")):
                raise ControlError(
                    f"with endpoint_owner = {owner}, {key} cannot be set by a command: it has "
                    "effect as the arbiter's own user"
                )

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
