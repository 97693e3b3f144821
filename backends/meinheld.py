"""Meinheld: a WSGI server whose loop is picoev in C, stopped and drained from outside.

Meinheld takes SIGTERM and SIGINT for itself, and then cuts everything within a
second. Once its loop runs they are given back to the worker; a greenlet in the
loop waits for Python's wake-up descriptor, so that their handlers run at once.
"""

from __future__ import annotations

import logging
import math
import resource
import signal
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task
from chaussette.backends.cloop import LoopDrain
from chaussette.backends.counting import Meter, WsgiApp, count_wsgi, mount_wsgi
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.backends.repairs import allow_write, mute_head, name_server
from chaussette.backends.waker import Waker
from chaussette.errors import BackendUnavailable
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
REQUIREMENT = Requirement(
    "meinheld",
    "meinheld",
    "pip install 'chaussette[meinheld]', then pip install --no-deps meinheld "
    "(it pins a greenlet that does not build on Python 3.11; a current one works)",
)


class MeinheldBackend:
    """Serves WSGI from a C loop that calls the application itself: one request at a time."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.KEEPALIVE_TIMEOUT
        | Can.STREAMING,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "Meinheld serves WSGI only",
            Can.THREADS: "its loop calls the application itself",
            Can.MANY_SOCKETS: "it cannot tell the application which socket a request came by",
            Can.CHUNKED_REQUEST: "it answers 411 to bodies without Content-Length",
            Can.SPAWN_LIMIT: "its loop takes every connection",
            Can.TLS: "Meinheld speaks no TLS: put a proxy in front",
            Can.MONKEY_PATCH: "its patches of socket are older than Python 3.11",
        },
        notes=(
            "Its last release is of 2020; it does not build on Python 3.13.",
            "--keep-alive counts in whole seconds, and limits the wait for a first request, too.",
            "Request bodies above 16 MB are refused.",
            "REMOTE_ADDR is empty on IPv6 and unix sockets.",
        ),
    )

    def __init__(self, task: Task) -> None:
        self._server: Any = library("meinheld.server", REQUIREMENT.install)
        if not hasattr(self._server, "trampoline"):
            raise BackendUnavailable(f"meinheld was built without greenlet: {REQUIREMENT.install}")
        self._task = task
        self._drain = Drain(task.settings.graceful_timeout)
        self._meter = Meter(task, self.stop)
        self._listener = task.sockets[0]
        self._copy = self._listener.dup()  # the library closes what it is given
        self._ending = LoopDrain(self._drain, self._copy.fileno(), self._meter.is_busy)
        self._waker = Waker()
        self._handlers = {
            number: signal.getsignal(number)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE)
        }

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        if self._drain.begin():
            self._server.set_keepalive(0)  # responses say `Connection: close` from now on
            self._ending.begin()
        self._waker.wake()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        if self._drain.began:
            return
        defer = self._deferral()
        self._configure()
        # Run by the loop when it has begun and has taken signals and socket for itself.
        self._server.schedule_call(0, self._take_over, defer, ready)
        self._server.spawn(self._wait_for_signals)
        old = signal.set_wakeup_fd(self._waker.write_fileno(), warn_on_full_buffer=False)
        try:
            self._server.run(self._wrap(), 1)  # <- the backend's main loop, in C
        finally:
            signal.set_wakeup_fd(old)
            self._give_signals_back()
            self._waker.close()

    def _configure(self) -> None:
        server = self._server
        server.set_keepalive(math.ceil(self._task.settings.keepalive))
        server.set_picoev_max_fd(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        server.set_access_logger(None)
        server.set_error_logger(_Log())
        server.set_watchdog(self._watch)
        server.listen(socket_fd=[self._copy.detach()])

    def _wrap(self) -> WsgiApp:
        app = count_wsgi(self._task.app.callable, self._meter)
        app = mount_wsgi(app, self._task.settings.root_path)
        app = mute_head(allow_write(app), needs_length=True)
        return name_server(app, self._listener)

    def _deferral(self) -> int:
        if self._listener.family == socket.AF_UNIX:
            return 0
        return self._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)

    def _take_over(self, defer: int, ready: Callable[[], None]) -> None:
        """Undoes what Meinheld did to things that are not its own."""
        self._give_signals_back()
        if self._listener.family != socket.AF_UNIX:
            # It would hold for every worker of the socket, whatever its backend.
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, defer)
        ready()

    def _give_signals_back(self) -> None:
        for number, handler in self._handlers.items():
            if handler is not None:
                signal.signal(number, handler)

    def _wait_for_signals(self) -> None:
        """A greenlet in the loop; returning to Python is what runs signal handlers."""
        while not self._drain.began:
            self._server.trampoline(self._waker.fileno(), read=True)
            self._waker.clear()

    def _watch(self) -> None:
        """Called by the loop once per second."""
        self._meter.beat()
        if self._drain.began and self._ending.step():
            self._server.stop(0)


class _Log:
    """Meinheld's errors, into the worker's log."""

    def error(
        self,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Called with what the application raised."""
        LOGGER.error("the application failed", exc_info=(kind, error, trace))  # type: ignore[arg-type]
