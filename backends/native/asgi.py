"""ASGI on the native core: the asyncio loop around it.

The loop watches the core's epoll descriptor; when it is readable, one call
handles a batch of what is ready, and the loop goes on with its own tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any

from chaussette.backends.base import Task, heartbeat_period
from chaussette.backends.drain import Drain
from chaussette.backends.loops import new_loop
from chaussette.backends.native.lifespan import Lifespan
from chaussette.backends.native.template import address_of

LOGGER = logging.getLogger("chaussette")
LAST_WORDS = 0.5
"""Seconds that clean-up has when the requests used all of the graceful timeout."""


class AsgiServer:
    """One application on one loop. `make` builds the core's server from what it needs more."""

    def __init__(self, task: Task, make: Callable[[dict[str, Any]], Any]) -> None:
        self._task = task
        self._make = make
        self._server: Any = None
        self._drain = Drain(task.settings.graceful_timeout)

    def stop(self) -> None:
        """Begins the drain; in a signal handler."""
        self._drain.begin()
        if self._server is not None:
            self._server.stop()

    def serve(self, ready: Callable[[], None]) -> None:
        """Runs the loop until all is done."""
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            _run(loop, loop.create_task(self._main(loop, ready)))
            _cancel_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def _main(self, loop: asyncio.AbstractEventLoop, ready: Callable[[], None]) -> None:
        lifespan = Lifespan(self._task.app.callable)
        await lifespan.startup()
        finished = loop.create_future()
        server = self._server = self._make(
            {"loop": loop, "state": lifespan.state, "on_finished": lambda: _resolve(finished)}
        )
        server.open()
        loop.add_reader(server.fileno(), server.visit)  # <- the backend's main loop
        beat = loop.call_soon(lambda: None)

        def look() -> None:
            nonlocal beat
            server.visit()
            beat = loop.call_later(heartbeat_period(self._task.settings), look)

        loop.call_soon(look)  # not in this task: it would be the requests' current one
        ready()
        if self._drain.began:  # a signal came before there was a server
            server.stop()
        await finished
        self._drain.begin()  # it may have been the limit of requests
        if cut := server.cut():
            LOGGER.warning("%d requests took longer than the graceful timeout", len(cut))
            await asyncio.wait(cut, timeout=LAST_WORDS)
        beat.cancel()
        loop.remove_reader(server.fileno())
        server.close()
        await lifespan.shutdown(max(LAST_WORDS, self._drain.remaining()))


def scope_of(listener: socket.socket) -> dict[str, Any]:
    """The scope of a request before the request's own keys; the core copies it for each."""
    is_unix = listener.family == socket.AF_UNIX
    host, port = address_of(listener)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": (listener.getsockname(), None) if is_unix else (host, int(port)),
        "extensions": {"http.response.pathsend": {}},
    }


def _run(loop: asyncio.AbstractEventLoop, main: asyncio.Task[None]) -> None:
    """Runs the loop until `main` is done, whichever task of the application asks to exit.

    asyncio lets SystemExit through a task and out of the loop. The request that raised
    it is answered 500, and the other ones are none of its business.
    """
    while True:
        try:
            return loop.run_until_complete(main)
        except SystemExit as error:
            if main.done():
                raise
            LOGGER.error("a task of the application raised %r, which ends the task only", error)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """What the application has left running has a moment to end."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        with contextlib.suppress(asyncio.TimeoutError):
            loop.run_until_complete(asyncio.wait(tasks, timeout=LAST_WORDS))
