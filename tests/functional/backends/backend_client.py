"""A small HTTP/1.1 client on bare sockets: it shows what came, and waits with a deadline."""

from __future__ import annotations

import base64
import os
import socket
from dataclasses import dataclass

WAIT = 15.0


@dataclass(frozen=True)
class Response:
    """One response; `complete` is False when its connection ended in the middle."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True

    def get(self, name: str) -> str:
        """All values of a header, joined; empty without one."""
        return ", ".join(value for key, value in self.headers if key == name.lower())

    @property
    def closes(self) -> bool:
        """Whether the server says that the connection ends."""
        return "close" in self.get("connection").lower()


class Wire:
    """One connection to a server."""

    def __init__(self, address: tuple[str, int] | str, family: int = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT)
        self.socket.connect(address)
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends raw bytes."""
        self.socket.sendall(data)

    def ask(self, path: str, method: str = "GET", body: bytes = b"", *headers: str) -> None:
        """Sends a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def get(self, path: str, *headers: str) -> Response:
        """Sends a GET and reads the response."""
        self.ask(path, "GET", b"", *headers)
        return self.read()

    def read(self, method: str = "GET") -> Response:
        """Reads one whole response; EOFError when the server sent nothing at all."""
        status, headers = self.read_head()
        response = Response(status, headers, b"")
        if method == "HEAD" or status in (204, 304):
            return response
        if "chunked" in response.get("transfer-encoding"):
            body, complete = self._chunks()
        elif length := response.get("content-length"):
            body = self._take(int(length))
            complete = len(body) == int(length)
        else:
            body, complete = self.rest(), response.closes
        return Response(status, headers, body, complete)

    def read_head(self) -> tuple[int, list[tuple[str, str]]]:
        """Reads up to the empty line; passes over interim responses."""
        while True:
            head = self._until(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            status = int(first.split(" ")[1])
            if status == 101 or status >= 200:
                pairs = (line.partition(":") for line in lines if line)
                return status, [(key.lower(), value.strip()) for key, _, value in pairs]

    def read_chunk(self) -> bytes:
        """Reads one chunk of a body; empty for the last."""
        size = int(self._until(b"\r\n").split(b";")[0], 16)
        data = self._take(size)
        self._until(b"\r\n")
        return data

    def read_exactly(self, size: int) -> bytes:
        """Reads so many bytes; fewer at the end of the stream."""
        return self._take(size)

    def rest(self) -> bytes:
        """Reads to the end of the connection; a reset counts as an end."""
        while self._more():
            pass
        data, self._buffer = self._buffer, b""
        return data

    def is_at_end(self) -> bool:
        """Whether the server has closed, or does so in time, without another byte."""
        return self.rest() == b""

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while chunk := self.read_chunk():
                body += chunk
        except (EOFError, ValueError):
            return body, False
        return body, True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if not self._more():
                raise EOFError(f"the connection ended after {self._buffer!r}")
        data, _, self._buffer = self._buffer.partition(mark)
        return data

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)


class WebSocket:
    """Just enough of RFC 6455 to talk in short text messages."""

    def __init__(self, wire: Wire, path: str = "/") -> None:
        self._wire = wire
        key = base64.b64encode(os.urandom(16)).decode()
        wire.ask(
            path,
            "GET",
            b"",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        self.status, self.headers = wire.read_head()

    def send(self, text: str) -> None:
        """Sends one short text message."""
        self._frame(0x1, text.encode())

    def close(self, code: int = 1000) -> None:
        """Says goodbye."""
        self._frame(0x8, code.to_bytes(2, "big"))

    def receive(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, length = self._wire.read_exactly(2)
        if length == 126:
            length = int.from_bytes(self._wire.read_exactly(2), "big")
        return first & 0x0F, self._wire.read_exactly(length)

    def _frame(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._wire.send(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
