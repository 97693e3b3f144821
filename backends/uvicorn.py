"""uvicorn's protocols and lifespan on our own accepting and drain."""

from __future__ import annotations

import functools
import time
from email.utils import formatdate
from typing import Any

from chaussette import workerlog
from chaussette.backends.aio import AsyncioBackend, Connection
from chaussette.backends.base import Can, Declaration, Requirement, Task
from chaussette.backends.counting import count_asgi, mount_asgi
from chaussette.backends.library import library
from chaussette.errors import AppLoadError

REQUIREMENT = Requirement("uvicorn", "uvicorn", "pip install 'chaussette[uvicorn]'")


class UvicornBackend(AsyncioBackend):
    """Serves ASGI on asyncio, or on uvloop when that is installed."""

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
            Can.WSGI: "uvicorn's WSGI adapter is deprecated and buffers request bodies",
            Can.THREADS: "an ASGI application runs in the one thread of its event loop",
            Can.ACCESS_LOG: "Uvicorn's has one format, its own",
        },
        notes=(
            "--spawn limits connections.",
            "WebSocket needs the package websockets or wsproto.",
        ),
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._uvicorn = library("uvicorn", REQUIREMENT.install)
        self._server = library("uvicorn.server", REQUIREMENT.install)
        for name in ("uvicorn", "uvicorn.error"):
            workerlog.adopt(name)
        self._config = self._configure()
        self._state = self._server.ServerState()
        self._lifespan: Any = None

    def _configure(self) -> Any:
        counted = count_asgi(self.task.app.callable, self.meter, self.is_leaving)
        config = self._uvicorn.Config(
            mount_asgi(counted, self.settings.root_path),
            loop="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            # Whom to believe X-Forwarded-* is for the operator to say, not for a default.
            proxy_headers=False,
            server_header=False,
            # 0 would close before the client has read that the connection ends.
            timeout_keep_alive=self.settings.keepalive or 1.0,
        )
        config.load()
        return config

    async def start(self) -> None:
        """Runs the application's startup; AppLoadError when it fails."""
        self._lifespan = self._config.lifespan_class(self._config)
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise AppLoadError("the application's lifespan startup failed")

    async def take(self, connection: Connection) -> None:
        """Puts uvicorn's protocol on the connection."""
        factory = functools.partial(
            self._config.http_protocol_class,
            config=self._config,
            server_state=self._state,
            app_state=self._lifespan.state,
        )
        await self.connect(connection, factory)

    def on_tick(self) -> None:
        """Keeps the Date header fresh."""
        date = formatdate(time.time(), usegmt=True).encode()
        self._state.default_headers = [(b"date", date), (b"server", b"Chaussette")]

    def is_busy(self) -> bool:
        """Whether an application still runs, even if its client has left."""
        return bool(self._state.tasks)

    def close_idle(self) -> None:
        """Idle connections close, WebSockets are told 1012, busy ones end with their response."""
        for connection in list(self._state.connections):
            connection.shutdown()

    async def end(self) -> None:
        """Cuts what is left and runs the application's shutdown."""
        for task in list(self._state.tasks):
            task.cancel("the worker's graceful timeout is over")
        await self._lifespan.shutdown()
