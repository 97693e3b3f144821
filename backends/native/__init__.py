"""Our own HTTP/1.1 server, in C around the application: see docs/native.md.

This package is the contract's side: it turns settings into numbers, and runs the
threads. What is on the wire is in the extension `_core`, whose parts are one file
per concern; the header core.h tells how they fit together.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task
from chaussette.backends.counting import mount_wsgi
from chaussette.backends.library import library
from chaussette.backends.native.options import options_of
from chaussette.backends.native.template import template_of
from chaussette.backends.waker import Waker
from chaussette.errors import ConfigError
from chaussette.handover import queue_from_environment
from chaussette.settings.server import ServerSettings

LOGGER = logging.getLogger("chaussette")
CORE = "chaussette.backends.native._core"
REQUIREMENT = Requirement(
    CORE,
    "chaussette",
    "it is built with the package where a C compiler and Python's headers are: "
    "apt-get install gcc python3-dev, then pip install --force-reinstall --no-deps chaussette",
)

LAST_WORDS = 0.2
"""Seconds that a thread has to end once the server is finished."""


class NativeBackend:
    """Serves WSGI from an event loop in C that calls the application itself."""

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
        | Can.ACCESS_LOG
        | Can.PROXY_HEADERS
        | Can.PROXY_PROTOCOL
        | Can.LIMITS
        | Can.BODY_LIMIT,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "its driver for ASGI is not written yet",
            Can.TLS: "it speaks no TLS: put a proxy in front",
            Can.MONKEY_PATCH: "its loop is C: nothing of it can be patched",
        },
        notes=(
            "--spawn limits connections: requests are limited by --threads already.",
            "A body is read before the application is called, and a response that its client "
            "reads slowly is kept for it: neither holds a thread.",
        ),
    )

    def __init__(self, task: Task) -> None:
        core: Any = library(CORE, REQUIREMENT.install)
        self._task = task
        self._wake = Waker()
        settings = task.settings
        try:
            self._server = core.Server(
                app=mount_wsgi(task.app.callable, settings.root_path),
                on_error=_tell,
                listeners=[_prepare(each, settings, core.FileWrapper) for each in task.sockets],
                options=options_of(settings),
                slot=task.slot.words,
                lanes=settings.threads,
            )
        except ValueError as error:  # a list or a format that the core compiles
            raise ConfigError(str(error)) from None

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        self._server.stop()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        self._server.open(*(queue_from_environment(os.environ) or ()))
        ready()
        if self._task.settings.threads > 1:
            all_ended = self._run_threads()
        else:
            self._server.run(0)  # <- the backend's main loop, in C: loop.c
            all_ended = True
        if all_ended:
            self._server.close()

    def _run_threads(self) -> bool:
        """Whether all threads have ended; one that hangs in the application has not.

        The main thread stays free for signals, whose handlers run nowhere else.
        """
        errors: list[BaseException] = []
        ended = threading.Semaphore(0)

        def run(lane: int) -> None:
            try:
                self._server.run(lane)
            except BaseException as error:  # noqa: BLE001 - raised in the main thread, below
                errors.append(error)
                self._server.stop()
            ended.release()
            self._wake.wake()

        threads = [
            threading.Thread(target=run, args=(lane,), name=f"native-{lane}", daemon=True)
            for lane in range(self._task.settings.threads)
        ]
        with woken_by_signals(self._wake):
            for thread in threads:
                thread.start()
            while not ended.acquire(blocking=False):
                select.select([self._wake], [], [])
                self._wake.clear()
        for thread in threads:
            thread.join(LAST_WORDS)
        if errors:
            raise errors[0]
        return not any(thread.is_alive() for thread in threads)


def _prepare(
    listener: socket.socket, settings: ServerSettings, file_wrapper: type[Any]
) -> tuple[int, bool, dict[str, Any]]:
    """What the core is told of a listening socket."""
    listener.setblocking(False)
    is_unix = listener.family == socket.AF_UNIX
    if not is_unix:
        # Inherited by each connection; without it an answer in two parts waits 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener.fileno(), is_unix, template_of(listener, settings, file_wrapper)


def _tell(error: BaseException, environ: dict[str, Any] | None) -> None:
    """Called with what the application raised."""
    asked = environ or {}  # which the application may have emptied
    where = f" at {asked.get('REQUEST_METHOD')} {asked.get('RAW_URI')!r}" if asked else ""
    LOGGER.error("the application failed%s", where, exc_info=error)


@contextlib.contextmanager
def woken_by_signals(waker: Waker) -> Iterator[None]:
    """Lets each signal wake the main thread up, whichever thread it was delivered to."""
    before = signal.set_wakeup_fd(waker.write_end, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
