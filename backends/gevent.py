"""gevent's WSGI server on sockets that are bound already, one greenlet per connection.

gevent's own stop() cuts connections; here an idle one is told apart from a busy
one, so that only those without a request are closed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
import wsgiref.util
from collections.abc import Callable
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task, heartbeat_period
from chaussette.backends.counting import Meter, count_wsgi, mount_wsgi
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
REQUIREMENT = Requirement("gevent", "gevent", "pip install 'chaussette[gevent]'")
FIRST_REQUEST_TIMEOUT = 120.0
LOOK_INTERVAL = 0.25
"""Seconds between two looks at idle connections while there are any."""


class GeventBackend:
    """Serves WSGI with greenlets: thousands of requests that wait cost little."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.MANY_SOCKETS
        | Can.TLS
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.KEEPALIVE_TIMEOUT
        | Can.CHUNKED_REQUEST
        | Can.STREAMING
        | Can.SPAWN_LIMIT
        | Can.MONKEY_PATCH,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "gevent serves WSGI only",
            Can.THREADS: "requests run in greenlets of one thread: use --spawn",
        },
        notes=("--spawn limits connections.",),
    )

    def __init__(self, task: Task) -> None:
        self._task = task
        self._settings = task.settings
        self._drain = Drain(task.settings.graceful_timeout)
        self._meter = Meter(task, self.stop)
        self._gevent = library("gevent", REQUIREMENT.install)
        self._pool = library("gevent.pool", REQUIREMENT.install).Pool(task.settings.spawn)
        self._idle: dict[Any, float] = {}
        self._wake = library("gevent.event", REQUIREMENT.install).Event()
        # Signal handlers may run inside the hub, where waking a greenlet is not
        # allowed; a watcher of this kind may be fired from anywhere.
        self._knock = self._gevent.get_hub().loop.async_()
        self._knock.start(self._wake.set)
        self._servers = self._create()

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Patches the standard library, unless told not to."""
        if not settings.no_monkey:
            library("gevent.monkey", REQUIREMENT.install).patch_all()

    def stop(self) -> None:
        """See the contract."""
        self._drain.begin()
        self._knock.send()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        for server in self._servers:
            server.start()
        ready()
        while not self._drain.began:
            self._turn(heartbeat_period(self._settings) / 2)
        for server in self._servers:
            server.close()  # the copy of the socket only; what runs goes on
        while len(self._pool) and not self._drain.is_over():
            self._turn(0.1)
        self._pool.kill(timeout=0.5)
        self._knock.stop()
        self._knock.close()

    def _turn(self, seconds: float) -> None:
        self._meter.beat()
        self._close_idle()
        self._wake.wait(min(seconds, LOOK_INTERVAL) if self._idle else seconds)
        self._wake.clear()

    def _close_idle(self) -> None:
        now = time.monotonic()
        grace_is_over = self._drain.began and self._drain.idle_is_over()
        for handler, until in list(self._idle.items()):
            if grace_is_over or now > until:
                # The handler reads what came before this, and then the end.
                with contextlib.suppress(OSError):
                    handler.socket.shutdown(socket.SHUT_RD)

    def wait_for_request(self, handler: Any, is_fresh: bool) -> None:
        """A connection waits for a request from now on."""
        patience = FIRST_REQUEST_TIMEOUT if is_fresh else self._settings.keepalive
        self._idle[handler] = time.monotonic() + patience
        if len(self._idle) == 1:
            self._wake.set()  # the loop slept because nothing was idle

    def has_request(self, handler: Any) -> None:
        """A request has come on a connection, or its end."""
        self._idle.pop(handler, None)

    def is_leaving(self) -> bool:
        """Whether a response is to say that its connection ends."""
        return self._drain.began or not self._settings.keepalive

    def _create(self) -> list[Any]:
        pywsgi = library("gevent.pywsgi", REQUIREMENT.install)
        app = mount_wsgi(count_wsgi(self._task.app.callable, self._meter), self._settings.root_path)
        arguments: dict[str, Any] = {}
        if self._settings.certfile:
            arguments["ssl_context"] = self._tls_context()
        return [
            pywsgi.WSGIServer(
                self._copy(listener),
                app,
                spawn=self._pool,
                log=None,
                error_log=LOGGER,
                handler_class=_handler_class(self, pywsgi.WSGIHandler),
                # multiprocess makes it accept one connection per wake-up, too.
                environ={
                    "wsgi.multiprocess": True,
                    "wsgi.errors": sys.stderr,
                    "wsgi.file_wrapper": wsgiref.util.FileWrapper,
                },
                **arguments,
            )
            for listener in self._task.sockets
        ]

    def _tls_context(self) -> Any:
        from chaussette.backends.tls import server_context  # after patching: it imports ssl

        green = library("gevent.ssl", REQUIREMENT.install)
        return server_context(self._settings, kind=green.SSLContext)

    @staticmethod
    def _copy(listener: socket.socket) -> Any:
        """A green copy: the library closes it, and ours stays open."""
        green = library("gevent.socket", REQUIREMENT.install)
        fd = os.dup(listener.fileno())
        return green.socket(listener.family, listener.type, listener.proto, fileno=fd)


def _handler_class(backend: GeventBackend, base: Any) -> Any:
    """gevent's handler of one connection, with its gaps filled."""

    class Handler(base):  # type: ignore[misc]
        is_fresh = True

        def __init__(self, connection: Any, address: Any, server: Any) -> None:
            if isinstance(address, tuple):
                # Head and body leave in two writes, which Nagle would keep 40 ms apart.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().__init__(connection, address, server)

        def read_requestline(self) -> str:
            backend.wait_for_request(self, self.is_fresh)
            try:
                line: str = super().read_requestline()
            finally:
                backend.has_request(self)
            self.is_fresh = False
            return line

        def finalize_headers(self) -> None:
            super().finalize_headers()
            if self.command == "HEAD":
                self.response_use_chunked = False
            if backend.is_leaving():
                self.close_connection = True
                headers: list[tuple[bytes, bytes]] = self.response_headers
                headers[:] = [each for each in headers if each[0].lower() != b"connection"]
                headers.append((b"Connection", b"close"))

        def _write(self, data: bytes) -> None:
            if self.command != "HEAD":
                super()._write(data)

    return Handler
