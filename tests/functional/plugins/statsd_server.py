"""A statsd server for tests."""

from __future__ import annotations

import select
import socket
import time

from arbiter_under_test import BOUND


class Statsd:
    """A statsd server: everything that comes, by name."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.seen: list[str] = []

    def wait(self, start: str, bound: float = BOUND) -> str:
        """The next value that begins so."""
        deadline = time.monotonic() + bound
        while True:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._socket], [], [], left)[0], f"no {start} in {self.seen}"
            line = self._socket.recv(2048).decode()
            self.seen.append(line)
            if line.startswith(start):
                return line

    def close(self) -> None:
        self._socket.close()
