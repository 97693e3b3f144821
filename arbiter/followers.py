"""Live output over ZeroMQ: an XPUB socket, opened for the first who follows.

A socket of its own, in the runtime directory unless `output_endpoint` says otherwise:
output can hold secrets, so it does not go where events go by itself; and a follower that
does not read may cost a few messages of memory, not ten thousand. XPUB says who has
subscribed to what, so nothing is sent that nobody wants.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

import zmq

from chaussette.arbiter.loop import Loop
from chaussette.arbiter.tail import TailTable
from chaussette.control.doors import Doors
from chaussette.errors import SocketError

HIGH_WATER_MARK = 64
"""Messages that are kept for one follower, of at most 32 KB each."""
LONGEST_TOPIC = 256


class Followers:
    """One XPUB socket, once somebody asks for it."""

    def __init__(self, address: str, doors: Doors, loop: Loop, tail: TailTable) -> None:
        self.address = address
        self._doors = doors
        self._loop = loop
        self._tail = tail
        self._topics: set[bytes] = set()
        self._socket: zmq.Socket[bytes] | None = None
        self._fd = -1

    # -- what the command `tail` asks (control/tail.py) ---------------------------

    def last_lines(
        self, names: list[str], count: int, stream: str, pid: int | None
    ) -> list[dict[str, object]]:
        """The last lines of each stream of the watchers' processes."""
        return [line.as_fields() for line in self._tail.lines(names, count, stream, pid)]

    def offsets(self, names: list[str], stream: str, pid: int | None) -> dict[str, int]:
        """How far each stream has come."""
        return self._tail.offsets(names, stream, pid)

    def follow(self, token: str) -> tuple[str, bool]:
        """Where live output is published, and whether who has the token listens there."""
        return self.open(), self.has(f"follower.{token}")

    # -- the socket ---------------------------------------------------------------

    def open(self) -> str:
        """Binds the socket, once; returns its address."""
        if self._socket is None:
            self._socket = self._doors.context.socket(zmq.XPUB)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
            try:
                self._doors.bind(self._socket, self.address, "output_endpoint")
            except SocketError:
                self._socket.close(0)
                self._socket = None
                raise
            self._fd = int(self._socket.getsockopt(zmq.FD))
            self._loop.watch(self._fd, self._readable)
        return self.address

    def has(self, topic: str) -> bool:
        """Whether somebody has subscribed to exactly this, and so to all that he named before."""
        self._readable()
        return topic.encode() in self._topics

    def close(self) -> None:
        """Closes the socket; it is opened again for the next who asks."""
        self._topics.clear()
        if self._socket is not None:
            self._loop.forget(self._fd)
            self._socket.close(0)
            self._socket = None

    def _readable(self) -> None:
        """The descriptor is edge-triggered (zmq_getsockopt(3)): read until nothing is left."""
        changed = False
        while self._socket is not None:
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            topic = message[1:]
            if message[:1] == b"\1" and len(topic) <= LONGEST_TOPIC:
                self._topics.add(topic)
                changed = True
            elif message[:1] == b"\0":
                self._topics.discard(topic)
                changed = True
        if changed:
            self._tail.follow((one for one in self._topics if _is_output(one)), self._send)

    def _send(self, topic: bytes, fields: Mapping[str, object]) -> None:
        if self._socket is not None:
            with contextlib.suppress(zmq.Again):
                self._socket.send_multipart([topic, json.dumps(fields).encode()], zmq.NOBLOCK)
            # Sending may have consumed the edge that announced a subscription.
            self._loop.soon(self._readable)


def _is_output(topic: bytes) -> bool:
    return topic.startswith(b"output.") or b"output.".startswith(topic)
