"""Publishes statistics over ZeroMQ, and knows whether anybody wants them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import zmq

from chaussette.control.doors import Doors
from chaussette.errors import SocketError

HIGH_WATER_MARK = 10_000
"""Messages that are kept for one subscriber; what it does not fetch is dropped for it."""
_SUBSCRIBED = 1
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class StatsPublisher:
    """One XPUB socket: to subscribers a PUB, but it hears them come and go."""

    def __init__(self, doors: Doors, address: str) -> None:
        self.address = address
        self._doors = doors
        self._topics: set[bytes] = set()
        self.socket = self._open()

    def renew(self) -> None:
        """Ends all connections, so that only who is let in now comes back.

        Raises SocketError while the address is still being let go of; then nobody
        hears anything until it has been called again.
        """
        self.close()
        self.socket = self._open()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody has subscribed."""
        return bool(self._topics)

    def read(self) -> None:
        """Hears who has come and who has gone."""
        with contextlib.suppress(zmq.Again):
            while not self.socket.closed:
                frame = self.socket.recv(zmq.NOBLOCK)
                if frame[:1] == bytes([_SUBSCRIBED]):
                    self._topics.add(frame[1:])
                else:
                    self._topics.discard(frame[1:])

    def publish(self, messages: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Sends messages of two frames: the topic, and JSON.

        They are sent in one go: one by one, each would wake ZeroMQ's thread.
        """
        ready = [(topic.encode(), _encode(message).encode()) for topic, message in messages]
        with contextlib.suppress(zmq.Again):
            for frames in ready if not self.socket.closed else ():
                self.socket.send_multipart(frames, zmq.NOBLOCK)

    def close(self) -> None:
        """Closes the socket."""
        self.socket.close(0)
        self._topics.clear()

    def _open(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._doors.context.socket(zmq.XPUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        try:
            self._doors.bind(socket, self.address, "stats_endpoint")
        except SocketError:
            socket.close(0)
            raise
        return socket
