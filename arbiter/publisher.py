"""Publishes events over ZeroMQ, with Circus's topics and payloads.

Two frames: `watcher.NAME.EVENT` (the name in lower case, spaces as `_`), and
JSON. A subscriber that is slow or gone never holds the loop up: what it does
not fetch is dropped for it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping

import zmq

from chaussette.control.doors import Doors
from chaussette.errors import SocketError

HIGH_WATER_MARK = 10_000
"""Events that are kept for one subscriber."""


class Publisher:
    """One PUB socket."""

    def __init__(self, address: str, doors: Doors) -> None:
        self.address = address
        self._doors = doors
        self._socket = self._open()

    def renew(self) -> None:
        """Ends all connections, so that only who is let in now comes back.

        libzmq cannot end a single one. Raises SocketError while the address is
        still being let go of; nobody hears anything until it is called again.
        """
        self._socket.close(0)
        self._socket = self._open()

    def _open(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._doors.context.socket(zmq.PUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        try:
            self._doors.bind(socket, self.address, "pubsub_endpoint")
        except SocketError:
            socket.close(0)
            raise
        return socket

    def publish(self, watcher: str, event: str, fields: Mapping[str, object]) -> None:
        """Sends one event of a watcher."""
        topic = f"watcher.{watcher.lower().replace(' ', '_')}.{event}"
        message = json.dumps({"time": time.time(), **fields}, default=str)
        if self._socket.closed:
            return
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart([topic.encode(), message.encode()], zmq.NOBLOCK)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close(0)
