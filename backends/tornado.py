"""Tornado's HTTP server and WSGI container on our own accepting and drain."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import wsgiref.util
from typing import Any

from chaussette import workerlog
from chaussette.backends.aio import LOGGER, AsyncioBackend, Connection
from chaussette.backends.base import Can, Declaration, Requirement, Task
from chaussette.backends.counting import count_wsgi, mount_wsgi
from chaussette.backends.descriptors import is_idle
from chaussette.backends.library import library
from chaussette.backends.repairs import add_date, mute_head, trim_values

REQUIREMENT = Requirement("tornado", "tornado", "pip install 'chaussette[tornado]'")


class TornadoBackend(AsyncioBackend):
    """Serves WSGI in Tornado's event loop; requests and responses are buffered whole."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.MANY_SOCKETS
        | Can.THREADS
        | Can.GRACEFUL
        | Can.KEEPALIVE
        | Can.KEEPALIVE_TIMEOUT
        | Can.CHUNKED_REQUEST
        | Can.SPAWN_LIMIT,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "Tornado's container is for WSGI",
            Can.STREAMING: "its WSGIContainer sends a response when all of it is made",
            Can.TLS: "Tornado's TLS takes the connection out of our hands: use a proxy",
        },
        notes=(
            "Request bodies are read into memory, up to 100 MB.",
            "Chunk extensions in request bodies are refused with 400.",
            "--spawn limits connections.",
            "--keep-alive limits the wait for a connection's first request, too.",
        ),
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task, shared=True)
        # Also with one thread: in the loop's own, Django's ORM would refuse to work.
        self._executor = concurrent.futures.ThreadPoolExecutor(task.settings.threads)
        self._streams: dict[Connection, Any] = {}
        self._busy: set[Any] = set()
        self._server: Any = None
        workerlog.adopt("tornado.application")
        workerlog.adopt("tornado.general")

    async def start(self) -> None:
        """Builds the server, which wants to be made inside its loop."""
        app = mount_wsgi(count_wsgi(self.task.app.callable, self.meter), self.settings.root_path)
        app = trim_values(add_date(mute_head(app, needs_length=True)))
        container = _container_class()(app, self._executor, self._busy)
        httpserver = library("tornado.httpserver", REQUIREMENT.install)
        self._server = httpserver.HTTPServer(
            container,
            no_keep_alive=not self.settings.keepalive,
            idle_connection_timeout=self.settings.keepalive or None,
        )

    def stop(self) -> None:
        """See the contract."""
        if self._server is not None:
            self._server.conn_params.no_keep_alive = True
        super().stop()

    async def take(self, connection: Connection) -> None:
        """Puts Tornado's stream on the connection."""
        iostream = library("tornado.iostream", REQUIREMENT.install)
        stream = iostream.IOStream(connection)
        self._streams = {each: kept for each, kept in self._streams.items() if not kept.closed()}
        self._streams[connection] = stream
        peer = "" if connection.family == socket.AF_UNIX else connection.getpeername()
        self._server.handle_stream(stream, peer)

    def beat(self) -> None:
        """The application does not run in the loop, so its threads are asked."""
        self.meter.beat_for(self.settings.threads)

    def close_idle(self) -> None:
        """Ends the reading of connections that wait for a request."""
        for connection, stream in self._streams.items():
            if stream.closed() or stream in self._busy or stream.writing():
                continue
            if is_idle(connection):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)

    async def end(self) -> None:
        """Lets the threads go; waits for none."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _container_class() -> Any:
    wsgi = library("tornado.wsgi", REQUIREMENT.install)

    class Container(wsgi.WSGIContainer):  # type: ignore[misc, name-defined]
        """Tornado's container, that answers 500 and says which connections are busy."""

        def __init__(self, app: Any, executor: Any, busy: set[Any]) -> None:
            super().__init__(app, executor)
            self._busy = busy

        async def handle_request(self, request: Any) -> None:
            stream = request.connection.stream
            self._busy.add(stream)
            try:
                await super().handle_request(request)
            except Exception:  # noqa: BLE001 - the wall around the application: into the log
                LOGGER.exception("the application failed")
                _answer_500(request)
            finally:
                self._busy.discard(stream)

        def environ(self, request: Any) -> dict[str, Any]:
            for name in [each for each in request.headers if "_" in each]:
                del request.headers[name]  # would pass for the same header with a dash
            environ: dict[str, Any] = super().environ(request)
            name = request.connection.stream.socket.getsockname()
            host, port = (name[0], str(name[1])) if isinstance(name, tuple) else ("localhost", "")
            environ["SERVER_NAME"], environ["SERVER_PORT"] = host, port
            if not isinstance(name, tuple):
                environ["REMOTE_ADDR"] = ""
            environ["wsgi.input_terminated"] = True
            environ["wsgi.file_wrapper"] = wsgiref.util.FileWrapper
            return environ

        def _log(self, status_code: int, request: Any) -> None:
            """Access is counted, not logged."""

    return Container


def _answer_500(request: Any) -> None:
    httputil = library("tornado.httputil", REQUIREMENT.install)
    body = b"Internal Server Error"
    headers = {"Content-Type": "text/plain", "Content-Length": str(len(body))}
    start = httputil.ResponseStartLine("HTTP/1.1", 500, "Internal Server Error")
    with contextlib.suppress(Exception):  # the head is out already, or the client is gone
        request.connection.write_headers(start, httputil.HTTPHeaders(headers), chunk=body)
        request.connection.finish()
