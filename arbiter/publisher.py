"""Publishes events over ZeroMQ, with Circus's topics and payloads.

Two frames: `watcher.NAME.EVENT` (the name in lower case, spaces as `_`), and
JSON. A subscriber that is slow or gone never holds the loop up: what it does
not fetch is dropped for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping

import zmq

from chaussette.errors import SocketError

HIGH_WATER_MARK = 10_000
"""Events that are kept for one subscriber."""


class Publisher:
    """One PUB socket in somebody's context."""

    def __init__(self, address: str, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.address = address
        self._socket: zmq.Socket[bytes] = context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        before = os.umask(0o077)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise SocketError(f"pubsub_endpoint {address}: {error.strerror}") from None
        finally:
            os.umask(before)

    def publish(self, watcher: str, event: str, fields: Mapping[str, object]) -> None:
        """Sends one event of a watcher."""
        topic = f"watcher.{watcher.lower().replace(' ', '_')}.{event}"
        message = json.dumps({"time": time.time(), **fields}, default=str)
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart([topic.encode(), message.encode()], zmq.NOBLOCK)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close(0)
