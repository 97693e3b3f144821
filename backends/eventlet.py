"""eventlet's WSGI protocol on our own accepting and drain, one green thread per connection.

eventlet's own loop closes idle connections the moment it stops.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import wsgiref.util
from collections.abc import Callable
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task, heartbeat_period
from chaussette.backends.counting import Meter, count_wsgi, mount_wsgi
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.backends.repairs import mute_head
from chaussette.backends.waker import Waker
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
REQUIREMENT = Requirement("eventlet", "eventlet", "pip install 'chaussette[eventlet]'")
DEFAULT_CONNECTIONS = 1000


class EventletBackend:
    """Serves WSGI with green threads."""

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
        | Can.MONKEY_PATCH,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "eventlet serves WSGI only",
            Can.THREADS: "requests run in green threads of one thread: use --spawn",
            Can.TLS: "eventlet is in maintenance and its green TLS trails Python's: use a proxy",
        },
        notes=(
            "--spawn limits connections.",
            "--keep-alive limits the wait for a connection's first request, too.",
            "eventlet's maintainers discourage new uses of it.",
        ),
    )

    def __init__(self, task: Task) -> None:
        self._task = task
        self._settings = task.settings
        self._drain = Drain(task.settings.graceful_timeout)
        self._meter = Meter(task, self.stop)
        self._eventlet = library("eventlet", REQUIREMENT.install)
        self._wsgi = library("eventlet.wsgi", REQUIREMENT.install)
        self._hubs = library("eventlet.hubs", REQUIREMENT.install)
        self._pool = self._eventlet.GreenPool(task.settings.spawn or DEFAULT_CONNECTIONS)
        self._connections: list[list[Any]] = []
        self._waker = Waker()
        self._servers = [self._create(listener) for listener in task.sockets]

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Patches the standard library, unless told not to."""
        if not settings.no_monkey:
            library("eventlet", REQUIREMENT.install).monkey_patch()

    def stop(self) -> None:
        """See the contract."""
        self._drain.begin()
        for server in self._servers:
            server.keepalive = False  # what it answers from now on says `Connection: close`
        self._waker.wake()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        acceptors = [self._eventlet.spawn(self._accept, server) for server in self._servers]
        ready()
        while not self._drain.began:
            self._turn(heartbeat_period(self._settings) / 2)
        for acceptor in acceptors:
            acceptor.kill()
        while self._connections and not self._drain.is_over():
            if self._drain.idle_is_over():
                self._close_idle()
            self._turn(0.1)
        self._close()

    def _turn(self, seconds: float) -> None:
        self._meter.beat()
        with contextlib.suppress(TimeoutError):
            self._hubs.trampoline(
                self._waker.fileno(), read=True, timeout=seconds, timeout_exc=TimeoutError
            )
        self._waker.clear()

    def _accept(self, server: Any) -> None:
        """Takes connections, one per wake-up, while there is room for them."""
        while True:
            self._pool.sem.acquire()  # a place first: who cannot be served stays in the queue
            self._pool.sem.release()
            self._hubs.trampoline(server.socket.fileno(), read=True)
            try:
                accepted, address = server.socket.fd.accept()
            except OSError:
                continue  # another worker was faster, or the client left
            self._pool.spawn_n(self._serve, server, accepted, address)

    def _serve(self, server: Any, accepted: socket.socket, address: Any) -> None:
        if server.socket.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        green = library("eventlet.greenio", REQUIREMENT.install)
        connection = [address, green.GreenSocket(accepted), self._wsgi.STATE_IDLE]
        self._connections.append(connection)
        try:
            server.process_request(connection)
        except OSError as error:
            LOGGER.debug("connection lost: %s", error)
        except Exception:  # the wall around library and application: into the log
            LOGGER.exception("a connection failed")
        finally:
            self._connections.remove(connection)
            connection[1].close()
            if self._drain.began:
                self._waker.wake()

    def _create(self, listener: socket.socket) -> Any:
        green = library("eventlet.greenio", REQUIREMENT.install)
        fd = os.dup(listener.fileno())
        copy = socket.socket(listener.family, listener.type, listener.proto, fileno=fd)
        app = count_wsgi(self._task.app.callable, self._meter)
        app = mute_head(mount_wsgi(app, self._settings.root_path), needs_length=False)
        return self._wsgi.Server(
            green.GreenSocket(copy),
            listener.getsockname(),
            app,
            log=_Log(),
            environ={
                "wsgi.multiprocess": True,
                "wsgi.multithread": False,
                "wsgi.file_wrapper": wsgiref.util.FileWrapper,
            },
            protocol=_protocol_class(self._wsgi.HttpProtocol),
            minimum_chunk_size=1,  # else it holds small blocks back, which PEP 3333 forbids
            keepalive=self._settings.keepalive or False,
            log_format="",
            debug=False,  # else tracebacks go to the client
        )

    def _close_idle(self) -> None:
        for _, connection, state in self._connections:
            if state == self._wsgi.STATE_IDLE:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)

    def _close(self) -> None:
        for _, connection, _ in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for server in self._servers:
            server.socket.close()
        self._waker.close()


class _Log:
    """What eventlet tells: tracebacks as information, and a line per request that is empty here."""

    def info(self, message: str) -> None:
        """Passes on what is worth it."""
        if message.startswith("Traceback"):
            LOGGER.error("the application failed\n%s", message.rstrip())

    def debug(self, message: str, *args: object) -> None:
        """Passes on."""
        LOGGER.debug(message, *args)

    error = debug


def _protocol_class(base: Any) -> Any:
    """eventlet's handler of one connection, with its gaps filled."""

    class Protocol(base):  # type: ignore[misc]
        def get_environ(self) -> dict[str, Any]:
            environ: dict[str, Any] = super().get_environ()
            environ["SERVER_PROTOCOL"] = self.request_version
            environ.setdefault("QUERY_STRING", "")
            environ["wsgi.errors"] = sys.stderr
            del environ["headers_raw"]  # no string, which PEP 3333 forbids
            if self.headers.get("content-type") is None:
                del environ["CONTENT_TYPE"]
            if not isinstance(self.client_address, tuple):
                environ["REMOTE_ADDR"] = environ["REMOTE_PORT"] = ""
            return environ

        def finish(self) -> None:
            try:
                super().finish()
            except OSError:
                self.connection.close()

    return Protocol
