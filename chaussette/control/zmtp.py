"""One connection to a ZeroMQ endpoint without libzmq: enough for a question and its reply.

Loading libzmq takes longer than all else that `circusctl status` does. This speaks
ZMTP 3.0 (rfc.zeromq.org/spec/23) as a DEALER, by the NULL mechanism, over a
stream socket; nothing else. Where it cannot connect, zmq is there to wait.
"""

from __future__ import annotations

import socket
import struct
import time

from chaussette.errors import ControlError

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_MORE, _LONG, _COMMAND = 1, 2, 4
MAX_FRAME = 2**28


class Dealer:
    """A connected DEALER. Its constructor raises OSError where nobody listens."""

    def __init__(self, endpoint: str, identity: str, timeout: float) -> None:
        self._socket = _connect(endpoint, timeout)
        self._rest = b""
        name = identity.encode()
        body = b"\x05READY" + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", name)
        try:
            self._socket.sendall(_GREETING)
            # libzmq closes a connection that sends on before it has greeted.
            if self._take(64, time.monotonic() + timeout)[:1] != b"\xff":
                raise OSError(f"{endpoint} does not speak ZeroMQ")
            self._socket.sendall(bytes([_COMMAND, len(body)]) + body)
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
