"""The backend that is always there: the standard library's WSGI handler on our own loop.

One connection carries one request. The loop reads the head of a request before a
thread (or the loop itself, with one thread) spends time on it, so that a slow
client and a browser's spare connections block nobody.
"""

from __future__ import annotations

import collections
import functools
import http.server
import io
import logging
import selectors
import socket
import sys
import time
import wsgiref.handlers
import wsgiref.headers
from collections.abc import Callable
from typing import IO, Any, cast

from chaussette.backends.base import Can, Declaration, Task, heartbeat_period
from chaussette.backends.counting import Meter, WsgiApp, count_wsgi, mount_wsgi
from chaussette.backends.drain import Drain
from chaussette.backends.threads import Crew
from chaussette.backends.waker import Waker
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
SILENCE_LIMIT = 10.0
"""Seconds that a client may pause in the middle of a request."""
MAX_HEAD = 1 << 16
LINGER_BYTES = 1 << 20
LINGER_TIME = 2.0


class WsgirefBackend:
    """Serves WSGI with the standard library alone."""

    declaration = Declaration(
        can=Can.WSGI
        | Can.TCP
        | Can.UNIX_SOCKET
        | Can.MANY_SOCKETS
        | Can.THREADS
        | Can.GRACEFUL
        | Can.STREAMING,
        limits={
            Can.ASGI: "the standard library has no ASGI server",
            Can.KEEPALIVE: "one request per connection: a kept one would hold the only thread",
            Can.KEEPALIVE_TIMEOUT: "one request per connection",
            Can.CHUNKED_REQUEST: "answered with 501: http.server decodes no transfer codings",
            Can.SPAWN_LIMIT: "it works on as many requests as it has threads: use --threads",
            Can.TLS: "a slow handshake would hold the only thread",
        },
        notes=("For development and small loads: written in Python, one connection per request.",),
    )

    def __init__(self, task: Task) -> None:
        self._task = task
        self._drain = Drain(task.settings.graceful_timeout)
        self._waker = Waker()
        threads = task.settings.threads
        self._meter = Meter(task, self.stop, shared=threads > 1)
        app = count_wsgi(task.app.callable, self._meter)
        self._app = mount_wsgi(app, task.settings.root_path)
        self._crew = Crew(threads) if threads > 1 else None
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[socket.socket, _Arrival] = {}
        self._busy = 0
        self._finished: collections.deque[None] = collections.deque()

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        self._drain.begin()
        self._waker.wake()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        for listener in self._task.sockets:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._waker, selectors.EVENT_READ, self._woken)
        ready()
        listening = True
        while not self._is_finished():  # <- the backend's main loop
            self._meter.beat_for(self._task.settings.threads)
            for key, _ in self._selector.select(self._wait_time()):
                key.data(key.fileobj)
            if listening and self._drain.began:
                listening = False
                self._stop_listening()
        self._close()

    def _is_finished(self) -> bool:
        if not self._drain.began:
            return False
        if self._waiting and self._drain.idle_is_over():
            self._close_idle()
        return self._drain.is_over() or not (self._waiting or self._busy)

    def _wait_time(self) -> float:
        period = heartbeat_period(self._task.settings) / 2
        if not self._drain.began:
            return period
        return min(period, 0.1 if self._waiting else max(0.0, self._drain.remaining()))

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was faster, or the client left
        if listener.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._waiting[connection] = _Arrival(connection, listener)
        self._selector.register(connection, selectors.EVENT_READ, self._read)

    def _read(self, connection: socket.socket) -> None:
        arrival = self._waiting[connection]
        if not arrival.read():
            return
        self._selector.unregister(connection)
        del self._waiting[connection]
        if self._crew is None:
            self._serve(arrival)
            return
        self._busy += 1
        self._crew.submit(functools.partial(self._serve_in_thread, arrival))

    def _serve_in_thread(self, arrival: _Arrival) -> None:
        try:
            self._serve(arrival)
        finally:
            self._finished.append(None)
            self._waker.wake()

    def _serve(self, arrival: _Arrival) -> None:
        with arrival.connection as connection:
            connection.settimeout(SILENCE_LIMIT)
            try:
                handler = _RequestHandler(arrival, self._app, self._task.settings.threads)
                _linger(connection, handler.unread())
            except OSError as error:
                LOGGER.debug("connection lost: %s", error)
            except Exception:  # the wall around the application: into the log
                LOGGER.exception("a request failed")

    def _woken(self, _waker: Waker) -> None:
        self._waker.clear()
        while self._finished:
            self._finished.pop()
            self._busy -= 1

    def _stop_listening(self) -> None:
        for listener in self._task.sockets:
            self._selector.unregister(listener)

    def _close_idle(self) -> None:
        for connection in list(self._waiting):
            self._selector.unregister(connection)
            connection.close()
        self._waiting.clear()

    def _close(self) -> None:
        self._close_idle()
        self._selector.close()
        if self._crew is not None:
            self._crew.dismiss()
        self._waker.close()


class _Arrival:
    """A connection whose request has not come in full."""

    def __init__(self, connection: socket.socket, listener: socket.socket) -> None:
        self.connection = connection
        self.listener = listener
        self.head = b""

    def read(self) -> bool:
        """Takes what is there; True when the application's turn has come, or the end."""
        try:
            data = self.connection.recv(MAX_HEAD)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.head += data
        return not data or b"\r\n\r\n" in self.head or len(self.head) >= MAX_HEAD


