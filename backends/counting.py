"""What is counted about requests, and how often a worker is alive: the slot's figures.

`Meter` owns the arithmetic; the WSGI and ASGI wrappers call it around an
application. They pass on untouched what servers have a fast way for: a list, a
tuple and a `wsgi.file_wrapper` reach the server as the application returned them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping

from chaussette.backends.base import Task, heartbeat_period

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any
else:
    Any = object

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def request_limit(max_requests: int, jitter: int) -> int:
    """The number of requests after which this worker leaves; 0 for never."""
    if not max_requests or not jitter:
        return max_requests
    import random  # 0.4 MB, where somebody asks for chance

    return max_requests + random.randint(0, jitter)


class Meter:
    """Counts the requests of one worker on its slot.

    `on_limit` is called once, when the last request that the worker was meant
    to take has come; from the thread that takes it, so it may only set flags
    and wake the loop up. With `shared`, more than one thread counts.
    """

    def __init__(self, task: Task, on_limit: Callable[[], None], shared: bool = False) -> None:
        settings = task.settings
        self._slot = task.slot
        self._on_limit = on_limit
        self._left = request_limit(settings.max_requests, settings.max_requests_jitter)
        self._period_ns = int(heartbeat_period(settings) * 1e9)
        self._lock: AbstractContextManager[Any, bool | None] = contextlib.nullcontext()
        if shared:
            import threading  # for who has threads

            self._lock = threading.Lock()
        self._in_flight = 0
        self._moved = True
        self._beat_ns = 0

    def begin(self) -> int:
        """A request has come; what is returned goes to `end`."""
        with self._lock:
            self._slot.begin()
            self._in_flight += 1
            self._moved = True
            self._left -= 1
            last = self._left == 0
        if last:
            self._on_limit()
        return time.monotonic_ns()

    def end(self, begun_ns: int, sent: int = 0, failed: bool = False) -> None:
        """A request is over."""
        busy_ns = time.monotonic_ns() - begun_ns
        with self._lock:
            self._slot.end(busy_ns, sent, failed)
            self._in_flight -= 1
            self._moved = True

    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return self._in_flight > 0

    def move(self) -> None:
        """A request under way came further: a sign of life of its thread."""
        self._moved = True

    def beat(self) -> None:
        """A sign of life from the loop that runs the application; cheap to call often."""
        now = time.monotonic_ns()
        if now - self._beat_ns >= self._period_ns // 2:
            self._beat_ns = now
            self._slot.beat(now)

    def beat_for(self, threads: int) -> None:
        """A sign of life on behalf of `threads` threads that run the application.

        There is none while every thread is inside a request and none of them
        came further: a worker of which all threads hang is to be replaced.
        """
        if self._moved or self._in_flight < threads:
            self._moved = False
            self.beat()


def count_wsgi(app: WsgiApp, meter: Meter) -> WsgiApp:
    """The application, counted."""

    def counted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        begun = meter.begin()
        try:
            result = app(environ, start_response)
        except BaseException:
            meter.end(begun, failed=True)
            raise
        if isinstance(result, (list, tuple)):
            meter.end(begun, sum(len(part) for part in result if isinstance(part, bytes)))
            return result
        if _is_file(environ, result):
            meter.end(begun)
            return result
        body = _SizedBody if hasattr(result, "__len__") else _Body
        return body(result, meter, begun)

    return counted


def _is_file(environ: Environ, result: Iterable[bytes]) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(result, wrapper)


class _Body:
    """A response body that says when it is over: at its end, error or close()."""

    def __init__(self, inner: Iterable[bytes], meter: Meter, begun_ns: int) -> None:
        self._inner = inner
        self._parts: Iterator[bytes] | None = None
        self._meter = meter
        self._begun_ns = begun_ns
        self._sent = 0
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._parts is None:
                self._parts = iter(self._inner)
            part = next(self._parts)
        except StopIteration:
            self._finish()
            raise
        except BaseException:
            self._finish(failed=True)
            raise
        self._sent += len(part)
        self._meter.move()
        return part

    def close(self) -> None:
        """Passes on what PEP 3333 asks servers to call."""
        try:
            close = getattr(self._inner, "close", None)
            if close is not None:
                close()
        finally:
            self._finish()

    def _finish(self, failed: bool = False) -> None:
        if not self._is_over:
            self._is_over = True
            self._meter.end(self._begun_ns, self._sent, failed)


class _SizedBody(_Body):
    """The same for a body of known length: servers ask len() to add Content-Length."""

    def __len__(self) -> int:
        return len(self._inner)  # type: ignore[arg-type]


def mount_wsgi(app: WsgiApp, root_path: str) -> WsgiApp:
    """The application as if it were mounted there, whether or not a proxy cut the prefix."""
    root = "/" + root_path.strip("/")
    if root == "/":
        return app

    def mounted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == root or path.startswith(root + "/"):
            environ["PATH_INFO"] = path[len(root) :]
        environ["SCRIPT_NAME"] = root
        return app(environ, start_response)

    return mounted


def count_asgi(app: AsgiApp, meter: Meter, is_leaving: Callable[[], bool]) -> AsgiApp:
    """The application, counted; a worker that leaves announces it to HTTP/1 clients."""

    async def counted(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        meter_send = _CountedSend(send, meter, _announcer(scope, is_leaving))
        begun = meter.begin()
        failed = True
        try:
            await app(scope, receive, meter_send)
            failed = False
        finally:
            meter.end(begun, meter_send.sent, failed)

    return counted


def _announcer(
    scope: MutableMapping[str, Any], is_leaving: Callable[[], bool]
) -> Callable[[], bool]:
    # HTTP/2 has no Connection header; its servers say GOAWAY.
    is_http1 = scope["type"] == "http" and scope.get("http_version", "1.1").startswith("1")
    return is_leaving if is_http1 else _never


def _never() -> bool:
    return False


class _CountedSend:
    """The `send` of one request."""

    def __init__(self, send: Send, meter: Meter, closes: Callable[[], bool]) -> None:
        self._send = send
        self._meter = meter
        self._closes = closes
        self.sent = 0

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._closes():
            message = {**message, "headers": with_close(message.get("headers", ()))}
        elif kind == "http.response.body":
            self.sent += len(message.get("body", b""))
            self._meter.move()
        await self._send(message)


def with_close(headers: Iterable[Iterable[bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an ASGI response, with `Connection: close` as the only Connection."""
    kept = [(bytes(name), bytes(value)) for name, value in headers]
    kept = [(name, value) for name, value in kept if name.lower() != b"connection"]
    return [*kept, (b"connection", b"close")]


def mount_asgi(app: AsgiApp, root_path: str) -> AsgiApp:
    """The application as if it were mounted there, whether or not a proxy cut the prefix.

    ASGI wants the prefix in `path`, too, so it is put back where it is missing.
    """
    root = "/" + root_path.strip("/")
    if root == "/":
        return app

    async def mounted(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"]
            scope = {**scope, "root_path": root}
            if not (path == root or path.startswith(root + "/")):
                scope["path"] = root + path
                scope["raw_path"] = root.encode() + (scope.get("raw_path") or path.encode())
        await app(scope, receive, send)

    return mounted
