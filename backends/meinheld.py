"""Meinheld: a WSGI server whose loop is picoev in C, stopped and drained from outside.

Meinheld takes SIGTERM and SIGINT for itself, and then cuts everything within a
second; once its loop runs they are given back to the worker. Its loop calls into
Python once per second, and that is when their handlers run. In between signals
are let in while the application runs and held back while Meinheld writes: it
takes an interrupted write for a lost client.

A write that would block makes Meinheld switch greenlets by the memory layout of
greenlet 0.4, which crashes or cuts the response with any greenlet that builds
today. So connections are made blocking before a response: no write would block.
"""

from __future__ import annotations

import logging
import math
import os
import resource
import signal
import socket
import wsgiref.util
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task
from chaussette.backends.cloop import LoopDrain
from chaussette.backends.counting import (
    Environ,
    Meter,
    StartResponse,
    WsgiApp,
    count_wsgi,
    mount_wsgi,
)
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.backends.repairs import allow_write, mute_head, name_server
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
REQUIREMENT = Requirement(
    "meinheld",
    "meinheld",
    "pip install 'chaussette[meinheld]', then pip install --no-deps meinheld "
    "(it pins a greenlet that does not build on Python 3.11; a current one works)",
)
HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


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
            "A header name with an underscore passes for the one with a dash.",
            "A client that reads a large response slowly holds the worker: put a proxy in front.",
            "REMOTE_ADDR is empty on IPv6 and unix sockets.",
        ),
    )

    def __init__(self, task: Task) -> None:
        self._server: Any = library("meinheld.server", REQUIREMENT.install)
        self._task = task
        self._drain = Drain(task.settings.graceful_timeout)
        self._meter = Meter(task, self.stop)
        self._listener = task.sockets[0]
        self._copy = self._listener.dup()  # the library closes what it is given
        self._ending = LoopDrain(self._drain, self._listener, self._meter.is_busy)
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

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        if self._drain.began:
            return
        defer = self._deferral()
        self._configure()
        # Run by the loop when it has begun and has taken signals and socket for itself.
        self._server.schedule_call(0, self._take_over, defer, ready)
        try:
            self._server.run(self._wrap(), 1)  # <- the backend's main loop, in C
        finally:
            _let_signals_in()
            self._give_signals_back()

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
        return _guard_writes(name_server(app, self._listener))

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
        _hold_signals_back()

    def _give_signals_back(self) -> None:
        for number, handler in self._handlers.items():
            if handler is not None:
                signal.signal(number, handler)

    def _watch(self) -> None:
        """Called by the loop once per second."""
        _let_signals_in()
        _hold_signals_back()
        self._meter.beat()
        if self._drain.began and self._ending.step():
            self._server.stop(0)


def _let_signals_in() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def _hold_signals_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)


def _guard_writes(app: WsgiApp) -> WsgiApp:
    """The application, with its connection and the signals prepared for Meinheld's writes."""

    def guarded(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        os.set_blocking(environ["meinheld.client"].get_fd(), True)
        # Its own one spins for ever on a file that is shorter than Content-Length.
        environ["wsgi.file_wrapper"] = wsgiref.util.FileWrapper
        _let_signals_in()
        try:
            result = app(environ, start_response)
        finally:
            _hold_signals_back()
        return result if isinstance(result, (list, tuple)) else _Parts(result)

    return guarded


class _Parts:
    """A response body that lets signals in while its next part is made.

    After an exception Meinheld calls close() with that exception still set,
    upon which the first thing that close() does fails; so it is called before.
    """

    def __init__(self, result: Iterable[bytes]) -> None:
        self._result = result
        self._parts: Iterator[bytes] | None = None
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        _let_signals_in()
        try:
            if self._parts is None:
                self._parts = iter(self._result)
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise
        finally:
            _hold_signals_back()

    def close(self) -> None:
        """See PEP 3333."""
        if self._is_closed:
            return
        self._is_closed = True
        close = getattr(self._result, "close", None)
        if close is not None:
            close()


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
