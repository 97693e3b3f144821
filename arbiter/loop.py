"""The event loop: the one place where the arbiter waits.

It owns the descriptors that are waited for, the timers and the wake-up socket of
signals. It knows no process and no policy: whoever wants to be called registers
a callable. An idle loop sleeps until a descriptor is ready or the next deadline has come, so an
arbiter with nothing to do makes no wake-ups.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import FrameType

log = logging.getLogger("chaussette.arbiter")
Callback = Callable[[], None]
EVENTS = 16
"""Descriptors that are looked at in one round; what is urgent is looked at in each. The kernel
begins with the others the next time (epoll_wait(2))."""
SLICE = 0.01
"""Seconds of a round for what is to be done soon; the rest is done in the next one."""
TURN = 0.005
"""Seconds of a round after which what is urgent is looked at again, before the others go on."""
LONGEST_WAIT = 24 * 3600.0
"""Seconds; epoll_wait(2) counts milliseconds in an int, which is not quite 25 days."""


class Timer:
    """One deadline; `cancel` may be called at any time, also after it has fired."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callback) -> None:
        self.when = when
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Makes sure that the callback is not called any more."""
        self.callback = None


class Loop:
    """Descriptors, deadlines, signals and things to do soon, in one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._urgent = select.epoll()
        self._epoll.register(self._urgent, select.EPOLLIN)
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._soon: deque[Callback] = deque()
        self._next: deque[Callback] = deque()
        self._running = False
        self._signals: dict[int, Callable[[int], None]] = {}
        self._before: dict[
            int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None
        ] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self.watch(self._wake_in.fileno(), self._drain_wakeups, urgent=True)

    # -- what to wait for ---------------------------------------------------

    def watch(self, fd: int, callback: Callback, *, urgent: bool = False) -> None:
        """Calls back whenever `fd` is readable, until `forget(fd)`.

        What is urgent (signals, clients) does not wait for a thousand others that
        are ready. Raises FileExistsError where `fd` is watched already.
        """
        (self._urgent if urgent else self._epoll).register(fd, select.EPOLLIN)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Ends `watch`; a descriptor that is not watched is no error."""
        if self._callbacks.pop(fd, None) is not None:
            for epoll in (self._epoll, self._urgent):
                with contextlib.suppress(OSError):  # not there, or closed, which ends it, too
                    epoll.unregister(fd)

    def at(self, when: float, callback: Callback) -> Timer:
        """Calls back once the clock has reached `when`."""
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def after(self, delay: float, callback: Callback) -> Timer:
        """Calls back in `delay` seconds."""
        return self.at(self.clock() + delay, callback)

    def soon(self, callback: Callback) -> None:
        """Calls back after what is ready now has been looked at."""
        self._soon.append(callback)

    def next(self, callback: Callback) -> None:
        """The same, ahead of all that `soon` has collected: for what clients wait for."""
        self._next.append(callback)

    def wake(self) -> None:
        """Ends the wait; the only method that other threads may call."""
        with contextlib.suppress(BlockingIOError):
            self._wake_out.send(b"\0")

    def on_signal(self, number: int, callback: Callable[[int], None]) -> None:
        """Calls back in the loop, never in the middle of other work (signal(7))."""
        if not self._signals:
            signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        self._signals[number] = callback
        self._before.setdefault(number, signal.signal(number, _noted))

    # -- running ------------------------------------------------------------

    def run(self) -> None:
        """Runs until `stop`."""
        self._running = True
        while self._running:
            others = self._epoll.poll(self._wait_time(), EVENTS)  # <- the arbiter's main loop
            known = [(fd, self._callbacks.get(fd)) for fd, _ in others]
            self._run_urgent()
            until = self.clock() + TURN
            for fd, callback in known:
                # One callback may have ended what another event is about.
                if callback is not None and self._callbacks.get(fd) is callback:
                    self._call(callback)
                    if self.clock() >= until:
                        self._run_urgent()
                        until = self.clock() + TURN
            self._run_timers()
            self._run_soon()

    def stop(self) -> None:
        """Makes `run` return once the current round is over."""
        self._running = False

    def close(self) -> None:
        """Gives back descriptors and signal handlers."""
        if self._signals:
            signal.set_wakeup_fd(-1)
            for number, handler in self._before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._callbacks.clear()
        self._epoll.close()
        self._urgent.close()
        self._wake_in.close()
        self._wake_out.close()

    # -- details ------------------------------------------------------------

    def _wait_time(self) -> float | None:
        if self._soon or self._next:
            return 0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return min(max(0.0, self._timers[0][0] - self.clock()), LONGEST_WAIT)

    def _run_urgent(self) -> None:
        ready = [(fd, self._callbacks.get(fd)) for fd, _ in self._urgent.poll(0)]
        for fd, callback in ready:
            if callback is not None and self._callbacks.get(fd) is callback:
                self._call(callback)

    def _run_timers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                self._call(callback)

    def _run_soon(self) -> None:
        for _ in range(len(self._next)):
            self._call(self._next.popleft())
        until = self.clock() + SLICE
        for _ in range(len(self._soon)):
            self._call(self._soon.popleft())
            if self.clock() >= until:
                return

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            # The wall of the main loop: one failing callback is logged and must
            # not take the arbiter, and with it every service, down.
            log.exception("internal error; please report it")

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._wake_in.recv(4096):
                if number in self._signals:
                    self._call(partial(self._signals[number], number))


def _noted(number: int, frame: FrameType | None) -> None:
    """A Python handler must exist for the wake-up descriptor to be written to."""
