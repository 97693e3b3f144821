"""A plugin's event loop: ZeroMQ sockets, descriptors, deadlines and signals.

One thread, one blocking call. A callback that raises is logged and called again
the next time; it does not end the plugin.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import zmq

from chaussette.errors import NotAnswered

log = logging.getLogger("chaussette.plugin")
Callback = Callable[[], object]
Watched = int | zmq.Socket[bytes]
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Timer:
    """One deadline; `cancel` may be called at any time."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Makes sure that the callback is not called any more."""
        self.callback = None


class Period:
    """Calls back every so many seconds, while it is started.

    The next call is counted from the start of the last one; calls that were
    missed meanwhile are one call.
    """

    def __init__(self, loop: PluginLoop, callback: Callback, seconds: float) -> None:
        self._loop = loop
        self._callback = callback
        self._seconds = seconds
        self._timer: Timer | None = None

    def start(self) -> None:
        """Has the first call made after one period."""
        if self._timer is None:
            self._timer = self._loop.after(self._seconds, self._tick)

    def stop(self) -> None:
        """Ends the calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._loop.after(self._seconds, self._tick)
        self._callback()


class PluginLoop:
    """What a plugin waits for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.stopping = False
        self._poller = zmq.Poller()
        self._callbacks: dict[Any, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._soon: deque[Callback] = deque()
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, Any] = {}
        self.watch(self._wake_in, self._drain)

    @property
    def wake_fd(self) -> int:
        """Readable when the loop is to end or has something to do."""
        return self._wake_in

    # -- what to wait for ---------------------------------------------------

    def watch(self, what: Watched, callback: Callback) -> None:
        """Calls back whenever a descriptor or ZeroMQ socket is readable."""
        self._poller.register(what, zmq.POLLIN)
        self._callbacks[what] = callback

    def forget(self, what: Watched) -> None:
        """Ends `watch`."""
        if self._callbacks.pop(what, None) is not None:
            self._poller.unregister(what)

    def after(self, delay: float, callback: Callback) -> Timer:
        """Calls back in `delay` seconds."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.clock() + delay, next(self._order), timer))
        return timer

    def add_callback(self, callback: Callable[..., object], *args: Any) -> None:
        """Calls back soon; may be called from any thread."""
        self._soon.append(lambda: callback(*args))
        self._wake()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """`after`, by tornado's name."""
        return self.after(delay, lambda: callback(*args))

    def catch_signals(self) -> None:
        """Ends the loop at SIGTERM, SIGINT and SIGQUIT, where signals can be caught."""
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                self._before[number] = signal.signal(number, self._signalled)

    # -- running --------------------------------------------------------------

    def run(self) -> None:
        """Runs until `stop`."""
        while not self.stopping:
            for what, _ in self._poller.poll(self._wait_ms()):  # <- the plugin's main loop
                if callback := self._callbacks.get(what):
                    self._call(callback)
            self._run_timers()
            for _ in range(len(self._soon)):
                self._call(self._soon.popleft())

    def stop(self) -> None:
        """Makes `run` return; may be called from any thread and from a signal handler."""
        self.stopping = True
        self._wake()

    def close(self) -> None:
        """Gives back descriptors and signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(self._wake_in)
        os.close(self._wake_out)

    # -- details ----------------------------------------------------------------

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.stop()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"\0")

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_in, 4096)

    def _wait_ms(self) -> int | None:
        if self._soon:
            return 0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        left = max(0.0, self._timers[0][0] - self.clock())
        # Rounded up: waking before the deadline would mean waking twice.
        return min(int(left * 1000) + 1, 24 * 3600 * 1000)

    def _run_timers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                self._call(callback)

    def _call(self, callback: Callback) -> None:
        if self.stopping:
            return
        try:
            callback()
        except NotAnswered as error:
            log.warning("%s", error)
        except Exception:
            # The wall of a plugin's calls: the traceback goes to the log, and
            # the plugin goes on with the next event.
            log.exception("a callback has failed")


def PeriodicCallback(callback: Callback, milliseconds: float, loop: PluginLoop) -> Period:
    """tornado's `ioloop.PeriodicCallback`, for plugins that were written for it."""
    return Period(loop, callback, milliseconds / 1000)
