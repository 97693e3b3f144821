"""The control endpoint: a ZeroMQ ROUTER whose descriptor the loop watches.

It turns frames into requests, has commands executed, and sends their replies
when they come. Nothing that a client sends may harm the loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time

import zmq

from chaussette.arbiter.loop import Loop
from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control import tail as _tail  # noqa: F401 - likewise
from chaussette.control.api import Answer, Control
from chaussette.control.command import find, run
from chaussette.control.protocol import (
    MAX_MESSAGE,
    Reply,
    Request,
    error_reply,
    read_request,
    write_reply,
)
from chaussette.errors import ChaussetteError, ControlError, SocketError

log = logging.getLogger("chaussette.arbiter.control")
LINGER_MS = 500
MAX_ENVELOPE = 8


class Endpoint:
    """Listens on one address and answers."""

    def __init__(self, address: str, loop: Loop, control: Control) -> None:
        self.address = address
        self._loop = loop
        self._control = control
        self.context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._bind()
        self._fd = int(self._socket.getsockopt(zmq.FD))
        loop.watch(self._fd, self._readable, urgent=True)
        # A message may have come before the descriptor was watched.
        loop.next(self._readable)

    def close(self) -> None:
        """Sends what is queued, for a short while, and closes."""
        self._loop.forget(self._fd)
        self._socket.close()
        self.context.term()

    def _bind(self) -> None:
        before = os.umask(0o077)
        try:
            self._socket.bind(self.address)
        except zmq.ZMQError as error:
            self._socket.close(0)
            self.context.term()
            raise SocketError(f"endpoint {self.address}: {error.strerror}") from None
        finally:
            os.umask(before)

    def _readable(self) -> None:
        """The descriptor is edge-triggered (zmq_getsockopt(3)): read until nothing is left."""
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) >= 2:
                # Also when this one fails, the next must be looked at.
                self._loop.next(self._readable)
                # A REQ socket puts an empty frame in between; it gets it back.
                self._serve(frames[:-1][:MAX_ENVELOPE], frames[-1])
                return

    def _serve(self, envelope: list[bytes], frame: bytes) -> None:
        request = Request("", "")
        answered = False

        def answer(reply: Reply) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._reply(envelope, request, reply)

        reason = "internal error; the arbiter's log has it"
        try:
            request = read_request(frame)
            self._execute(request, answer)
            reason = ""
        except ControlError as error:
            answer(error_reply(error))
        except (ChaussetteError, OSError) as error:
            answer(Reply(False, reason=str(error), errno=4 if isinstance(error, OSError) else 5))
        finally:
            if reason:  # what is none of these goes on to the loop, which logs it
                answer(Reply(False, reason=reason, errno=5))

    def _execute(self, request: Request, answer: Answer) -> None:
        command = find(request.command)
        if command.changes:
            if self._control.is_stopping() and command.name != "quit":
                raise ControlError("the arbiter is stopping")
            log.info("command %s %.80r", request.command, request.properties.get("name", ""))
        run(self._control, request, answer)

    def _reply(self, envelope: list[bytes], request: Request, reply: Reply) -> None:
        if request.cast:
            return
        frame = write_reply(request.id, reply, time.time())
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([*envelope, frame], zmq.NOBLOCK)
        # Sending may have consumed the edge that announced the next request.
        self._loop.next(self._readable)
