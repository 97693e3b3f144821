"""What every backend on an asyncio loop shares: accepting, the heart, the drain.

Accepts itself instead of asyncio's servers, which take as many connections as
they can in one turn (so that one worker has them all), call listen(2) on the
shared socket and close it when they stop. Speaks no HTTP.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from chaussette.backends.base import Task, heartbeat_period
from chaussette.backends.counting import Meter
from chaussette.backends.drain import Drain
from chaussette.backends.loops import new_loop
from chaussette.backends.tls import server_context
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
HANDSHAKE_TIMEOUT = 20.0
LAST_WORDS = 0.5
"""Seconds that clean-up has when the requests used all of the graceful timeout."""


class Connection(socket.socket):
    """An accepted connection that says when it is closed, by whoever closes it."""

    on_close: Callable[[Connection], None] | None = None

    def close(self) -> None:
        """Closes it, and tells once."""
        super().close()
        told, self.on_close = self.on_close, None
        if told is not None:
            told(self)


class Acceptor:
    """Takes connections from listening sockets, one per wake-up, up to a limit at a time."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        take: Callable[[Connection], None],
        closed: Callable[[], None],
        limit: int | None,
    ) -> None:
        self._listeners = listeners
        self._take = take
        self._closed = closed
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._is_wanted = False
        self._is_watching = False
        self.open: set[Connection] = set()

    def start(self) -> None:
        """Watches the listeners from now on."""
        for listener in self._listeners:
            listener.setblocking(False)
        self._is_wanted = True
        self._watch()

    def stop(self) -> None:
        """Watches no longer; the listeners stay open."""
        self._is_wanted = False
        self._watch()

    def _watch(self) -> None:
        is_full = self._limit is not None and len(self.open) >= self._limit
        wanted = self._is_wanted and not is_full
        if wanted == self._is_watching:
            return
        self._is_watching = wanted
        for listener in self._listeners:
            if wanted:
                self._loop.add_reader(listener.fileno(), self._accept, listener)
            else:
                self._loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        if not self._is_watching:
            return  # another listener's connection of this turn was the last one allowed
        try:
            accepted, _ = listener.accept()
        except OSError as error:
            self._not_accepted(error)
            return
        connection = Connection(
            listener.family, listener.type, listener.proto, fileno=accepted.detach()
        )
        connection.setblocking(False)
        if listener.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.on_close = self._forget
        self.open.add(connection)
        self._watch()
        self._take(connection)

    def _not_accepted(self, error: OSError) -> None:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            return  # another worker was faster, or the client left
        LOGGER.error("cannot accept a connection: %s; trying again in 1 s", error)
        wanted, self._is_wanted = self._is_wanted, False
        self._watch()
        if wanted:
            self._loop.call_later(1.0, self._try_again)

    def _try_again(self) -> None:
        self._is_wanted = True
        self._watch()

    def _forget(self, connection: Connection) -> None:
        self.open.discard(connection)
        self._watch()
        self._closed()


class AsyncioBackend(abc.ABC):
    """The life of one asyncio server; a subclass speaks HTTP on its connections."""

    tick = 1.0
    """Seconds between two calls of `on_tick` at most."""
    alpn: tuple[str, ...] = ("http/1.1",)

    def __init__(self, task: Task, shared: bool = False) -> None:
        self.task = task
        self.settings = task.settings
        self.drain = Drain(task.settings.graceful_timeout)
        self.meter = Meter(task, self.stop, shared)
        self.tls = server_context(task.settings, self.alpn)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._acceptor: Acceptor | None = None
        self._jobs: set[asyncio.Task[None]] = set()

    @classmethod  # noqa: B027 - nothing to do is an answer
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def is_leaving(self) -> bool:
        """Whether a response is to say that its connection ends."""
        return self.drain.began or not self.settings.keepalive

    def stop(self) -> None:
        """See the contract."""
        self.drain.begin()
        if self._loop is not None and self._wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it is over already
                self._loop.call_soon_threadsafe(self._wake.set)

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._main(ready))
        finally:
            close_loop(loop)

    @abc.abstractmethod
    async def start(self) -> None:
        """Before the first connection: lifespan and the like."""

    @abc.abstractmethod
    async def take(self, connection: Connection) -> None:
        """Serves a new connection, or begins to."""

    @abc.abstractmethod
    def close_idle(self) -> None:
        """Closes connections without a request. Called again until all are gone."""

    @abc.abstractmethod
    async def end(self) -> None:
        """After the last connection: lifespan and the like."""

    def on_tick(self) -> None:  # noqa: B027 - nothing to do is an answer
        """Called at least every `tick` seconds while there are connections."""

    def beat(self) -> None:
        """A sign of life; the application runs in this loop unless a subclass says otherwise."""
        self.meter.beat()

    def is_busy(self) -> bool:
        """Whether there is work beside open connections."""
        return False

    async def _main(self, ready: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        await self.start()
        acceptor = Acceptor(self.task.sockets, self._take, self._wake.set, self.settings.spawn)
        self._acceptor = acceptor
        acceptor.start()
        ready()
        tick = min(self.tick, heartbeat_period(self.settings) / 2)
        while not self.drain.began:
            self.beat()
            self.on_tick()
            await self._wait(tick)
        acceptor.stop()
        await self._finish(acceptor)

    async def _finish(self, acceptor: Acceptor) -> None:
        while (acceptor.open or self.is_busy()) and not self.drain.is_over():
            self.beat()
            self.on_tick()
            if self.drain.idle_is_over():
                self.close_idle()
            await self._wait(0.1)
        for connection in list(acceptor.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.end(), max(LAST_WORDS, self.drain.remaining()))

    async def _wait(self, seconds: float) -> None:
        assert self._wake is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _take(self, connection: Connection) -> None:
        self.background(self._guard(self.take(connection), connection))

    def background(self, job_to_do: Coroutine[Any, Any, None]) -> None:
        """Runs something beside the loop; asyncio itself keeps no reference to it."""
        job = asyncio.get_running_loop().create_task(job_to_do)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _guard(self, taking: Coroutine[Any, Any, None], connection: Connection) -> None:
        """A connection that fails before there is HTTP on it concerns nobody else."""
        try:
            await taking
        except (OSError, ssl.SSLError) as error:
            LOGGER.debug("connection lost: %s", error)
            connection.close()

    async def connect(
        self, connection: Connection, factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        """Puts a protocol on a connection, with TLS where the settings say so."""
        await asyncio.get_running_loop().connect_accepted_socket(
            factory,
            connection,
            ssl=self.tls,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT if self.tls else None,
        )


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what is left of the application's tasks; waits for no thread of its executor.

    asyncio.Runner would wait for those without a limit.
    """
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=LAST_WORDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
