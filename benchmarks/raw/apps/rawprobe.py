"""A WSGI application that shows what a server makes of a request and of an answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]
PAUSE = 0.3
closed = [0]
"""How many bodies have been closed."""


class Body:
    """A body that counts its close()."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    def close(self) -> None:
        """Counts it."""
        closed[0] += 1


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    """/seen: what the request became; /stream, /write, /inject and /closed: see probe.py."""
    path = environ["PATH_INFO"]
    if path == "/stream":
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return _slowly()
    if path == "/write":
        write = start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])
        write(b"written, ")
        return []
    if path == "/inject":
        start("200 OK", [("Content-Length", "0"), ("X-A", "b\r\nX-Injected: yes")])
        return []
    if path == "/closed":
        seen: dict[str, Any] = {"closed": closed[0]}
    else:
        seen = {
            "path": path,
            "remote": environ.get("REMOTE_ADDR", ""),
            "twice": environ.get("HTTP_X_TWICE", ""),
        }
    content = json.dumps(seen).encode()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return Body(content)


def _slowly() -> Iterator[bytes]:
    yield b"a"
    time.sleep(PAUSE)  # noqa: TID251
    yield b"b"