class _Rest(io.RawIOBase):
    """What was read already, and then what comes."""

    def __init__(self, arrival: _Arrival) -> None:
        self._head = arrival.head
        self._connection = arrival.connection

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        if not self._head:
            return self._connection.recv_into(buffer)
        data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _linger(connection: socket.socket, unread: bool) -> None:
    """Ends a connection so that the client gets all of the response.

    Closing with bytes of the request unread would reset the connection, and
    the response with it; so those are read and thrown away first, within limits.
    """
    if not unread:
        return
    connection.shutdown(socket.SHUT_WR)
    end = time.monotonic() + LINGER_TIME
    left = LINGER_BYTES
    while left > 0 and (wait := end - time.monotonic()) > 0:
        connection.settimeout(wait)
        data = connection.recv(65536)
        if not data:
            return
        left -= len(data)


class _RequestHandler(http.server.BaseHTTPRequestHandler):
    """Parses one request with http.server and runs the application on it."""

    protocol_version = "HTTP/1.1"
    server_version = "Chaussette"
    sys_version = ""

    def __init__(self, arrival: _Arrival, app: WsgiApp, threads: int) -> None:
        self._arrival = arrival
        self._app = app
        self._threads = threads
        self._body: _Limited | None = None
        peer = arrival.connection.getpeername()
        address = peer if isinstance(peer, tuple) else ("", 0)
        super().__init__(arrival.connection, address, None)  # type: ignore[arg-type]

    def setup(self) -> None:
        """Puts what the loop has read in front of the stream."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Rest(self._arrival))

    def handle(self) -> None:
        """One request, never more: the response says `Connection: close`."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            return
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
        elif self.parse_request():
            self._run()
        self.close_connection = True

    def _run(self) -> None:
        length = self._content_length()
        if length is None:
            return
        self._body = _Limited(self.rfile, length)
        handler = _Handler(
            cast(IO[bytes], io.BufferedReader(self._body)),
            cast(IO[bytes], self.wfile),
            sys.stderr,
            self._environ(),
            multithread=self._threads > 1,
            multiprocess=True,
        )
        handler.run(self._app)

    def _content_length(self) -> int | None:
        """The length of the body, or None when the request was refused."""
        if "transfer-encoding" in self.headers:
            self.send_error(501, "Transfer codings are not supported by this backend")
            return None
        lengths = set(self.headers.get_all("content-length", ["0"]))
        text = lengths.pop().strip()
        if lengths or not (text.isascii() and text.isdecimal()):
            self.send_error(400, "Bad Content-Length")
            return None
        return int(text)

    def _environ(self) -> dict[str, Any]:
        path, _, query = _origin_form(self.path).partition("?")
        name = self._arrival.listener.getsockname()
        host, port = name[:2] if isinstance(name, tuple) else ("localhost", "")
        environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": _unquote(path),
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": str(self.client_address[1]),
            "wsgi.input_terminated": True,
        }
        environ.update(_header_environ(self.headers))
        return environ

    def unread(self) -> bool:
        """Whether bytes of the request may still come that nobody wants."""
        return self._body is None or self._body.left > 0

    def log_message(self, format: str, *args: Any) -> None:
        """Access is counted, not logged."""


def _origin_form(target: str) -> str:
    """A request target without scheme and host, which a proxy's client would send."""
    if not target.startswith(("http://", "https://")):
        return target
    _, slash, rest = target.partition("://")[2].partition("/")
    return slash + rest or "/"


def _unquote(path: str) -> str:
    """The path with %XX as the bytes they mean, in PEP 3333's latin-1 disguise."""
    import urllib.parse  # only this backend pays for it

    return urllib.parse.unquote_to_bytes(path.encode("latin-1")).decode("latin-1")


def _header_environ(headers: Any) -> dict[str, str]:
    environ: dict[str, str] = {}
    for name, value in headers.items():
        if "_" in name:
            continue  # would pass for the same header with a dash
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value.strip()}" if key in environ else value.strip()
    return environ


class _Handler(wsgiref.handlers.SimpleHandler):
    """The standard library's handler, taught HTTP/1.1's rules for bodies."""

    http_version = "1.1"
    server_software = "Chaussette"
    os_environ: dict[str, str] = {}
    status: str
    headers: wsgiref.headers.Headers
    environ: dict[str, Any]
    _is_mute = False
    _is_chunked = False

    def send_headers(self) -> None:
        """Sends the head, and settles how the body is written after it."""
        bodiless = self.status[:3] in ("204", "304")
        self.cleanup_headers()
        if bodiless:
            del self.headers["Content-Length"]
        has_length = bodiless or "Content-Length" in self.headers
        # Chunks, not the end of the connection: a response that is cut short shows.
        chunked = not has_length and self.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        if chunked:
            self.headers["Transfer-Encoding"] = "chunked"
        self.headers["Connection"] = "close"
        super().send_headers()
        self._is_mute = bodiless or self.environ["REQUEST_METHOD"] == "HEAD"
        self._is_chunked = chunked and not self._is_mute

    def cleanup_headers(self) -> None:
        """Adds Content-Length where it is known, the first time only."""
        if "Connection" not in self.headers:
            super().cleanup_headers()

    def finish_content(self) -> None:
        """Ends the body."""
        super().finish_content()
        if self._is_chunked:
            self.stdout.write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        # socketserver's writer sends all of it, so there is no count to look at.
        if self._is_mute or not data:
            return
        self.stdout.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def log_exception(self, exc_info: Any) -> None:
        """The application failed: into the worker's log, not into its own stderr."""
        LOGGER.error("the application failed", exc_info=exc_info)


class _Limited(io.RawIOBase):
    """The body of one request: what comes after it in the stream is not part of it."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self.left = length

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """At most what is left; 0 at the end."""
        wanted = min(len(buffer), self.left)
        if not wanted:
            return 0
        data = self._stream.read1(wanted)
        if not data:
            raise ConnectionResetError("the client left in the middle of the request's body")
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)
