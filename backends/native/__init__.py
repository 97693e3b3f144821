"""Our own HTTP/1.1 server, in C around the application: see docs/native.md.

This package is the contract's side: it turns settings into numbers, and runs the
threads. What is on the wire is in the extension `_core`, whose parts are one file
per concern; the header core.h tells how they fit together.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from chaussette import workerlog
from chaussette.application import Interface
from chaussette.backends.base import Can, Declaration, Reopens, Requirement, Task
from chaussette.backends.counting import mount_asgi, mount_wsgi
from chaussette.backends.library import library
from chaussette.backends.native.options import options_of
from chaussette.backends.native.template import template_of
from chaussette.backends.native.wsgi import WsgiServer
from chaussette.errors import ConfigError
from chaussette.settings.server import ServerSettings

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any, Protocol
else:
    Protocol = object

CORE = "chaussette.backends.native._core"
REQUIREMENT = Requirement(
    CORE,
    "chaussette",
    "it is built with the package where a C compiler and Python's headers are: "
    "apt-get install gcc python3-dev, then pip install --force-reinstall --no-deps chaussette",
)


class Driver(Protocol):
    """How one interface runs on the core."""

    def serve(self, ready: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...


class NativeBackend(Reopens):
    """Serves WSGI and ASGI from an event loop in C that calls the application itself."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.ASGI
        | Can.LIFESPAN
        | Can.WEBSOCKET
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.MANY_SOCKETS
        | Can.THREADS
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.KEEPALIVE_TIMEOUT
        | Can.CHUNKED_REQUEST
        | Can.STREAMING
        | Can.SPAWN_LIMIT
        | Can.ACCESS_LOG
        | Can.PROXY_HEADERS
        | Can.PROXY_PROTOCOL
        | Can.LIMITS
        | Can.BODY_LIMIT
        | Can.WEBSOCKET_LIMITS,
        requirement=REQUIREMENT,
        limits={
            Can.THREADS: "an ASGI application runs on one event loop: use --workers",
            Can.TLS: "it speaks no TLS: put a proxy in front",
            Can.MONKEY_PATCH: "its loop is C: nothing of it can be patched",
        },
        only_for={
            Can.THREADS: Interface.WSGI,
            Can.LIFESPAN: Interface.ASGI,
            Can.WEBSOCKET: Interface.ASGI,
            Can.WEBSOCKET_LIMITS: Interface.ASGI,
        },
        notes=(
            "--spawn limits connections: requests are limited by --threads already.",
            "A body is read before the application is called, and a response that its client "
            "reads slowly is kept for it: neither holds a thread.",
        ),
    )

    def __init__(self, task: Task) -> None:
        self._core: Any = library(CORE, REQUIREMENT.install)
        self._task = task
        self._server: Any = None
        if task.app.interface is Interface.ASGI:
            from chaussette.backends.native.asgi import AsgiServer  # asyncio is 5 MB

            self._driver: Driver = AsgiServer(task, self._make)
        else:
            self._driver = WsgiServer(self._make({}), task.settings.threads)

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        self._driver.stop()

    def reopen(self) -> None:
        """See the contract."""
        path = self._task.settings.accesslog
        if path in (None, "-") or self._server is None:
            return
        try:
            self._server.reopen_log(path)
        except OSError as error:
            raise ConfigError(f"cannot open the access log {path!r}: {error.strerror}") from None

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        self._driver.serve(ready)

    def _make(self, more: dict[str, Any]) -> Any:
        """The core's server; `more` are the options of one driver."""
        task, settings = self._task, self._task.settings
        is_wsgi = task.app.interface is Interface.WSGI
        mount = mount_wsgi if is_wsgi else mount_asgi
        options = {**options_of(settings), "shared": task.shared, **more}
        try:
            self._server = self._core.Server(
                app=mount(task.app.callable, settings.root_path),
                on_error=_tell,
                listeners=[self._prepare(each) for each in task.sockets],
                options=options,
                slot=task.slot.words,
                lanes=settings.threads if is_wsgi else 1,
            )
        except ValueError as error:  # a list or a format that the core compiles
            raise ConfigError(str(error)) from None
        finally:
            if settings.accesslog not in (None, "-"):  # the core has its own
                os.close(options["log_fd"])
        return self._server

    def _prepare(self, listener: socket.socket) -> tuple[int, bool, dict[str, Any]]:
        """What the core is told of a listening socket."""
        listener.setblocking(False)
        is_unix = listener.family == socket.AF_UNIX
        if not is_unix:
            # Inherited by each connection; without it an answer in two parts waits 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener.fileno(), is_unix, self._template(listener)

    def _template(self, listener: socket.socket) -> dict[str, Any]:
        if self._task.app.interface is Interface.WSGI:
            return template_of(listener, self._task.settings, self._core.FileWrapper)
        from chaussette.backends.native.asgi import scope_of  # it is there already

        return scope_of(listener)


def _tell(error: BaseException, request: dict[str, Any] | None) -> None:
    """Called with what the application raised, and its environ or scope."""
    workerlog.LOGGER.error("the application failed%s", _where(request or {}), exc_info=error)


def _where(request: dict[str, Any]) -> str:
    method = request.get("REQUEST_METHOD") or request.get("method")
    path = request.get("RAW_URI") or request.get("path")
    return f" at {method} {path!r}" if path else ""
