"""A client of the control endpoint, in a few blocking calls.

A connection is made without libzmq where somebody listens already, which is twice
as fast as loading it; where nobody does, libzmq waits until somebody does.
"""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any, Protocol

from chaussette.control.curve import Credentials, Handshakes, arm
from chaussette.control.keys import ClientKey
from chaussette.control.protocol import Reply, Request, read_reply, write_request
from chaussette.control.zmtp import Dealer
from chaussette.errors import BadMessage, NotAnswered, WantsKey

DEFAULT_TIMEOUT = 5.0
ENVIRONMENT = "CIRCUSCTL_ENDPOINT"


class _Wire(Protocol):
    """One connection."""

    def send(self, frame: bytes) -> None: ...

    def receive(self, timeout: float) -> bytes | None: ...

    def close(self) -> None: ...


class Client:
    """Sends commands to one arbiter; may be used as a context manager.

    `credentials` are asked for a key where the endpoint wants one; without them,
    it is the one that CIRCUSCTL_CLIENT_KEY names, or the one at the usual place.
    Not safe for use by several threads at a time.
    """

    def __init__(
        self,
        endpoint: str,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: Credentials | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.credentials = credentials or Credentials()
        self.timeout = timeout
        self._wire: _Wire | None = None

    def call(self, command: str, properties: dict[str, Any] | None = None) -> Reply:
        """Sends one command and returns its reply, which may be an error.

        Raises NotAnswered when nobody answers in time.
        """
        return self.exchange(Request(new_id(), command, properties or {}))[0]

    def exchange(self, request: Request) -> tuple[Reply, dict[str, Any]]:
        """The reply to a request, and the message that it came in. Raises as `call`."""
        deadline = time.monotonic() + self.timeout
        try:
            if self._wire is None:
                self._wire = self._connect()
            self._wire.send(write_request(request))
        except OSError:
            self.close()  # the arbiter has gone since the last call; another may come
            self._wire = _ZmqDealer(self.endpoint, self._key())
            self._wire.send(write_request(request))
        try:
            while (left := deadline - time.monotonic()) > 0:
                frame = self._wire.receive(left)
                if frame is None:
                    break
                reply_id, reply, message = read_reply(frame)
                if reply_id == request.id:
                    return reply, message
        except ConnectionError:
            self.close()
            raise NotAnswered(f"{self.endpoint} was closed before it answered") from None
        except BadMessage as error:
            raise NotAnswered(f"{self.endpoint}: {error}") from None
        raise NotAnswered(
            f"no answer from {self.endpoint} within {self.timeout:g}s (timed out); "
            f"is circusd running?{_hint(self.endpoint)}"
        )

    def close(self) -> None:
        """Closes the connection; the next call makes a new one."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _connect(self) -> _Wire:
        if not self.credentials.is_demanded(self.endpoint):
            try:
                return Dealer(self.endpoint, new_id(), self.timeout)
            except WantsKey:
                return _ZmqDealer(self.endpoint, self.credentials.key(self.endpoint))
            except OSError:
                pass  # nobody is there yet
        return _ZmqDealer(self.endpoint, self._key())

    def _key(self) -> ClientKey | None:
        if not self.credentials.is_used(self.endpoint):
            return None
        return self.credentials.key(self.endpoint)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _ZmqDealer:
    """The same with libzmq, which connects when somebody is there."""

    def __init__(self, endpoint: str, key: ClientKey | None) -> None:
        import zmq  # only where it is needed: it takes longer to load than all else

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._handshakes: Handshakes | None = None
        if key is not None:
            arm(self._socket, key)
            self._handshakes = Handshakes(self._socket, endpoint)
            self._poller.register(self._handshakes.monitor, zmq.POLLIN)
        self._socket.setsockopt(zmq.IDENTITY, new_id().encode())
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise NotAnswered(f"endpoint {endpoint!r}: {error.strerror}") from None

    def send(self, frame: bytes) -> None:
        """Queues one message."""
        self._socket.send(frame)

    def receive(self, timeout: float) -> bytes | None:
        """The next message, or None. Raises KeyRefused."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(self._poller.poll(int(left * 1000) + 1))
            if self._socket in ready:
                return bytes(self._socket.recv())
            if self._handshakes is not None:
                self._handshakes.check()
        return None

    def close(self) -> None:
        """Closes all of it."""
        if self._handshakes is not None:
            self._handshakes.close()
        self._socket.close(0)
        self._context.term()


def new_id() -> str:
    """A random name for a request or a connection."""
    return os.urandom(16).hex()


def _hint(endpoint: str) -> str:
    path = endpoint.removeprefix("ipc://")
    if path != endpoint and not os.path.exists(path):
        return f" There is no {path}: give --endpoint, or set {ENVIRONMENT}."
    return ""


def __getattr__(name: str) -> Any:
    """Circus's client classes, by the name that they have in `circus.client`."""
    if name in ("AsyncCircusClient", "CallError", "CircusClient", "make_message"):
        from chaussette.control import circus  # brings asyncio and zmq with it

        return getattr(circus, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
