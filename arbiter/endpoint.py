"""The control endpoint: a ZeroMQ ROUTER whose descriptor the loop watches.

It turns frames into requests, has commands executed, and sends their replies
when they come. Nothing that a client sends may harm the loop.
"""

from __future__ import annotations

import contextlib
import logging
import time

import zmq

from chaussette.arbiter.loop import Loop
from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control import tail as _tail  # noqa: F401 - likewise
from chaussette.control.api import Answer, Control
from chaussette.control.command import find, run
from chaussette.control.doors import Doors
from chaussette.control.levels import Level
from chaussette.control.protocol import (
    MAX_MESSAGE,
    Reply,
    Request,
    error_reply,
    read_request,
    write_reply,
)
from chaussette.errors import BadMessage, ChaussetteError, ControlError, NotAllowed, SocketError

log = logging.getLogger("chaussette.arbiter.control")
LINGER_MS = 500
MAX_ENVELOPE = 8
MOST_QUEUED = 64
"""Messages that are taken from one client ahead of their turn; the rest waits with the client."""
MOST_UNREAD = 1000
"""Replies that are kept for a client that does not read; further ones are dropped."""


class Endpoint:
    """Listens on one address and answers."""

    def __init__(self, address: str, loop: Loop, control: Control, doors: Doors) -> None:
        self.address = address
        self._loop = loop
        self._control = control
        self._guard = doors.guard if doors.asks_for_key(address) else None
        self._socket: zmq.Socket[bytes] = doors.context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.setsockopt(zmq.RCVHWM, MOST_QUEUED)
        self._socket.setsockopt(zmq.SNDHWM, MOST_UNREAD)
        try:
            doors.bind(self._socket, address, "endpoint")
        except SocketError:
            self._socket.close(0)
            raise
        self._fd = int(self._socket.getsockopt(zmq.FD))
        loop.watch(self._fd, self._readable, urgent=True)
        # A message may have come before the descriptor was watched.
        loop.next(self._readable)

    def close(self) -> None:
        """Sends what is queued, for a short while, and closes."""
        self._loop.forget(self._fd)
        self._socket.close()

    def _readable(self) -> None:
        """The descriptor is edge-triggered (zmq_getsockopt(3)): read until nothing is left."""
        while True:
            try:
                frames, key = self._receive()
            except zmq.Again:
                return
            if len(frames) >= 2:
                # Also when this one fails, the next must be looked at.
                self._loop.next(self._readable)
                # A REQ socket puts an empty frame in between; it gets it back.
                self._serve(frames[:-1], frames[-1], key)
                return

    def _receive(self) -> tuple[list[bytes], str]:
        """A message, and the public key of who has sent it. Raises zmq.Again."""
        if self._guard is None:
            return self._socket.recv_multipart(zmq.NOBLOCK), ""
        frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        # What the guard has answered to libzmq for this connection (zmq_msg_gets(3)).
        return [frame.bytes for frame in frames], str(frames[-1].get("User-Id"))

    def _serve(self, envelope: list[bytes], frame: bytes, key: str) -> None:
        request = Request("", "")
        answered = False

        def answer(reply: Reply) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._reply(envelope, request, reply)

        reason = "internal error; the arbiter's log has it"
        try:
            if len(envelope) > MAX_ENVELOPE:
                count, envelope = len(envelope) + 1, envelope[:1]
                raise BadMessage(f"a message of {count} frames; a command is one")
            request = read_request(frame)
            self._execute(request, answer, key)
            reason = ""
        except ControlError as error:
            answer(error_reply(error))
        except (ChaussetteError, OSError) as error:
            answer(Reply(False, reason=str(error), errno=4 if isinstance(error, OSError) else 5))
        finally:
            if reason:  # what is none of these goes on to the loop, which logs it
                answer(Reply(False, reason=reason, errno=5))

    def _execute(self, request: Request, answer: Answer, key: str) -> None:
        command = find(request.command)
        who = ""
        if self._guard is not None:
            client = self._guard.client(key)
            needed = command.level_of(request.properties)
            who = f" by {client.name}"
            if client.level < needed:
                log.warning("client %s (%s) asked for %s", client.name, client.level, command.name)
                raise NotAllowed(_too_low(command.name, needed, client.name, client.level))
        if command.changes:
            if self._control.is_stopping() and command.name != "quit":
                raise ControlError("the arbiter is stopping")
            log.info("command %s %.80r%s", command.name, request.properties.get("name", ""), who)
        run(self._control, request, answer)

    def _reply(self, envelope: list[bytes], request: Request, reply: Reply) -> None:
        if request.cast:
            return
        frame = write_reply(request.id, reply, time.time())
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([*envelope, frame], zmq.NOBLOCK)
        # Sending may have consumed the edge that announced the next request.
        self._loop.next(self._readable)


def _too_low(command: str, needed: Level, client: str, level: Level) -> str:
    what = f"what `{command}` is asked here" if command == "set" else f"`{command}`"
    return f"{what} needs a key of class {needed}; {client!r} has class {level}"
