"""Waits for what is published, with a bound, and shows what came when the bound is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import zmq
from arbiter_under_test import BOUND

Message = dict[str, Any]


class Subscriber:
    """Somebody who reads statistics."""

    def __init__(self, address: str, topic: str = "stat.") -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._socket.connect(address)
        self.last: dict[str, Message] = {}

    def read(self, bound: float = BOUND) -> tuple[str, Message]:
        """The next message."""
        assert self._socket.poll(int(bound * 1000)), f"nothing came; so far: {self.last}"
        topic, message = self._socket.recv_multipart()
        self.last[topic.decode()] = json.loads(message)
        return topic.decode(), json.loads(message)

    def wait(
        self, topic: str, fits: Callable[[Message], object] = bool, bound: float = BOUND
    ) -> Message:
        """The next message of a topic that fits."""
        deadline = time.monotonic() + bound
        while (left := deadline - time.monotonic()) > 0:
            found, message = self.read(left)
            if found == topic and fits(message):
                return message
        raise AssertionError(f"waited for {topic}; last of each: {self.last}")

    def close(self) -> None:
        self._socket.close()
        self._context.term()
