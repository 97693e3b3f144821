"""Waitress on sockets that are bound already, with a drain that it does not have itself.

Waitress's loop is run here turn by turn, so that the heart beats in it and
connections end when they should: Waitress would cut them all at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from chaussette import workerlog
from chaussette.backends.base import Can, Declaration, Requirement, Task, heartbeat_period
from chaussette.backends.counting import Meter, count_wsgi, mount_wsgi
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.settings.server import ServerSettings

REQUIREMENT = Requirement("waitress", "waitress", "pip install 'chaussette[waitress]'")
DEFAULT_CONNECTIONS = 1000
FIRST_REQUEST_TIMEOUT = 120
"""Seconds that a connection may stay without a request, or pause in the middle of one."""

LOOK_INTERVAL = 0.1
"""Seconds between two looks at all connections for idle ones."""


class WaitressBackend:
    """Serves WSGI by threads, in pure Python, with all of PEP 3333."""

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
        | Can.STREAMING
        | Can.SPAWN_LIMIT
        | Can.BODY_LIMIT,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "Waitress serves WSGI only",
            Can.TLS: "Waitress speaks no TLS: put a proxy in front",
            Can.PROXY_HEADERS: "Waitress trusts one address and no networks",
        },
        notes=(
            "--spawn limits connections: requests are limited by --threads already.",
            "A response without Content-Length ends its connection.",
            "--limit-request-body counts the sizes of chunks, too, not only what is in them.",
        ),
    )

    def __init__(self, task: Task) -> None:
        self._waitress = library("waitress.server", REQUIREMENT.install)
        self._task = task
        self._settings = task.settings
        self._drain = Drain(task.settings.graceful_timeout)
        # The loop's thread and the workers' threads both touch the slot.
        self._meter = Meter(task, self.stop, shared=True)
        self._map: dict[int, Any] = {}
        self._next_look = 0.0
        workerlog.adopt("waitress")
        self._dispatcher = library("waitress.task", REQUIREMENT.install).ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(task.settings.threads)
        self._create()

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        self._drain.begin()
        self._listeners()[0].pull_trigger()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        wasyncore = library("waitress.wasyncore", REQUIREMENT.install)
        ready()
        while not self._is_finished():  # <- the backend's main loop
            self._meter.beat_for(self._settings.threads)
            self._close_idle()
            wasyncore.loop(timeout=self._wait_time(), use_poll=True, map=self._map, count=1)
        self._close()

    def _create(self) -> None:
        settings = self._settings
        app = mount_wsgi(count_wsgi(self._task.app.callable, self._meter), settings.root_path)
        for listener in self._task.sockets:
            self._waitress.create_server(
                app,
                map=self._map,
                _dispatcher=self._dispatcher,
                # Waitress closes the sockets that it is given; ours must stay open.
                sockets=[listener.dup()],
                backlog=settings.backlog,
                channel_timeout=FIRST_REQUEST_TIMEOUT,
                # What it counts includes its listeners and their wake-up pipes.
                connection_limit=2 * len(self._task.sockets)
                + (settings.spawn or DEFAULT_CONNECTIONS),
                # Reads on while a request runs, and so sees that a client left.
                channel_request_lookahead=1,
                max_request_body_size=self._first_refused_size(),
                clear_untrusted_proxy_headers=False,
                ident="Chaussette",
            )
        channel = _draining_channel(self._is_leaving)
        for server in self._listeners():
            server.channel_class = channel

    def _first_refused_size(self) -> int:
        limit = self._settings.limit_request_body
        return limit + 1 if limit else sys.maxsize

    def _listeners(self) -> list[Any]:
        kind = self._waitress.BaseWSGIServer
        return [each for each in self._map.values() if isinstance(each, kind)]

    def _channels(self) -> Iterator[Any]:
        for listener in self._listeners():
            yield from list(listener.active_channels.values())

    def _is_leaving(self) -> bool:
        return self._drain.began or not self._settings.keepalive

    def _is_finished(self) -> bool:
        if not self._drain.began:
            return False
        for listener in self._listeners():
            listener.accepting = False
        return self._drain.is_over() or not any(self._channels())

    def _wait_time(self) -> float:
        if self._drain.began:
            return min(0.1, max(0.0, self._drain.remaining()))
        return min(1.0, heartbeat_period(self._settings) / 2)

    def _close_idle(self) -> None:
        """Lets connections go that have waited for their next request long enough."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_INTERVAL
        oldest = time.time() - self._settings.keepalive
        grace_is_over = self._drain.began and self._drain.idle_is_over()
        for channel in self._channels():
            if channel.requests or channel.request is not None or channel.total_outbufs_len:
                continue
            is_fresh = channel.last_activity == channel.creation_time
            if grace_is_over or (not is_fresh and channel.last_activity < oldest):
                channel.will_close = True

    def _close(self) -> None:
        self._dispatcher.shutdown(timeout=max(0.0, self._drain.remaining()))
        for each in list(self._map.values()):
            each.close()


class _HeadOnly:
    """A connection during a HEAD request: what follows the head is not sent.

    Waitress writes the head in one piece, and the body even if there may be none.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._head_is_sent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def write_soon(self, data: Any) -> int:
        """Sends the first piece only."""
        if not self._head_is_sent:
            self._head_is_sent = True
            sent: int = self._channel.write_soon(data)
            return sent
        if hasattr(data, "close"):  # a file that Waitress would have closed when sent
            data.close()
        return len(data)


def _draining_channel(is_leaving: Callable[[], bool]) -> type[Any]:
    """Waitress's connection, whose responses announce the end of a worker that leaves."""
    channel = library("waitress.channel", REQUIREMENT.install)
    task = library("waitress.task", REQUIREMENT.install)

    class DrainingTask(task.WSGITask):  # type: ignore[misc, name-defined]
        def __init__(self, connection: Any, request: Any) -> None:
            is_head = request.command == "HEAD"
            super().__init__(_HeadOnly(connection) if is_head else connection, request)

        def build_response_header(self) -> bytes:
            if is_leaving():
                self.request.headers["CONNECTION"] = "close"
            head: bytes = super().build_response_header()
            return head

    class DrainingChannel(channel.HTTPChannel):  # type: ignore[misc, name-defined]
        task_class = DrainingTask

    return DrainingChannel
