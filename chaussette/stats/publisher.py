"""Publishes statistics over ZeroMQ, and knows whether anybody wants them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import zmq

from chaussette.errors import SocketError

HIGH_WATER_MARK = 10_000
"""Messages that are kept for one subscriber; what it does not fetch is dropped for it."""
_SUBSCRIBED = 1
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class StatsPublisher:
    """One XPUB socket: to subscribers a PUB, but it hears them come and go."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self.address = address
        self.socket: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        self._topics: set[bytes] = set()
        before = os.umask(0o077)
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise SocketError(f"stats_endpoint {address}: {error.strerror}") from None
        finally:
            os.umask(before)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody has subscribed."""
        return bool(self._topics)

    def read(self) -> None:
        """Hears who has come and who has gone."""
        with contextlib.suppress(zmq.Again):
            while True:
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
            for frames in ready:
                self.socket.send_multipart(frames, zmq.NOBLOCK)

    def close(self) -> None:
        """Closes the socket."""
        self.socket.close(0)
