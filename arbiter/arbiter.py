"""The arbiter: it owns the sockets, the watchers and their processes.

Its parts are built here and tied to the loop. What a watcher does by itself is
in watcher.py; what clients may ask is in control/. It imports no application,
no backend and no framework, so that no bug in them can end it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from chaussette import notify
from chaussette.arbiter.factory import ProcessFactory
from chaussette.arbiter.inbox import Inbox, Notice, session_of
from chaussette.arbiter.lifecycle import Event
from chaussette.arbiter.loop import Loop, Timer
from chaussette.arbiter.node import node_name
from chaussette.arbiter.process import Process
from chaussette.arbiter.reaper import reap_strangers
from chaussette.arbiter.scaling.scaler import Scaler
from chaussette.arbiter.sockets import SocketTable
from chaussette.arbiter.streams import StreamTable
from chaussette.arbiter.watcher import Watcher
from chaussette.arbiter.wish import Outcome, Waiter
from chaussette.settings.load import StackConfig
from chaussette.settings.watcher import WatcherSettings

if TYPE_CHECKING:
    from chaussette.arbiter.hooks.ask import Hooks

log = logging.getLogger("chaussette.arbiter")
LAST_WAIT = 5.0
"""Seconds that killed processes have before the arbiter ends without them."""
Listener = Callable[[str, str, Mapping[str, object]], None]


class Arbiter:
    """One running stack.

    The caller gives it bound sockets and closes what it gave once `run` has
    returned; processes are started by `run` and all gone when it returns.
    """

    def __init__(
        self,
        config: StackConfig,
        sockets: SocketTable,
        streams: StreamTable,
        loop: Loop | None = None,
    ) -> None:
        self.config = config
        self.sockets = sockets
        self.streams = streams
        self.loop = loop or Loop()
        self.fqdn = node_name(config.arbiter.fqdn_prefix)
        self.exit_code = 0
        self.host: Any = None
        """The library's arbiter, for hooks that are callables of the program."""
        self.running = False
        self.stopping = False
        self.endpoints: dict[str, str] = {}
        """Addresses by the name of their setting, once they are bound."""
        self.listeners: list[Listener] = []
        self.closers: list[Callable[[], None]] = []
        self.inbox = Inbox()
        self.factory = ProcessFactory(self.loop, sockets, streams, self.inbox.address)
        self.watchers: dict[str, Watcher] = {}
        scaler = Scaler(self.loop, self.watchers, self.factory.awaited_by, self.publish)
        self.listeners.append(scaler.hear)
        self.closers.append(scaler.close)
        self.hooks: Hooks | None = None
        self._leaving: list[Watcher] = []
        self._by_pid: dict[int, Watcher] = {}
        self._boot_errors: set[tuple[str, int, str]] = set()
        self._heartbeats: Timer | None = None
        self._on_gone: list[Callable[[], None]] = []
        self._awaited: dict[str, list[int]] = {}
        for settings in config.watchers:
            self.add_watcher(settings)

    # -- running --------------------------------------------------------------

    def run(self, with_signals: bool = True) -> int:
        """Runs the stack until it is stopped; returns the exit code."""
        self.running = True
        self.loop.watch(self.inbox.fileno(), self._read_inbox)
        if with_signals:
            for number, callback in self._signal_handlers().items():
                self.loop.on_signal(number, callback)
        if any(watcher.settings.hooks for watcher in self.watchers.values()):
            self.hook_host().check(self.watchers.values())
        self._start_watchers(self._in_order())
        try:
            self._run_loop()
        finally:
            for close in self.closers:
                close()
            if self.hooks is not None:
                self.hooks.close()
            self.inbox.close()
            self.factory.close()
            self.loop.close()
        return self.exit_code

    def _run_loop(self) -> None:
        try:
            self.loop.run()
        except BaseException:
            # Whoever has embedded us was interrupted: nothing that we have
            # started is left behind. A second time, it is killed.
            self.stop()
            self._run_loop()
            raise

    def stop(self, done: Callable[[], None] | None = None, exit_code: int = 0) -> None:
        """Ends everything in order: no new connection, what is under way is finished.

        A second call hurries: what is left is killed.
        """
        if done is not None:
            self._on_gone.append(done)
        if self.stopping:
            self.kill()
            return
        log.info("stopping")
        self.stopping = True
        self.exit_code = exit_code
        self.sockets.close()
        for name in list(self._awaited):
            self._stop_awaiting(name)
        if self.config.arbiter.stop_timeout is not None:
            self.loop.after(self.config.arbiter.stop_timeout, self.kill)
        watchers = [*self.watchers.values(), *self._leaving]
        left = set(watchers)

        def gone(watcher: Watcher, _: Outcome) -> None:
            left.discard(watcher)
            if not left:
                self._all_gone()

        for watcher in watchers:
            watcher.stop(partial(gone, watcher))
        if not left:
            self._all_gone()

    def _all_gone(self) -> None:
        for done in self._on_gone:
            done()
        # One more round, so that answers under way get out.
        self.loop.soon(self.loop.stop)

    def kill(self) -> None:
        """Ends everything now."""
        if not self.stopping:
            self.stop()
        log.warning("killing what is left")
        for watcher in [*self.watchers.values(), *self._leaving]:
            watcher.kill()
        # Whatever else goes wrong, the arbiter itself ends.
        self.loop.after(LAST_WAIT, self.loop.stop)

    def reload(self, names: Iterable[str] | None = None) -> None:
        """Replaces the processes of the watchers, or of all, generation for generation."""
        self.reopen_logs()
        for watcher in self._in_order():
            if names is None or watcher.name in names:
                watcher.swap()

    def reopen_logs(self) -> None:
        """Opens all log files by name again, and has workers do so, too."""
        self.streams.reopen()
        for watcher in self.watchers.values():
            for process in watcher.processes():
                # A worker that has not come so far would be ended by the signal.
                if process.slot is not None and process.slot.read().pid:
                    send = partial(process.send, signal.SIGUSR1)
                    watcher.fleet.signal(process, signal.SIGUSR1, send)

    # -- watchers -------------------------------------------------------------

    def add_watcher(self, settings: WatcherSettings) -> Watcher:
        """Adds a watcher, which is not started yet."""
        watcher = Watcher(settings, self.loop, self)
        self.watchers[settings.name.lower()] = watcher
        if self.running:
            self.hooks_set(watcher)
        return watcher

    def start_watchers(self, watchers: Iterable[Watcher]) -> None:
        """Starts those that start by themselves, by priority, as at the arbiter's start."""
        self._start_watchers(sorted(watchers, key=lambda one: -one.settings.priority))

    def remove_watcher(self, watcher: Watcher, done: Waiter, *, nostop: bool = False) -> None:
        """Forgets a watcher at once, and ends its processes; with `nostop` they run on."""
        del self.watchers[watcher.name.lower()]
        self._stop_awaiting(watcher.name)
        self.publish(watcher.name, "remove", {})
        self._leaving.append(watcher)
        if nostop:
            for process in watcher.fleet.release():
                self._let_run_on(process)

        def gone(outcome: Outcome) -> None:
            if watcher.processes():  # the arbiter's own stop has taken over
                watcher.stop(gone)
                return
            self._leaving.remove(watcher)
            done(outcome)

        watcher.stop(gone)

    def _let_run_on(self, process: Process) -> None:
        """Nobody looks after the process any more, but for its last words and its end."""
        self._by_pid.pop(process.pid, None)
        self.loop.forget(process.pidfd)

        def ended() -> None:
            if process.wait_nowait() is not None:
                self.loop.forget(process.pidfd)
                process.release()
                self.factory.release(process)

        self.loop.watch(process.pidfd, ended)

    def watcher(self, name: str) -> Watcher | None:
        """The watcher of that name, in any case, or None."""
        return self.watchers.get(name.lower())

    # -- what watchers need (watcher.Owner) -------------------------------------

    def start_process(self, settings: WatcherSettings, wid: int, generation: int) -> Process:
        """Starts one process and has its exit watched. Raises SpawnError."""
        process = self.factory.start(settings, wid, generation)
        watcher = self.watchers[settings.name.lower()]
        self._by_pid[process.pid] = watcher
        self.loop.watch(process.pidfd, lambda: self._exited(watcher, process))
        if process.slot is not None and settings.heartbeat_timeout:
            self._watch_heartbeats(settings.heartbeat_timeout)
        return process

    def process_gone(self, process: Process) -> None:
        """Lets go of what belongs to a process that has ended."""
        self._by_pid.pop(process.pid, None)
        self.factory.release(process)

    def publish(self, watcher: str, topic: str, fields: Mapping[str, object]) -> None:
        """Tells all listeners of an event of a watcher."""
        for listener in self.listeners:
            listener(watcher, topic, fields)

    def call_hook(
        self, watcher: Watcher, hook: str, given: Mapping[str, object], then: Callable[[bool], None]
    ) -> None:
        """Calls a hook of a watcher in the hook host; `then` gets its answer, later."""
        self.hook_host().call(watcher, hook, given, then)

    def adjust_limits(self, settings: WatcherSettings) -> None:
        """Sets limits anew for the processes of a watcher that run. Raises OSError."""
        self.factory.groups.adjust(settings)

    def hooks_set(self, watcher: Watcher) -> None:
        """A watcher has got other hooks: the host says which cannot be used."""
        if watcher.settings.hooks:
            self.hook_host().check([watcher])

    def hook_host(self) -> Hooks:
        """The hooks; they are made when the first one is to be called."""
        if self.hooks is None:
            from chaussette.arbiter.hooks.ask import Hooks  # subprocess, json: only with hooks

            self.hooks = Hooks(self)
        return self.hooks

    def watcher_failed(self, watcher: Watcher) -> None:
        """A watcher has been given up; ends the arbiter where it is critical."""
        if watcher.settings.critical and not self.stopping:
            log.critical(
                "%s cannot be kept running, and it is critical: the arbiter ends", watcher.name
            )
            self.stop(exit_code=max(watcher.exit_code, 0) or 3)

    # -- events -----------------------------------------------------------------

    def _exited(self, watcher: Watcher, process: Process) -> None:
        self._read_inbox()  # its last words come before its death
        ending = process.wait_nowait()
        if ending is not None:
            self.loop.forget(process.pidfd)
            watcher.fleet.feed(process, Event.EXITED, ending)

    def _read_inbox(self) -> None:
        for notice in self.inbox.read():
            watcher = self._by_pid.get(notice.pid)
            pid = notice.pid
            if watcher is None:
                pid = session_of(notice.pid)
                watcher = self._by_pid.get(pid)
            process = watcher.process(pid) if watcher is not None else None
            if watcher is not None and process is not None:
                self._heard(watcher, process, notice)

    def _heard(self, watcher: Watcher, process: Process, notice: Notice) -> None:
        if (text := notice.fields.get(notify.BOOT_ERROR)) is not None:
            self._log_boot_error(watcher, process, text)
        if notice.fields.get("READY") == "1":
            watcher.fleet.feed(process, Event.CAME_UP)
        if notice.fields.get("STOPPING") == "1":
            watcher.fleet.feed(process, Event.LEAVING)

    def _log_boot_error(self, watcher: Watcher, process: Process, text: str) -> None:
        """Once for each reason and generation, not once for each worker."""
        key = (watcher.name, process.generation, text)
        if key not in self._boot_errors:
            self._boot_errors.add(key)
            log.error("%s: process %d cannot start:\n%s", watcher.name, process.pid, text.rstrip())

    def _signal_handlers(self) -> dict[int, Callable[[int], None]]:
        handlers: dict[int, Callable[[int], None]] = {
            signal.SIGTERM: lambda _: self.stop(),
            signal.SIGINT: lambda _: self.stop(),
            signal.SIGQUIT: lambda _: self.kill(),
            signal.SIGHUP: lambda _: self.reload(),
            signal.SIGUSR1: lambda _: self.reopen_logs(),
            signal.SIGUSR2: lambda _: log.warning("SIGUSR2: an upgrade in place is not there yet"),
            signal.SIGWINCH: lambda _: None,
        }
        if os.getpid() == 1:
            handlers[signal.SIGCHLD] = lambda _: self._reap()
        return handlers

    def _reap(self) -> None:
        """As PID 1: our own through their watchers, strangers without a word."""
        while ended := reap_strangers(self._by_pid):
            watcher = self._by_pid[ended[0]]
            process = watcher.process(ended[0])
            assert process is not None
            self._exited(watcher, process)

    # -- starting, heartbeats ------------------------------------------------------

    def _in_order(self) -> list[Watcher]:
        return sorted(self.watchers.values(), key=lambda one: -one.settings.priority)

    def _start_watchers(self, watchers: list[Watcher]) -> None:
        """Starts them in order, with warmup_delay in between."""
        while watchers and not self.stopping:
            watcher = watchers.pop(0)
            if not watcher.settings.autostart:
                continue
            if watcher.settings.on_demand:
                self._start_on_demand(watcher)
                continue
            watcher.start()
            if watchers and self.config.arbiter.warmup_delay:
                self.loop.after(
                    self.config.arbiter.warmup_delay, lambda: self._start_watchers(watchers)
                )
                return

    def _start_on_demand(self, watcher: Watcher) -> None:
        """Starts it at the first connection to one of its own sockets."""
        # Copies, because two watchers may wait for one socket.
        fds = [os.dup(one.fd) for one in self.factory.awaited_by(watcher.settings)]
        self._awaited[watcher.name] = fds

        def connected() -> None:
            self._stop_awaiting(watcher.name)
            if not watcher.wish.running:
                log.info("%s: a connection has come; starting", watcher.name)
                watcher.start()

        for fd in fds:
            self.loop.watch(fd, connected)

    def _stop_awaiting(self, name: str) -> None:
        for fd in self._awaited.pop(name, []):
            self.loop.forget(fd)
            os.close(fd)

    def _watch_heartbeats(self, limit: float) -> None:
        """Keeps one timer while there is a worker whose heart can be heard."""
        when = self.loop.clock() + limit / 4
        if self._heartbeats is not None:
            if self._heartbeats.when <= when:
                return
            self._heartbeats.cancel()
        self._heartbeats = self.loop.at(when, self._check_heartbeats)

    def _check_heartbeats(self) -> None:
        self._heartbeats = None
        now = int(self.loop.clock() * 1e9)
        limits: list[float] = []
        for watcher in self.watchers.values():
            for process in watcher.processes():
                watcher.fleet.check_heartbeat(process, now)
                if process.slot is not None and process.settings.heartbeat_timeout:
                    limits.append(process.settings.heartbeat_timeout)
        if limits:
            self._watch_heartbeats(min(limits))
