"""The drain of a server whose loop is C and knows no drain: done on its epoll set from outside.

Owns the order: silence the listener, wait for connections to end, close idle
ones after the grace, cut the rest at the deadline. Which connections there are
the kernel tells; the loop itself is stopped by the backend when `step` says so.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from chaussette.backends import descriptors
from chaussette.backends.drain import Drain


class LoopDrain:
    """Ends one C loop that watches a listener. `step` is called now and again."""

    def __init__(self, drain: Drain, listener: socket.socket, is_busy: Callable[[], bool]) -> None:
        self._drain = drain
        self._listener = listener
        self._is_busy = is_busy
        self._epoll: int | None = None

    def begin(self) -> None:
        """The loop accepts no more; the listening socket itself is not touched."""
        for epoll, fd in descriptors.watching(self._listener.fileno()):
            self._epoll = epoll
            descriptors.silence(epoll, fd)

    def is_empty(self) -> bool:
        """Whether no connection is left."""
        left = [] if self._epoll is None else descriptors.connections(self._epoll, self._listener)
        for each in left:
            each.close()
        return not left

    def step(self) -> bool:
        """Does what is due; True when the loop may be stopped."""
        if self._epoll is None:
            return True  # the loop has not begun, or has ended
        left = descriptors.connections(self._epoll, self._listener)
        try:
            if not left and not self._is_busy():
                return True
            if self._drain.is_over():
                _shut(left, socket.SHUT_RDWR)
                return True
            if self._drain.idle_is_over():
                _shut([each for each in left if descriptors.is_idle(each)], socket.SHUT_RD)
            return False
        finally:
            for each in left:
                each.close()


def _shut(connections: list[socket.socket], how: int) -> None:
    """Lets the loop read the end of each, upon which it closes them.

    What came before is still read, and what is being sent still goes out.
    """
    for each in connections:
        with contextlib.suppress(OSError):
            each.shutdown(how)
