"""What small servers leave out of PEP 3333 and HTTP, put back around the application."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import Any

from chaussette.backends.counting import Environ, StartResponse, WsgiApp

Headers = list[tuple[str, str]]


def has_header(headers: Iterable[tuple[str, str]], name: str) -> bool:
    """Whether a header is among them; `name` in lower case."""
    return any(key.lower() == name for key, _ in headers)


class Started:
    """A start_response that waits: what the application said, and what it wrote by write()."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: Headers = []
        self.written: list[bytes] = []
        self.is_sent = False

    def __call__(self, status: str, headers: Headers, exc_info: Any = None) -> Any:
        """See PEP 3333."""
        if exc_info is not None and self.is_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self.status and exc_info is None:
            raise AssertionError("start_response() was called twice without exc_info")
        refuse_line_breaks(status, headers)
        self.status, self.headers = status, headers
        return self.written.append

    def code(self) -> int:
        """The number in the status line."""
        if not self.status:
            raise AssertionError("the application did not call start_response()")
        return int(self.status.split(" ", 1)[0])


def refuse_line_breaks(status: str, headers: Headers) -> None:
    """Raises ValueError where a line break would let a client forge headers."""
    for text in itertools.chain([status], *headers):
        if "\r" in text or "\n" in text or "\0" in text:
            raise ValueError(f"a line break or NUL in a response header: {text!r}")


def trim_values(app: WsgiApp) -> WsgiApp:
    """The application for a server that refuses blanks around a header's value.

    They are no part of the value (RFC 9110, 5.5); Django writes one before each
    cookie.
    """

    def trimmed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            clean = [(name, value.strip(" \t")) for name, value in headers]
            return start_response(status, clean, *exc_info)

        return app(environ, start)

    return trimmed


def mute_head(app: WsgiApp, needs_length: bool) -> WsgiApp:
    """The application for a server that sends the body of a response to HEAD.

    With `needs_length` the server would send chunks where Content-Length is
    missing, so the body is made to learn its length.
    """

    def muted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return app(environ, start_response)
        started = Started()
        length = _measure(app(environ, started), started, needs_length)
        headers = list(started.headers)
        if needs_length and not has_header(headers, "content-length"):
            headers.append(("Content-Length", str(length)))
        start_response(started.status, headers)
        return []

    return muted


def _measure(result: Iterable[bytes], started: Started, needs_length: bool) -> int:
    """The length of a body as far as it has to be known."""
    length = 0
    try:
        for part in result:
            length += len(part)
            known = has_header(started.headers, "content-length")
            if started.status and (known or not needs_length):
                break
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    return length + sum(map(len, started.written))


def allow_write(app: WsgiApp) -> WsgiApp:
    """The application for a server whose start_response returns no write()."""

    def writing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        written: list[bytes] = []

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            refuse_line_breaks(status, headers)
            if exc_info is None:
                start_response(status, headers)
            else:
                start_response(status, headers, exc_info)
            return written.append

        result = app(environ, start)
        return _Written(written, result) if written else result

    return writing


class _Written:
    """What was written, and then the rest; closing it closes the application's iterable."""

    def __init__(self, written: list[bytes], result: Iterable[bytes]) -> None:
        self._parts: Iterator[bytes] = itertools.chain(written, result)
        self._result = result

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        """See PEP 3333."""
        close = getattr(self._result, "close", None)
        if close is not None:
            close()


def add_headers(app: WsgiApp, extra: Callable[[Headers], Headers]) -> WsgiApp:
    """The application with more headers in its responses; `extra` gets those that it has."""

    def adding(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            rest = (exc_info,) if exc_info is not None else ()
            return start_response(status, [*headers, *extra(headers)], *rest)

        return app(environ, start)

    return adding


def name_server(app: WsgiApp, listener: socket.socket) -> WsgiApp:
    """The application with the listener's address in the environ, for servers that invent one."""
    name = listener.getsockname()
    host, port = (name[0], str(name[1])) if isinstance(name, tuple) else ("localhost", "")
    # What such servers put into REMOTE_ADDR is read from uninitialised memory.
    hides_client = listener.family != socket.AF_INET

    def named(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["SERVER_NAME"] = host
        environ["SERVER_PORT"] = port
        if hides_client:
            environ["REMOTE_ADDR"] = ""
            environ.pop("REMOTE_PORT", None)
        return app(environ, start_response)

    return named


def add_date(app: WsgiApp) -> WsgiApp:
    """The application for a server that sends no Date, made once per second."""
    second, text = 0, ""

    def date(headers: Headers) -> Headers:
        nonlocal second, text
        if has_header(headers, "date"):
            return []
        now = int(time.time())
        if now != second:
            second, text = now, formatdate(now, usegmt=True)
        return [("Date", text)]

    return add_headers(app, date)
