"""bjoern: a WSGI server whose loop is libev in C, stopped and drained from outside.

bjoern runs Python's signal handlers ten times a second, so stop() arrives. It
has no other way in: the heart beats in a signal handler of its own, and the
drain works on its epoll set (see `cloop`). Only SIGINT ends its loop, and it
does so when no connection is left.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from chaussette.backends.base import Can, Declaration, Requirement, Task, heartbeat_period
from chaussette.backends.cloop import LoopDrain
from chaussette.backends.counting import Meter, WsgiApp, count_wsgi, mount_wsgi
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.backends.repairs import (
    Headers,
    add_date,
    add_headers,
    allow_write,
    mute_head,
    name_server,
)
from chaussette.backends.waker import Waker
from chaussette.errors import BackendUnavailable
from chaussette.settings.server import ServerSettings

REQUIREMENT = Requirement(
    "bjoern",
    "bjoern",
    "apt-get install libev-dev (or libev-devel), then pip install 'chaussette[bjoern]'",
)
KNOCK = signal.SIGURG
"""Ignored by default, and hardly used: the knock on the door of bjoern's loop."""


class BjoernBackend:
    """Serves WSGI from a C loop that calls the application itself: one request at a time."""

    declaration = Declaration(
        can=Can.WSGI | Can.TCP | Can.UNIX_SOCKET | Can.GRACEFUL | Can.KEEPALIVE | Can.STREAMING,
        requirement=REQUIREMENT,
        limits={
            Can.ASGI: "bjoern serves WSGI only",
            Can.THREADS: "its loop calls the application itself",
            Can.MANY_SOCKETS: "its loop watches one listening socket",
            Can.KEEPALIVE_TIMEOUT: "it has no timeouts: put a proxy in front",
            Can.CHUNKED_REQUEST: "it refuses bodies without Content-Length",
            Can.SPAWN_LIMIT: "its loop takes every connection",
            Can.TLS: "bjoern speaks no TLS: put a proxy in front",
        },
        notes=(
            "Two headers of one name are joined without a comma.",
            "Request bodies are kept in memory, without a limit.",
            "During a drain it says `Connection: close` beside its own `Keep-Alive`; a client that "
            "stays busy on its connection all the same is cut off after the graceful timeout.",
            "SIGURG is used inside the worker.",
            "REMOTE_ADDR is empty on IPv6 and unix sockets.",
        ),
    )

    def __init__(self, task: Task) -> None:
        library("bjoern", REQUIREMENT.install)
        self._bjoern = library("_bjoern", REQUIREMENT.install)
        features = self._bjoern.features
        if not (features["has_signal_handling"] and features["has_sigint_handling"]):
            raise BackendUnavailable(
                "bjoern was built without signal handling, so it could not be stopped: "
                f"{REQUIREMENT.install}"
            )
        self._task = task
        self._drain = Drain(task.settings.graceful_timeout)
        self._meter = Meter(task, self.stop)
        self._listener = task.sockets[0]
        self._copy = self._listener.dup()
        self._copy.setblocking(False)
        self._ending = LoopDrain(self._drain, self._listener, self._meter.is_busy)
        self._app = self._wrap()
        self._waker = Waker()
        self._is_over = False
        self._home: FrameType | None = None
        self._interrupt: Interrupt | None = None

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Nothing is patched."""

    def stop(self) -> None:
        """See the contract."""
        if self._drain.begin():
            self._ending.begin()
        self._waker.wake()

    def serve(self, ready: Callable[[], None]) -> None:
        """See the contract."""
        old_knock = signal.signal(KNOCK, self._knocked)
        old_interrupt = signal.signal(signal.SIGINT, _ignore)  # bjoern raises it when it ends
        self._interrupt = Interrupt(old_interrupt)
        signal.siginterrupt(KNOCK, False)  # the application's system calls go on
        knocker = threading.Thread(target=self._knock_again_and_again, daemon=True)
        knocker.start()
        try:
            if not self._drain.began:
                ready()
                self._run()
        finally:
            self._is_over = True
            self._waker.wake()
            knocker.join()
            self._waker.close()
            signal.signal(KNOCK, old_knock)
            signal.signal(signal.SIGINT, old_interrupt)
            self._copy.close()

    def _run(self) -> None:
        self._home = inspect.currentframe()
        try:
            self._bjoern.server_run(self._copy, self._app)  # <- the backend's main loop, in C
        finally:
            self._home = None

    def _knock_again_and_again(self) -> None:
        """The clock that bjoern lacks: runs `_knocked` in the main thread."""
        main = threading.main_thread().ident
        assert main is not None
        period = heartbeat_period(self._task.settings) / 2
        while not self._is_over:
            signal.pthread_kill(main, KNOCK)
            is_calm = not self._drain.began and self._interrupt and self._interrupt.is_taken
            select.select([self._waker], [], [], period if is_calm else 0.1)
            self._waker.clear()

    def _knocked(self, _number: int, frame: FrameType | None) -> None:
        """Runs between two turns of bjoern's loop, or inside the application.

        Only the first is a sign of life: then the interrupted frame is the one
        that called bjoern, and not the application's.
        """
        if frame is not self._home or self._interrupt is None:
            return
        self._interrupt.take()
        self._meter.beat()
        if self._drain.began and self._ending.step():
            self._interrupt.give_back(_ignore)
            os.kill(os.getpid(), signal.SIGINT)  # bjoern's loop ends; it raises SIGINT once more

    def _wrap(self) -> WsgiApp:
        app = count_wsgi(self._task.app.callable, self._meter)
        app = mount_wsgi(app, self._task.settings.root_path)
        app = mute_head(allow_write(app), needs_length=True)
        app = add_headers(add_date(app), self._announce)
        return name_server(app, self._listener)

    def _announce(self, _headers: Headers) -> Headers:
        return [("Connection", "close")] if self._drain.began else []


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """For the SIGINT that bjoern raises when its loop has ended."""


class Interrupt:
    """Who gets SIGINT while bjoern runs: the worker's handler, and at the end bjoern's.

    bjoern sets a handler in C, which Python's signal module cannot save and put
    back; so that is left to sigaction(2).
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self._libc = ctypes.CDLL(None)
        self._theirs = ctypes.create_string_buffer(512)  # struct sigaction, with room to spare
        self.is_taken = False

    def take(self) -> None:
        """Once bjoern's loop runs, ^C is for the worker again."""
        if not self.is_taken:
            self.is_taken = True
            self._libc.sigaction(signal.SIGINT, None, self._theirs)
            signal.signal(signal.SIGINT, self._handler)

    def give_back(self, handler: Any) -> None:
        """The next SIGINT is bjoern's; what Python sees of it goes to `handler`."""
        signal.signal(signal.SIGINT, handler)
        self._libc.sigaction(signal.SIGINT, self._theirs, None)
