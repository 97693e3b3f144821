"""Hypercorn's protocols (HTTP/1, HTTP/2, WebSocket) on our own accepting and drain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from chaussette import workerlog
from chaussette.backends.aio import AsyncioBackend, Connection
from chaussette.backends.base import Can, Declaration, Requirement, Task
from chaussette.backends.counting import AsgiApp, Receive, Send, count_asgi, mount_asgi
from chaussette.backends.library import library
from chaussette.errors import AppLoadError

REQUIREMENT = Requirement("hypercorn", "hypercorn", "pip install 'chaussette[hypercorn]'")


class HypercornBackend(AsyncioBackend):
    """Serves ASGI, with HTTP/2."""

    alpn = ("h2", "http/1.1")
    declaration = Declaration(
        can=Can.ASGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.MANY_SOCKETS
        | Can.TLS
        | Can.WEBSOCKET
        | Can.LIFESPAN
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.KEEPALIVE_TIMEOUT
        | Can.CHUNKED_REQUEST
        | Can.STREAMING
        | Can.SPAWN_LIMIT,
        requirement=REQUIREMENT,
        limits={
            Can.WSGI: "Hypercorn runs WSGI in threads that it does not limit",
            Can.THREADS: "an ASGI application runs in the one thread of its event loop",
        },
        notes=(
            "--spawn limits connections.",
            "--keep-alive limits the wait for a connection's first request, too.",
            "A WebSocket that its client closes is told to the application as 1006, not 1000.",
        ),
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._server = library("hypercorn.asyncio.tcp_server", REQUIREMENT.install)
        self._config = self._configure()
        counted = count_asgi(task.app.callable, self.meter, self.is_leaving)
        app = self._keep_track(mount_asgi(counted, self.settings.root_path))
        self._app = library("hypercorn.app_wrappers", REQUIREMENT.install).ASGIWrapper(app)
        self._lifespan: Any = None
        self._lifespan_task: asyncio.Task[None] | None = None
        self._context: Any = None
        self._state: dict[str, Any] = {}
        self._websockets: set[Send] = set()

    def _keep_track(self, app: AsgiApp) -> AsgiApp:
        """The application, with the way to each open WebSocket remembered."""

        async def tracked(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                await app(scope, receive, send)
                return
            self._websockets.add(send)
            try:
                await app(scope, receive, send)
            finally:
                self._websockets.discard(send)

        return tracked

    def _configure(self) -> Any:
        config = library("hypercorn.config", REQUIREMENT.install).Config()
        # 0 would close before the client has read that the connection ends.
        config.keep_alive_timeout = self.settings.keepalive or 1.0
        config.graceful_timeout = self.settings.graceful_timeout
        config.shutdown_timeout = max(1.0, self.settings.graceful_timeout)
        config.startup_timeout = self.settings.boot_timeout or float("inf")
        config.include_server_header = False
        config.accesslog = None
        workerlog.adopt("hypercorn.error")
        config.errorlog = library("logging", "").getLogger("hypercorn.error")
        return config

    async def start(self) -> None:
        """Runs the application's startup; AppLoadError when it fails."""
        loop = asyncio.get_running_loop()
        self._context = library("hypercorn.asyncio.worker_context", "").WorkerContext(None)
        lifespan = library("hypercorn.asyncio.lifespan", REQUIREMENT.install)
        self._lifespan = lifespan.Lifespan(self._app, self._config, loop, self._state)
        self._lifespan_task = loop.create_task(self._lifespan.handle_lifespan())
        try:
            await self._lifespan.wait_for_startup()
        except Exception as error:  # the application's, or a time-out of Hypercorn's
            raise AppLoadError(f"the application's lifespan startup failed: {error}") from error
        if self._lifespan_task.done() and self._lifespan_task.exception() is not None:
            raise AppLoadError(
                f"the application's lifespan startup failed: {self._lifespan_task.exception()}"
            )

    async def take(self, connection: Connection) -> None:
        """Serves the connection to its end."""
        reader = asyncio.StreamReader()
        served: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

        def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.set_result(writer)

        protocol = asyncio.StreamReaderProtocol(reader, connected)
        await self.connect(connection, lambda: protocol)
        await self._server.TCPServer(
            self._app,
            asyncio.get_running_loop(),
            self._config,
            self._context,
            self._state,
            reader,
            await served,
        )

    def close_idle(self) -> None:
        """Hypercorn closes idle connections itself, and says GOAWAY on HTTP/2; no WebSockets."""
        self.background(self._context.terminated.set())
        while self._websockets:
            self.background(_say_goodbye(self._websockets.pop()))

    async def end(self) -> None:
        """Runs the application's shutdown."""
        assert self._lifespan_task is not None
        await self._lifespan.wait_for_shutdown()
        self._lifespan_task.cancel()
        await asyncio.gather(self._lifespan_task, return_exceptions=True)


async def _say_goodbye(send: Send) -> None:
    """Tells the client of a WebSocket that the service restarts (RFC 6455 and its registry)."""
    with contextlib.suppress(Exception):  # the application closed it at the same moment
        await send({"type": "websocket.close", "code": 1012})
