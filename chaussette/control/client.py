"""A client of the control endpoint, over ZeroMQ, in a few blocking calls."""

from __future__ import annotations

import os
import uuid
from types import TracebackType
from typing import Any

import zmq

from chaussette.control.protocol import Reply, Request, read_reply, write_request
from chaussette.errors import NotAnswered

DEFAULT_TIMEOUT = 5.0
ENVIRONMENT = "CIRCUSCTL_ENDPOINT"


class Client:
    """Sends commands to one arbiter; may be used as a context manager.

    Not safe for use by several threads at a time.
    """

    def __init__(self, endpoint: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def call(self, command: str, properties: dict[str, Any] | None = None) -> Reply:
        """Sends one command and returns its reply, which may be an error.

        Raises NotAnswered when nobody answers in time.
        """
        request = Request(uuid.uuid4().hex, command, properties or {})
        self._socket.send(write_request(request))
        waiting_for = request.id
        remaining = int(self.timeout * 1000)
        while self._socket.poll(remaining, zmq.POLLIN):
            reply_id, reply, _ = read_reply(self._socket.recv())
            if reply_id == waiting_for:
                return reply
        raise NotAnswered(
            f"no answer from {self.endpoint} within {self.timeout:g}s; is circusd running?"
            + _hint(self.endpoint)
        )

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _hint(endpoint: str) -> str:
    path = endpoint.removeprefix("ipc://")
    if path != endpoint and not os.path.exists(path):
        return f" There is no {path}: give --endpoint, or set {ENVIRONMENT}."
    return ""
