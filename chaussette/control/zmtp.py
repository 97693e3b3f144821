"""One connection to a ZeroMQ endpoint without libzmq: enough for a question and its reply.

Loading libzmq takes longer than all else that `circusctl status` does. This speaks
ZMTP 3.0 (rfc.zeromq.org/spec/23) as a DEALER, by the NULL mechanism, over a
stream socket; nothing else. Where it cannot connect, zmq is there to wait, and
where the other side asks for a key (CURVE), zmq has the cryptography.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from chaussette.errors import ControlError, WantsKey

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_SIGNATURE = 12
"""Bytes of a greeting up to the mechanism: who knows the version sends its own."""
_MORE, _LONG, _COMMAND = 1, 2, 4
MAX_FRAME = 2**28


class Dealer:
    """A connected DEALER.

    Its constructor raises OSError where nobody listens, WantsKey where a key is asked for.
    """

    def __init__(self, endpoint: str, identity: str, timeout: float) -> None:
        self._socket = _connect(endpoint, timeout)
        self._rest = b""
        name = identity.encode()
        body = b"\x05READY" + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", name)
        try:
            self._socket.sendall(_GREETING)
            # libzmq closes a connection that sends on before it has greeted.
            greeting = _greeting_from(self._take, endpoint, time.monotonic() + timeout)
            if _mechanism(greeting) == "CURVE":
                raise WantsKey(endpoint)
            self._socket.sendall(bytes([_COMMAND, len(body)]) + body)
        except (ConnectionResetError, BrokenPipeError):
            self._socket.close()
            # It closes one with another mechanism, too, maybe before it has named its own.
            if asks_for_key(endpoint, timeout):
                raise WantsKey(endpoint) from None
            raise
        except BaseException:
            self._socket.close()
            raise

    def send(self, frame: bytes) -> None:
        """Sends one message of one frame."""
        small = len(frame) < 256
        head = bytes([0, len(frame)]) if small else bytes([_LONG]) + struct.pack(">Q", len(frame))
        self._socket.sendall(head + frame)

    def receive(self, timeout: float) -> bytes | None:
        """The last frame of the next message; None when none has come in time.

        Raises ConnectionError when the other side has gone, ControlError when it
        speaks something else.
        """
        deadline = time.monotonic() + timeout
        try:
            while True:
                flags = self._take(1, deadline)[0]
                size = int.from_bytes(self._take(8 if flags & _LONG else 1, deadline), "big")
                if size > MAX_FRAME:
                    raise ControlError(f"a reply of {size} bytes is too long")
                frame = self._take(size, deadline)
                if not flags & (_COMMAND | _MORE):
                    return frame
        except TimeoutError:
            return None

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._rest) < size:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(max(65536, size - len(self._rest)))
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._rest += data
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def asks_for_key(endpoint: str, timeout: float) -> bool:
    """Whether who listens there speaks CURVE. Raises OSError where nobody does."""
    with _connect(endpoint, timeout) as sock:
        sock.sendall(_GREETING[:_SIGNATURE])

        def take(size: int, deadline: float) -> bytes:
            data = b""
            while len(data) < size:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                part = sock.recv(size - len(data))
                if not part:
                    raise ConnectionResetError("the connection was closed")
                data += part
            return data

        greeting = _greeting_from(take, endpoint, time.monotonic() + timeout)
    return _mechanism(greeting) == "CURVE"


def _greeting_from(take: Callable[[int, float], bytes], endpoint: str, deadline: float) -> bytes:
    greeting = take(64, deadline)
    if greeting[:1] != b"\xff":
        raise OSError(f"{endpoint} does not speak ZeroMQ")
    return greeting


def _mechanism(greeting: bytes) -> str:
    return greeting[12:32].rstrip(b"\0").decode("ascii", "replace")


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def _connect(endpoint: str, timeout: float) -> socket.socket:
    kind, _, place = endpoint.partition("://")
    if kind == "ipc":
        family, address = socket.AF_UNIX, "\0" + place[1:] if place.startswith("@") else place
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock
    host, _, port = place.rpartition(":")
    if kind != "tcp" or not port.isdecimal():
        raise OSError(f"{endpoint} is left to zmq")
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
