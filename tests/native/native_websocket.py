"""The WebSocket codec of backends/native as Python functions, and frames to feed it with."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from build_c import shared, zlib_flags

CODEC = (
    "ws_buffer.c",
    "ws_deflate.c",
    "ws_extension.c",
    "ws_frame.c",
    "ws_handshake.c",
    "ws_mask.c",
    "ws_sha1.c",
    "ws_utf8.c",
    "ws_write.c",
)
PARSER = ("parse.c", "framing.c", "scan.c", "token.c")
SOURCES = ("websocket_stub.c", *CODEC, *PARSER)

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x12\xf4\xa9\x80"


class Kind(IntEnum):
    """enum ws_kind."""

    TEXT = 1
    BINARY = 2
    PING = 3
    PONG = 4
    CLOSE = 5
    ERROR = 6


@dataclass(frozen=True)
class Event:
    """What ws_read() made of the input: for an ERROR `data` is the reason."""

    kind: Kind
    data: bytes = b""
    code: int = 0
    ascii: bool = False

    @property
    def key(self) -> tuple[Kind, bytes | int]:
        """What other implementations have, too: kind and data, or kind and code."""
        code = self.kind in (Kind.CLOSE, Kind.ERROR)
        return (self.kind, self.code if code else self.data)


@dataclass(frozen=True)
class Agreed:
    """The parameters of permessage-deflate that both sides keep to."""

    server_bits: int = 15
    client_bits: int = 15
    takeover: bool = True  # of the server
    client_takeover: bool | None = None  # None: as the server

    @property
    def takeovers(self) -> int:
        """1 and 2: of the server, of the client."""
        client = self.takeover if self.client_takeover is None else self.client_takeover
        return self.takeover + 2 * client


@functools.cache
def library() -> ctypes.CDLL:
    """The codec, built once, with zlib where it is there."""
    defines, libraries = zlib_flags()
    built = ctypes.CDLL(str(shared("websocket", *SOURCES, defines=defines, libraries=libraries)))
    for name in ("stub_new", "stub_out"):
        getattr(built, name).restype = ctypes.c_void_p
    for name in ("stub_read", "stub_control", "stub_close", "stub_room", "stub_size"):
        getattr(built, name).restype = ctypes.c_size_t
    built.ws_has_deflate.restype = ctypes.c_bool
    return built


class Codec:
    """One connection: a receiver and a sender."""

    def __init__(
        self,
        deflate: Agreed | None = None,
        *,
        limit: int = 0,
        threshold: int = 0,
        of_client: bool = True,
        settle: bool = False,
    ) -> None:
        self.c = library()
        server, client, takeover = (
            (deflate.server_bits, deflate.client_bits, deflate.takeovers) if deflate else (0, 0, 0)
        )
        made = self.c.stub_new(
            of_client, ctypes.c_uint64(limit), server, client, takeover, ctypes.c_size_t(threshold)
        )
        self.at = ctypes.c_void_p(made)
        self.settle = settle
        self.flags: list[int] = []  # of each event: 1 ASCII, 2 in the buffer, 4 in the input
        self.last = 0  # offset of the end of the last event in the last input

    def free(self) -> None:
        """Gives all of it back."""
        self.c.stub_free(self.at)

    def _out(self) -> bytes:
        size = ctypes.c_size_t()
        at = self.c.stub_out(self.at, ctypes.byref(size))
        return ctypes.string_at(at, size.value) if size.value else b""

    def read(self, data: bytes) -> list[Event]:
        """The events of one piece of input."""
        self.last = self.c.stub_read(self.at, data, ctypes.c_size_t(len(data)), self.settle)
        events, out, at = [], self._out(), 0
        while at < len(out):
            kind, flags, code, size = struct.unpack_from("=BB2sQ", out, at)
            at += 12
            number = int.from_bytes(code, "big")
            events.append(Event(Kind(kind), out[at : at + size], number, bool(flags & 1)))
            self.flags.append(flags)
            at += size
        return events

    def write(self, opcode: int, data: bytes) -> bytes:
        """The frame of a whole message."""
        assert self.c.stub_write(self.at, opcode, data, ctypes.c_size_t(len(data)))
        return self._out()

    @property
    def room(self) -> int:
        """Bytes that the message's buffer has."""
        return int(self.c.stub_room(self.at))

    @property
    def inflating(self) -> bool:
        """Whether there is a state of zlib's inflate."""
        return bool(self.c.stub_inflating(self.at))


