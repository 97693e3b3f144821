"""The loop of circusd-stats: one blocking call, for events, subscribers, signals and the time.

While nobody subscribes, nothing is looked at.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import zmq

from chaussette.control.doors import Doors
from chaussette.errors import ControlError, SocketError
from chaussette.stats.link import Events, Link, Traits
from chaussette.stats.publisher import StatsPublisher
from chaussette.stats.sampler import DETAILS, Sampler

log = logging.getLogger("chaussette.stats")
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
RETRY = 5.0
"""Seconds until an arbiter that did not answer is asked again."""
SOCKETS = 10.0
"""Seconds between two questions for the sockets: no event tells of a new one."""
RENEWAL = 0.05
"""Seconds until an address that is still being let go of is bound again."""
LISTING = 300.0
"""Seconds between two questions for everything, in case that an event was lost."""


class Places(NamedTuple):
    """Where the arbiter is controlled, where it publishes events, and where we publish.

    `keys_dir` has the keys of who may read at a tcp:// statspoint, `owner_uid` is
    who gets the file of an ipc:// one.
    """

    endpoint: str
    pubsub: str
    statspoint: str
    keys_dir: str | None = None
    owner_uid: int | None = None


class StatsLoop:
    """Publishes the statistics of one arbiter until a signal comes.

    Raises SocketError when it cannot publish, ConfigError for keys that cannot be
    read. An arbiter that is not there, or goes, is waited for.
    """

    def __init__(self, places: Places, interval: float = 1.0, details: int = DETAILS) -> None:
        self._interval = interval
        self._doors = Doors(zmq.Context(), places.keys_dir, places.owner_uid)
        self._publisher = StatsPublisher(self._doors, places.statspoint)
        self._events = Events(self._doors.context, places.pubsub)
        self._link = Link(places.endpoint)
        self._sampler = Sampler(details)
        self._traits: dict[str, Traits] = {}
        self._stopping = False
        self._next_sample = 0.0
        # Everything is asked for when the arbiter is there.
        self._next_listing = math.inf
        self._next_sockets = 0.0
        self._next_renewal = math.inf
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller = zmq.Poller()
        for what in (
            self._events.socket,
            self._events.arrivals,
            self._publisher.socket,
            self._wake_in,
        ):
            self._poller.register(what, zmq.POLLIN)
        if self._doors.guard is not None:
            self._poller.register(self._doors.guard.socket, zmq.POLLIN)

    def run(self, ready: Callable[[], object]) -> None:
        """Runs until SIGTERM, SIGINT or SIGQUIT; calls `ready` once it publishes."""
        before = {number: signal.signal(number, self._signalled) for number in ENDING}
        try:
            ready()
            while not self._stopping:
                self._poller.poll(self._wait_ms())  # <- the main loop
                self._look()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            self._close()

    def _look(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_in, 4096)
        if self._doors.guard is not None:
            self._doors.guard.answer()
        for topic, message in self._events.read():
            self._heard(topic, message)
        now = time.monotonic()
        if now >= self._next_renewal:
            self._turn_out()
        was_wanted = self._publisher.is_wanted
        self._publisher.read()
        if self._publisher.is_wanted and not was_wanted:
            self._next_sample = now
        if self._events.has_arrived() or now >= self._next_listing:
            self._list()
        if self._publisher.is_wanted and now >= self._next_sample:
            # Samples that were missed are one sample.
            self._next_sample = max(self._next_sample + self._interval, now)
            self._publish()

    def _heard(self, topic: str, message: Any) -> None:
        self._sampler.roster.hear(topic, message)
        if topic.rpartition(".")[2] in ("updated", "remove", "add", "reload"):
            self._traits.clear()

    def _publish(self) -> None:
        now = time.monotonic()
        if now >= self._next_sockets:
            self._next_sockets = now + SOCKETS
            self._ask(self._list_sockets)
            self._turn_out()
        self._publisher.publish(self._sampler.sample(time.monotonic_ns(), self._traits_of))

    def _turn_out(self) -> None:
        """Whose key has been revoked hears no more; libzmq cannot end a single connection."""
        guard = self._doors.guard
        if guard is not None and guard.forget_revoked():
            log.info("a key has been revoked: subscribers have to connect again")
            self._poller.unregister(self._publisher.socket)
            self._publisher.close()
        if self._publisher.socket.closed:
            try:
                self._publisher.renew()
            except SocketError as error:
                log.debug("%s", error)
                self._next_renewal = time.monotonic() + RENEWAL
            else:
                self._next_renewal = math.inf
                self._poller.register(self._publisher.socket, zmq.POLLIN)

    # -- what is asked of the arbiter ------------------------------------------------

    def _list(self) -> None:
        self._next_listing = time.monotonic() + RETRY
        self._ask(self._list_all)

    def _list_all(self) -> None:
        listing = self._link.listing()
        self._next_listing = time.monotonic() + LISTING
        self._sampler.roster.replace(listing.pids)
        self._sampler.circus = listing.circus
        self._sampler.workers.open(listing.board)
        self._traits.clear()
        self._next_sockets = 0.0
        log.debug("%d watchers", len(listing.pids))

    def _list_sockets(self) -> None:
        sockets = self._link.sockets()
        if sockets != self._sampler.sockets:
            self._sampler.sockets = sockets
            self._traits.clear()

    def _traits_of(self, watcher: str) -> Traits:
        if watcher not in self._traits:
            self._traits[watcher] = Traits()
            self._ask(lambda: self._ask_traits(watcher))
        return self._traits[watcher]

    def _ask_traits(self, watcher: str) -> None:
        self._traits[watcher] = self._link.traits(watcher, self._sampler.sockets)

    def _ask(self, question: Callable[[], None]) -> None:
        try:
            question()
        except ControlError as error:
            if not self._stopping:
                log.warning("%s", error)

    # -- details -------------------------------------------------------------------

    def _wait_ms(self) -> int | None:
        until = min(self._next_listing, self._next_renewal)
        if self._publisher.is_wanted:
            until = min(until, self._next_sample)
        if until == math.inf:
            return None
        # Rounded up: waking before the deadline would mean waking twice.
        return max(0, int((until - time.monotonic()) * 1000) + 1)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"\0")

    def _close(self) -> None:
        self._sampler.close()
        self._link.close()
        self._events.close()
        self._publisher.close()
        self._doors.close()
        os.close(self._wake_in)
        os.close(self._wake_out)
