"""A plugin's two ends: commands to the control endpoint, events from the pubsub endpoint.

ZeroMQ connects again by itself when the arbiter has been started anew.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from chaussette.control.curve import Credentials
from chaussette.control.protocol import Request, read_reply, write_request
from chaussette.errors import BadMessage, NotAnswered

HANDSHAKE = 2.0
"""Seconds to wait for an endpoint before going on without it."""


class Commands:
    """Sends commands to one arbiter and waits for their replies."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, wake_fd: int
    ) -> None:
        self.endpoint = endpoint
        self._wake_fd = wake_fd
        self._socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
        self._socket.setsockopt(zmq.LINGER, 500)
        Credentials().arm(self._socket, endpoint)
        self._socket.connect(endpoint)

    def call(
        self, command: str, properties: dict[str, Any], timeout: float, is_ending: Any
    ) -> dict[str, Any]:
        """The whole reply, as Circus's clients know it: `status`, `time` and the rest.

        Raises NotAnswered when there is none in time, or when the plugin is
        about to end.
        """
        request = Request(uuid.uuid4().hex, command, properties)
        self._socket.send(write_request(request))
        deadline = time.monotonic() + timeout
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_fd, zmq.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left * 1000) + 1))
            if self._socket in ready:
                message = self._take(request.id)
                if message is not None:
                    return message
            if is_ending():
                raise NotAnswered(f"{command}: the plugin is ending")
            if self._wake_fd in ready:
                # Something else is to be done, after this.
                poller.unregister(self._wake_fd)
        raise NotAnswered(f"{command}: no answer from {self.endpoint} within {timeout:g}s")

    def cast(self, command: str, properties: dict[str, Any]) -> None:
        """Sends a command that is not answered."""
        request = Request(uuid.uuid4().hex, command, properties, cast=True)
        self._socket.send(write_request(request))

    def close(self) -> None:
        """Closes the connection; what was cast still goes out, for a short while."""
        self._socket.close()

    def _take(self, wanted: str) -> dict[str, Any] | None:
        try:
            reply_id, _, message = read_reply(self._socket.recv(zmq.NOBLOCK))
        except (zmq.Again, BadMessage):
            return None
        return message if reply_id == wanted else None


class Events:
    """Receives events whose topic begins with one of the texts."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, topics: tuple[str, ...]
    ) -> None:
        self.endpoint = endpoint
        self.socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        Credentials().arm(self.socket, endpoint)
        self.socket.connect(endpoint)
        self.is_connected = bool(monitor.poll(int(HANDSHAKE * 1000)))
        if self.is_connected:
            recv_monitor_message(monitor)
        self.socket.disable_monitor()
        monitor.close()

    def read(self) -> tuple[bytes, bytes] | None:
        """The next event, (topic, message), or None when there is none."""
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return (frames[0], frames[1]) if len(frames) == 2 else (frames[0], b"{}")

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()
