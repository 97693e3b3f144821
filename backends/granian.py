"""Granian's workers (hyper on tokio, in Rust) in this process, without its supervisor.

Granian has no public way to serve a socket that it did not bind, so its worker
classes are built here as its own supervisor builds them. Its shutdown cuts idle
and fresh connections; so its listener is silenced first, and the shutdown comes
after the grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import wsgiref.util
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from chaussette import workerlog
from chaussette.application import Interface
from chaussette.backends.aio import LAST_WORDS, LOGGER, close_loop
from chaussette.backends.base import Can, Declaration, Requirement, Task, heartbeat_period
from chaussette.backends.cloop import LoopDrain
from chaussette.backends.counting import (
    Environ,
    Meter,
    WsgiApp,
    count_asgi,
    count_wsgi,
    mount_asgi,
    mount_wsgi,
)
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.backends.loops import new_loop
from chaussette.backends.repairs import Headers, Started, add_headers, name_server
from chaussette.backends.tls import server_context
from chaussette.errors import AppLoadError
from chaussette.settings.server import ServerSettings

REQUIREMENT = Requirement("granian", "granian", "pip install 'chaussette[granian]'")
DEFAULT_REQUESTS = 1024
"""Requests at a time without --spawn; Granian wants a number."""


class GranianBackend:
    """Serves WSGI and ASGI; HTTP is spoken by Rust threads beside the interpreter."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.ASGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.THREADS
        | Can.TLS
        | Can.WEBSOCKET
        | Can.LIFESPAN
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.CHUNKED_REQUEST
        | Can.STREAMING
        | Can.SPAWN_LIMIT,
        requirement=REQUIREMENT,
        limits={
            Can.MANY_SOCKETS: "each socket would need a runtime and threads of its own",
            Can.KEEPALIVE_TIMEOUT: "it limits the reading of a head, not the wait between requests",
            Can.THREADS: "an ASGI application runs in the one thread of its event loop",
        },
        only_for={Can.THREADS: Interface.WSGI},
        notes=(
            "The text of a WSGI status line is replaced by the standard one.",
            "WSGI: an exception in the middle of a body without Content-Length ends the response "
            "as if it were whole.",
            "WSGI: a header name with an underscore passes for the one with a dash.",
        ),
    )

    def __init__(self, task: Task) -> None:
        library("granian", REQUIREMENT.install)
        self._rust: Any = library("granian._granian", REQUIREMENT.install)
        self._futures: Any = library("granian._futures", REQUIREMENT.install)
        workerlog.adopt("_granian")
        self._task = task
        self._settings = task.settings
        self._is_wsgi = task.app.interface is Interface.WSGI
        self._drain = Drain(task.settings.graceful_timeout)
        self._meter = Meter(task, self.stop, shared=self._is_wsgi)
        server_context(task.settings)  # only to say in good time what is wrong with the files
        self._listener = task.sockets[0]
        self._listener.setblocking(False)
        self._ending = LoopDrain(self._drain, self._listener, self._meter.is_busy)
        self._signal = self._rust.WorkerSignal()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._is_done = False

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        self._drain.begin()
        self._knock()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._main(ready))
        finally:
            close_loop(loop)

    async def _main(self, ready: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        lifespan = None if self._is_wsgi else await self._start_lifespan()
        call = self._call_wsgi() if self._is_wsgi else self._call_asgi(lifespan)
        self._signal.add_cb(self._done)
        self._start(call)
        ready()
        while not self._drain.began:
            await self._turn(heartbeat_period(self._settings) / 2)
        await self._finish()
        if lifespan is not None:
            await self._end_lifespan(lifespan)

    async def _finish(self) -> None:
        """Accepts no more; Granian's own shutdown comes when nobody would be cut by it."""
        self._ending.begin()
        told = False
        while not self._is_done and not self._drain.is_over():
            if not told and (self._drain.idle_is_over() or self._ending.is_empty()):
                told = True
                self._signal.set()
            await self._turn(0.1)

    async def _turn(self, seconds: float) -> None:
        if self._is_wsgi:
            self._meter.beat_for(self._settings.threads)
        else:
            self._meter.beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _knock(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it is over already
                self._loop.call_soon_threadsafe(self._wake.set)

    def _done(self) -> None:
        """Called from a thread of Granian's when its last connection has ended."""
        self._is_done = True
        self._knock()

    def _start(self, call: Callable[..., Any]) -> None:
        """Starts Granian's threads; they call `call` for each request."""
        settings = self._settings
        kind = self._rust.WSGIWorker if self._is_wsgi else self._rust.ASGIWorker
        is_unix = self._listener.family == socket.AF_UNIX
        # The library closes what it is given.
        holder = self._rust.SocketHolder(os.dup(self._listener.fileno()), is_unix, settings.backlog)
        websockets = {} if self._is_wsgi else {"websockets_enabled": True}
        worker = kind(
            1,
            (None, holder),
            None,
            py_threads=settings.threads,
            backpressure=settings.spawn or DEFAULT_REQUESTS,
            http_mode="auto",
            http1_opts=library("granian.http", REQUIREMENT.install).HTTP1Settings(),
            http2_opts=library("granian.http", REQUIREMENT.install).HTTP2Settings(),
            metrics=(None, None),
            **websockets,
            **self._tls(),
        )
        scheduler = self._futures._new_cbscheduler(self._loop, call, impl_asyncio=True)
        serve = worker.serve_mtr_uds if is_unix else worker.serve_mtr
        serve(scheduler, self._loop, self._signal)

    def _tls(self) -> dict[str, Any]:
        certfile = self._settings.certfile
        if certfile is None:
            return {}
        return {
            "ssl_enabled": True,
            "ssl_cert": certfile,
            "ssl_key": self._settings.keyfile or certfile,
            "ssl_protocol_min": "tls1.2",
            "ssl_crl": [],
        }

    def _call_wsgi(self) -> Callable[[Any, Environ], int]:
        app = count_wsgi(self._task.app.callable, self._meter)
        app = mount_wsgi(app, self._settings.root_path)
        app = name_server(add_headers(app, self._announce), self._listener)
        return _Gateway(app, self._settings.threads).call

    def _announce(self, _headers: Headers) -> Headers:
        return [("Connection", "close")] if self._drain.began else []

    def _call_asgi(self, lifespan: Any) -> Callable[[Any], Awaitable[None]]:
        counted = count_asgi(self._task.app.callable, self._meter, lambda: self._drain.began)
        app = mount_asgi(counted, self._settings.root_path)

        async def call(scope: dict[str, Any], protocol: Any) -> None:
            scope.update(
                root_path="",
                state=lifespan.state.copy(),
                client=_address(scope["client"]),
                server=_address(scope["server"]),
            )
            await app(scope, protocol.receive, protocol.send)

        wrapped: Callable[[Any], Awaitable[None]] = self._futures._future_watcher_wrapper(call)
        return wrapped

    async def _start_lifespan(self) -> Any:
        """Runs the application's startup; AppLoadError when it fails."""
        asgi = library("granian.asgi", REQUIREMENT.install)
        lifespan = asgi.LifespanProtocol(self._task.app.callable)
        await lifespan.startup()
        if lifespan.interrupt:
            raise AppLoadError(f"the application's lifespan startup failed: {lifespan.exc or ''}")
        return lifespan

    async def _end_lifespan(self, lifespan: Any) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lifespan.shutdown(), max(LAST_WORDS, self._drain.remaining()))


def _address(pair: Any) -> tuple[str, int] | None:
    """Granian gives ports as texts; ASGI wants numbers."""
    with contextlib.suppress(TypeError, ValueError):
        host, port = pair
        return host, int(port)
    return None


class _Gateway:
    """PEP 3333 on Granian's protocol object; its own one hands out all of os.environ."""

    def __init__(self, app: WsgiApp, threads: int) -> None:
        self._app = app
        self._base: Environ = {
            "SCRIPT_NAME": "",
            "SERVER_SOFTWARE": "Chaussette",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": wsgiref.util.FileWrapper,
        }

    def call(self, protocol: Any, scope: Environ) -> int:
        """Answers one request; runs in a thread of Granian's."""
        scope.update(self._base)
        started = Started()
        try:
            return self._answer(protocol, scope, started)
        except Exception:  # noqa: BLE001 - the wall around the application: into the log
            LOGGER.exception("the application failed")
            protocol.response_bytes(500, [("Content-Type", "text/plain")], b"Internal Server Error")
            return 500

    def _answer(self, protocol: Any, environ: Environ, started: Started) -> int:
        result = self._app(environ, started)
        if isinstance(result, (list, tuple)):
            body = b"".join([*started.written, *result])
            protocol.response_bytes(started.code(), started.headers, body)
            return started.code()
        parts = _Parts(result, started)
        protocol.response_iter(started.code(), started.headers, parts)
        return started.code()


class _Parts:
    """A response body that Granian pulls; its first part is made early, for the status."""

    def __init__(self, result: Any, started: Started) -> None:
        self._result = result
        self._parts: Iterator[bytes] = iter(())
        try:
            self._parts = iter(result)
            first = next(self._parts, b"")
        except BaseException:
            self.close()
            raise
        self._early = [part for part in (*started.written, first) if part]
        started.is_sent = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._early.pop(0) if self._early else next(self._parts)

    def close(self) -> None:
        """See PEP 3333."""
        close = getattr(self._result, "close", None)
        if close is not None:
            close()
