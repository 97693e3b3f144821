"""python inside.py MODULE:APP ...: what an application costs by itself, without a server.

Prints JSON: per application the µs of CPU time of one call, several times over.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

CALLS = 2000
ROUNDS = 7
US_PER_S = 1e6


def wsgi_call(app: Any, path: str) -> Callable[[], None]:
    """One request as a server makes it: a fresh environ, the whole body, close()."""
    template: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(template)

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        del headers, exc_info
        assert status.startswith("200"), status

    def call() -> None:
        body = app({**template, "wsgi.input": io.BytesIO()}, start)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return call


def asgi_call(app: Any, path: str) -> Callable[[], None]:
    """One request of an application that never waits: its coroutine is run to its end."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "http_version": "1.1"}
    scope |= {"asgi": {"version": "3.0"}}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"scheme": "http", "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200

    def call() -> None:
        try:
            app(dict(scope), receive, send).send(None)
        except StopIteration:
            return
        raise RuntimeError("the application waits")

    return call


def cost(call: Callable[[], None]) -> list[float]:
    """µs per call, a figure per round; the first round warms up and is not told."""
    found = []
    for _ in range(ROUNDS + 1):
        began = time.process_time()
        for _ in range(CALLS):
            call()
        found.append((time.process_time() - began) / CALLS * US_PER_S)
    return found[1:]


def main(*names: str) -> None:
    """Each name is INTERFACE=MODULE:APP=PATH."""
    found = {}
    for name in names:
        interface, where, path = name.split("=")
        module, _, attribute = where.partition(":")
        app = getattr(importlib.import_module(module), attribute)
        found[name] = cost((asgi_call if interface == "asgi" else wsgi_call)(app, path))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