@contextmanager
def codec(
    deflate: Agreed | None = None,
    *,
    limit: int = 0,
    threshold: int = 0,
    of_client: bool = True,
    settle: bool = False,
) -> Iterator[Codec]:
    """A Codec that is freed at the end."""
    made = Codec(deflate, limit=limit, threshold=threshold, of_client=of_client, settle=settle)
    try:
        yield made
    finally:
        made.free()


def read(
    pieces: Iterable[bytes],
    deflate: Agreed | None = None,
    *,
    limit: int = 0,
    settle: bool = False,
    of_client: bool = True,
) -> list[Event]:
    """The events of these pieces of input, on a new connection."""
    with codec(deflate, limit=limit, settle=settle, of_client=of_client) as one:
        return [event for piece in pieces for event in one.read(piece)]


def read_all_ways(data: bytes, deflate: Agreed | None = None, limit: int = 0) -> list[Event]:
    """The events of the input, whatever pieces it comes in."""
    whole = read([data], deflate, limit=limit)
    for settle in (False, True):
        single = [data[i : i + 1] for i in range(len(data))]
        assert read(single, deflate, limit=limit, settle=settle) == whole
        step = max(1, len(data) // 200)
        for cut in range(1, len(data), step):
            pieces = [data[:cut], data[cut:]]
            assert read(pieces, deflate, limit=limit, settle=settle) == whole
    return whole


def masked(data: bytes, key: bytes = KEY) -> bytes:
    """Masks or unmasks (RFC 6455 section 5.3)."""
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data))


def frame(
    opcode: int,
    data: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """A frame as a client sends it; no key: as a server does.

    `length` is announced instead of the true one, and written in `form` bytes: 0, 2 or 8.
    """
    size = len(data) if length is None else length
    if form is None:
        form = 0 if size < 126 else 2 if size < 65536 else 8
    mark = size if form == 0 else 126 if form == 2 else 127
    head = bytes([fin << 7 | rsv << 4 | opcode, (key is not None) << 7 | mark])
    head += size.to_bytes(form, "big") if form else b""
    return head + (data if key is None else key + masked(data, key))


def control(opcode: int, data: bytes = b"") -> bytes:
    """A control frame of the server."""
    out = ctypes.create_string_buffer(127)
    size = library().stub_control(out, opcode, data, ctypes.c_size_t(len(data)))
    return out.raw[:size]


def close(code: int, reason: str = "") -> bytes:
    """A close frame of the server."""
    out = ctypes.create_string_buffer(127)
    text = reason.encode()
    size = library().stub_close(out, code, text, ctypes.c_size_t(len(text)))
    return out.raw[:size]


def _limits(limits: tuple[int, int, bool, bool] | None) -> bytes | None:
    return bytes(limits) if limits else None


OURS = (12, 12, False, False)


def negotiate(
    value: str, limits: tuple[int, int, bool, bool] | None = OURS
) -> tuple[int, int, bool, bool] | None:
    """What is agreed on: bits of the server and the client, no takeover of both; None: nothing.

    Raises ValueError for a malformed list.
    """
    text = value.encode()
    agreed = ctypes.create_string_buffer(4)
    result = library().stub_negotiate(text, ctypes.c_size_t(len(text)), _limits(limits), agreed)
    if result < 0:
        raise ValueError(value)
    server, client, no_server, no_client = agreed.raw
    return (server, client, bool(no_server), bool(no_client)) if result else None


def handshake(
    head: bytes, limits: tuple[int, int, bool, bool] | None = OURS, subprotocol: str = ""
) -> tuple[int, bytes]:
    """Status and the head of the answer with the client's subprotocols, or why not.

    -2: no handshake at all.
    """
    out, size = ctypes.create_string_buffer(70000), ctypes.c_size_t()
    status = library().stub_handshake(
        head,
        ctypes.c_size_t(len(head)),
        _limits(limits),
        subprotocol.encode(),
        out,
        ctypes.byref(size),
    )
    assert status != -1, head
    return status, out.raw[: size.value]
