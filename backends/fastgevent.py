"""gevent's greenlets on the native core: see docs/native.md.

The core's connections are watched by gevent's hub; requests run in greenlets, so
that thousands of them may wait at a time, and what they wait for is whatever
gevent knows to wait for: monkey-patched sockets, locks, sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task, heartbeat_period
from chaussette.backends.library import library
from chaussette.backends.native import CORE, NativeBackend
from chaussette.backends.native import REQUIREMENT as CORE_REQUIREMENT
from chaussette.backends.native.options import most_connections
from chaussette.settings.server import ServerSettings

REQUIREMENT = Requirement("gevent", "gevent", "pip install 'chaussette[gevent]'")
OUT_MEMORY = 256 * 1024
"""Bytes of one response that wait for a slow client before its greenlet does."""
LAST_WORDS = 0.5
"""Seconds that requests have to end once they are killed."""
LOOK_INTERVAL = 0.01


class FastgeventBackend(NativeBackend):
    """Serves WSGI with greenlets, from the event loop in C: requests that wait cost little."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.MANY_SOCKETS
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.KEEPALIVE_TIMEOUT
        | Can.CHUNKED_REQUEST
        | Can.STREAMING
        | Can.SPAWN_LIMIT
        | Can.GREENLET
        | Can.MONKEY_PATCH
        | Can.ACCESS_LOG
        | Can.PROXY_HEADERS
        | Can.PROXY_PROTOCOL
        | Can.LIMITS
        | Can.BODY_LIMIT,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "gevent serves WSGI only",
            Can.THREADS: "requests run in greenlets of one thread: use --spawn",
            Can.TLS: "it speaks no TLS: put a proxy in front",
        },
        notes=(
            "--spawn limits requests that are under way; others wait, and at the limit no "
            "connection is accepted.",
            "--greenlet batch: requests share greenlets for as long as they leave no trace in "
            "them; gevent.getcurrent() is a plain greenlet. --greenlet spawn: a gevent.Greenlet "
            "for each request, at about 2 µs more.",
            "A body is read before the application is called; a response that its client reads "
            "slowly holds its greenlet, and nobody else.",
        ),
    )

    def __init__(self, task: Task) -> None:
        self._core: Any = library(CORE, CORE_REQUIREMENT.install)
        self._task = task
        self._gevent = library("gevent", REQUIREMENT.install)
        self._hub = self._gevent.get_hub()
        self._finished = library("gevent.event", REQUIREMENT.install).Event()
        self._server = self._make(self._options())

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Patches the standard library, unless told not to."""
        if not settings.no_monkey:
            library("gevent.monkey", REQUIREMENT.install).patch_all()

    def stop(self) -> None:
        """See the contract."""
        self._server.stop()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        period = heartbeat_period(self._task.settings)
        events = self._hub.loop.io(self._server.fileno(), 1)
        beats = self._hub.loop.timer(period, period)
        self._server.open()
        # Visits are for the hub alone: requests that wait come back to it.
        events.start(self._server.visit)  # <- the backend's main loop: greenlets.c
        beats.start(self._server.visit)
        self._hub.loop.run_callback(self._server.visit)
        ready()
        self._finished.wait()
        all_ended = self._end_requests()
        for watcher in (events, beats):
            watcher.stop()
            watcher.close()
        if all_ended:
            self._server.close()

    def _end_requests(self) -> bool:
        """Kills what is left when the graceful timeout is over; whether all of it has ended."""
        for each in self._server.greenlets():
            self._gevent.kill(each)
        end = time.monotonic() + LAST_WORDS
        while self._server.greenlets() and time.monotonic() < end:
            self._gevent.sleep(LOOK_INTERVAL)
        return not self._server.greenlets()

    def _options(self) -> dict[str, Any]:
        greenlet = library("greenlet", REQUIREMENT.install)
        settings = self._task.settings
        return {
            "hub": self._hub,
            "getcurrent": greenlet.getcurrent,
            "greenlet": greenlet.greenlet,
            "strict": self._gevent.Greenlet if settings.greenlet == "spawn" else None,
            "greenlets": settings.spawn or 0,
            "connections": most_connections(),
            "out_memory": OUT_MEMORY,
            "on_finished": self._finished.set,
        }

    def _template(self, listener: Any) -> dict[str, Any]:
        # PEP 3333: another request may be called before this one has returned.
        return {**super()._template(listener), "wsgi.multithread": True}
