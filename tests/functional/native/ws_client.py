"""A WebSocket client that sends any bytes and shows every frame."""

from __future__ import annotations

import itertools
from typing import Any

from backend_client import Response, Wire
from wire_server import HERE, Nest, WireServer

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Of RFC 6455 section 1.3."""
MASK = b"\x12\x34\x56\x78"
HANDSHAKE = {
    "Host": "test",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def serve(nest: Nest, loop: str = "asyncio", *args: str) -> WireServer:
    """A worker of ws_apps on this loop."""
    path = ("--python-path", str(HERE / "without_uvloop")) if loop == "asyncio" else ()
    return nest.serve("native", "ws_apps:app", *path, *args)


def opening(path: str, **fields: str | None) -> bytes:
    """A handshake with other fields: an underscore stands for a hyphen, None leaves it out."""
    changed = {name.replace("_", "-"): value for name, value in fields.items()}
    names = {name.lower(): name for name in HANDSHAKE}
    lines = dict(HANDSHAKE) | {names.get(n.lower(), n): v for n, v in changed.items()}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode()


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> bytes:
    """One frame of a client."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + size.to_bytes(8, "big")
    mask = int.from_bytes(MASK * (size // 4 + 1), "big") >> 8 * (4 - size % 4)
    masked = (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big") if size else b""
    return head + MASK + masked


def closing(code: int | None = 1000, reason: str = "") -> bytes:
    """A close frame of a client."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


class Talk:
    """One WebSocket; with `behind` sent in one piece with the handshake."""

    def __init__(
        self, server: WireServer, path: str, behind: bytes = b"", **fields: str | None
    ) -> None:
        self.wire: Wire = server.connect()
        self.wire.send(opening(path, **fields) + behind)
        self.status, headers = self.wire.read_head()
        self.headers = Response(self.status, headers, b"")

    def __enter__(self) -> Talk:
        assert self.status == 101
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.socket.close()

    def send(self, *frames: bytes) -> None:
        """Sends them in one piece."""
        self.wire.send(b"".join(frames))

    def read(self) -> tuple[int, bytes]:
        """The next frame, which has to be whole: opcode and payload."""
        head = self.wire.read_exactly(2)
        assert len(head) == 2, "the connection ended without a close frame"
        first, size = head
        assert first & 0xF0 == 0x80, "a frame of its own, without bits"
        assert size < 128, "not masked"
        if size > 125:
            size = int.from_bytes(self.wire.read_exactly(2 if size == 126 else 8), "big")
        payload = self.wire.read_exactly(size)
        assert len(payload) == size
        return first & 0x0F, payload

    def text(self) -> str:
        """The next message, which is a text."""
        opcode, payload = self.read()
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def read_close(self) -> tuple[int | None, str]:
        """The close frame that is next, behind which the connection ends."""
        opcode, payload = self.read()
        assert opcode == CLOSE, (opcode, payload)
        assert self.wire.is_at_end()
        return int.from_bytes(payload[:2], "big") if payload else None, payload[2:].decode()


def fragments(opcode: int, payload: bytes, size: int) -> list[bytes]:
    """A message in frames of this size."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    kinds: Any = itertools.chain([opcode], itertools.repeat(0))
    return [
        frame(kind, part, fin=number == len(parts) - 1)
        for number, (kind, part) in enumerate(zip(kinds, parts, strict=False))
    ]
