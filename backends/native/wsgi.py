"""WSGI on the native core: one thread, or several that take turns at leading."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator

from chaussette.backends.waker import Waker
from chaussette.handover import queue_from_environment

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any

LAST_WORDS = 0.2
"""Seconds that a thread has to end once the server is finished."""


class WsgiServer:
    """The core's server, and the threads that run it."""

    def __init__(self, server: Any, threads: int) -> None:
        self._server = server
        self._threads = threads
        self._wake = Waker()

    def stop(self) -> None:
        """Begins the drain; in a signal handler."""
        self._server.stop()

    def serve(self, ready: Callable[[], None]) -> None:
        """Returns when all is done."""
        self._server.open(*(queue_from_environment(os.environ) or ()))
        ready()
        if self._threads > 1:
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
        import threading  # one thread does without

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
            for lane in range(self._threads)
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


@contextlib.contextmanager
def woken_by_signals(waker: Waker) -> Iterator[None]:
    """Lets each signal wake the main thread up, whichever thread it was delivered to."""
    before = signal.set_wakeup_fd(waker.write_end, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
