"""Puts an arbiter together from a configuration, runs it, and takes it apart.

The order matters: sockets are bound before anything is started, and nothing is
started before everything that can be refused has been.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.checks import check_system
from chaussette.arbiter.logs import logging_as_before, set_up_logging
from chaussette.arbiter.loop import Loop
from chaussette.arbiter.pidfile import Pidfile
from chaussette.arbiter.runtime import RuntimeDir
from chaussette.arbiter.slice import shorten_slice
from chaussette.arbiter.sockets import ListeningSocket, SocketTable, sockets_from_systemd
from chaussette.arbiter.spawn import OpenFiles, seal_descriptors
from chaussette.arbiter.streams import StreamTable, Writer
from chaussette.notify import Notifier
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import declared
from chaussette.settings.load import StackConfig
from chaussette.version import __version__

log = logging.getLogger("chaussette.arbiter")
FLUSH_TIMEOUT = 5.0
FDS_PER_PROCESS = 4
_WITHOUT_EFFECT = {
    "multicast_endpoint": "discovery is not offered",
    "httpd": "the web console is not there yet",
    "httpd_close_outputs": "the web console is not there yet",
    "debug_gc": "use gc.set_debug from a debugger",
}


@dataclass(frozen=True)
class Surroundings:
    """What a stack has beside its configuration.

    `has_endpoint` is false for an embedded arbiter that nobody shall control;
    `announce` is called once with the arbiter before anything starts; `passed`
    are sockets that are bound already, by the name of the `[socket:NAME]`.
    `is_guest` is true inside of somebody else's program, whose signals,
    descriptors, limits, umask and logging are its own; `has_signals` and
    `has_logging` say that it wants the arbiter's.
    """

    has_endpoint: bool = True
    announce: Callable[[Arbiter], None] | None = None
    passed: Mapping[str, socket.socket] = field(default_factory=dict)
    is_guest: bool = False
    has_signals: bool = True
    has_logging: bool = True


def run_stack(config: StackConfig, surroundings: Surroundings | None = None) -> int:
    """Runs the stack until it is stopped; returns the exit code.

    Raises ChaussetteError when it cannot be started; nothing is left behind.
    """
    surroundings = surroundings or Surroundings()
    check_system(config)
    is_host = not surroundings.is_guest
    with contextlib.ExitStack() as stack:
        table = SocketTable()
        passed = dict(surroundings.passed)
        if is_host:
            seal_descriptors()
            passed = {**sockets_from_systemd(os.environ, os.getpid()), **passed}
            table.reserve(len(config.sockets) + len(passed))
        streams = StreamTable(Writer())
        stack.callback(streams.close, FLUSH_TIMEOUT)
        if config.arbiter.umask is not None:
            stack.callback(os.umask, os.umask(config.arbiter.umask))
        if surroundings.has_logging:
            stack.enter_context(logging_as_before())
            set_up_logging(config.arbiter, streams)
        stack.callback(table.close)
        table.open(config.sockets, passed)
        if (path := config.arbiter.pidfile) is not None and not Pidfile.is_held_here(path):
            stack.callback(Pidfile(path).close)
        if is_host:
            OpenFiles.make_room(_fds_needed(config))
            shorten_slice()
        arbiter = Arbiter(config, table, streams, Loop())
        arbiter.factory.groups.may_move = is_host
        arbiter.factory.groups.prepare(config.watchers)
        if surroundings.has_endpoint:
            _open_endpoint(arbiter, stack)
        _say_start(config, table)
        if surroundings.announce is not None:
            surroundings.announce(arbiter)
        return _run(arbiter, surroundings)


def _run(arbiter: Arbiter, surroundings: Surroundings) -> int:
    notifier = Notifier({} if surroundings.is_guest else None)
    _announce_when_up(arbiter, notifier)
    try:
        return arbiter.run(with_signals=surroundings.has_signals)
    finally:
        notifier.stopping()
        log.info("stopped")


def _announce_when_up(arbiter: Arbiter, notifier: Notifier) -> None:
    """Says READY=1 once each watcher has a process that serves, or has been given up.

    Whoever started us (systemd, an outer arbiter) then starts what depends on us.
    """
    waited_for = {
        watcher.name
        for watcher in arbiter.config.watchers
        if watcher.autostart and not watcher.on_demand and watcher.numprocesses
    }

    def heard(watcher: str, event: str, _: Mapping[str, object]) -> None:
        if watcher in waited_for and event in ("ready", "parked", "stop"):
            waited_for.discard(watcher)
            if not waited_for:
                notifier.ready(f"{len(arbiter.watchers)} watchers")

    arbiter.listeners.append(heard)
    if not waited_for:
        notifier.ready("nothing to start")


def _open_endpoint(arbiter: Arbiter, stack: contextlib.ExitStack) -> None:
    from chaussette.arbiter.access import open_doors, renewer  # an embedded one needs no zmq
    from chaussette.arbiter.endpoint import Endpoint
    from chaussette.arbiter.followers import Followers
    from chaussette.arbiter.publisher import Publisher
    from chaussette.arbiter.steward import Steward

    settings = arbiter.config.arbiter
    runtime = RuntimeDir(settings.runtime_dir)
    stack.callback(runtime.close)
    with contextlib.ExitStack() as opened:
        doors = open_doors(settings, runtime, arbiter)
        opened.callback(doors.close)
        address = settings.endpoint or runtime.endpoint("control.sock")
        steward = Steward(arbiter)
        endpoint = Endpoint(address, arbiter.loop, steward, doors)
        opened.callback(endpoint.close)
        output = settings.output_endpoint or runtime.endpoint("output.sock")
        steward.output = followers = Followers(output, doors, arbiter.loop, arbiter.factory.tail)
        publisher = Publisher(settings.pubsub_endpoint or runtime.endpoint("events.sock"), doors)
        opened.pop_all()
    steward.keys_changed = renewer(doors, publisher, followers, arbiter.loop)
    statspoint = settings.stats_endpoint or runtime.endpoint("stats.sock")
    arbiter.endpoints = {
        "endpoint": address,
        "pubsub_endpoint": publisher.address,
        "stats_endpoint": statspoint,
    }
    arbiter.listeners.append(publisher.publish)
    arbiter.factory.variables.update(
        keys_dir=settings.keys_dir or "",
        endpoint=address,
        pubsub_endpoint=publisher.address,
        stats_endpoint=statspoint,
        check_delay=f"{settings.check_delay:g}",
        loglevel="debug" if settings.debug else settings.loglevel,
    )
    arbiter.closers += [followers.close, publisher.close, endpoint.close, doors.close]
    log.info("control endpoint at %s, events at %s", address, publisher.address)


def without_effect(config: StackConfig) -> list[str]:
    """One line for each thing that is configured, and that this version does not do."""
    lines = [
        f"[circus] {name} has no effect in version {__version__}: {why}"
        for name, why in _WITHOUT_EFFECT.items()
        if getattr(config.arbiter, name) != declared(ArbiterSettings)[name][1]
    ]
    return lines


def _say_start(config: StackConfig, table: SocketTable) -> None:
    log.info("circusd %s, pid %d", __version__, os.getpid())
    for line in (*config.warnings, *without_effect(config)):
        log.warning("%s", line)
    for one in table.all():
        log.info("socket %s at %s (fd %d)", one.name, _as_url(one), one.fd)


def _as_url(one: ListeningSocket) -> str:
    location = one.location()
    return location if location.startswith("unix:") else f"http://{location}"


def _fds_needed(config: StackConfig) -> int:
    processes = sum(max(one.numprocesses, one.max_processes) for one in config.watchers)
    # Twice: during a reload, both generations are there.
    return 64 + len(config.sockets) + 2 * FDS_PER_PROCESS * processes
