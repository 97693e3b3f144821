"""The C parser from Python, for tests only: parse.c and its parts without a server.

`parse` and `read_chunked` copy what they return, so that nothing here depends on the
lifetime of a buffer.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from build_c import shared

SOURCES = ("parse.c", "framing.c", "token.c", "scan.c", "chunk.c")
MAX_FIELDS = 128
PARTIAL, DONE, ERROR = range(3)
FORMS = ("origin", "absolute", "authority", "asterisk")


class Slice(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("len", ctypes.c_uint32)]

    def copy(self) -> bytes:
        return ctypes.string_at(self.at, self.len) if self.len else b""


class Field(ctypes.Structure):
    _fields_ = [("name", Slice), ("value", Slice)]


class RequestStruct(ctypes.Structure):
    _fields_ = [
        ("method", Slice),
        ("target", Slice),
        ("path", Slice),
        ("query", Slice),
        ("host", Slice),
        ("form", ctypes.c_int),
        ("minor", ctypes.c_uint8),
        ("keep_alive", ctypes.c_bool),
        ("chunked", ctypes.c_bool),
        ("expect", ctypes.c_bool),
        ("upgrade", ctypes.c_bool),
        ("length", ctypes.c_int64),
        ("has_length", ctypes.c_bool),
        ("head_len", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("known", ctypes.c_uint8 * 7),
        ("status", ctypes.c_uint16),
        ("reason", ctypes.c_char_p),
        ("fields", Field * MAX_FIELDS),
    ]


class ParseLimits(ctypes.Structure):
    _fields_ = [
        ("request_line", ctypes.c_uint32),
        ("field_line", ctypes.c_uint32),
        ("fields", ctypes.c_uint32),
        ("head", ctypes.c_uint32),
        ("drop_underscore", ctypes.c_bool),
    ]


class ChunkedState(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint64 * 8)]  # more than it needs


class ChunkLimits(ctypes.Structure):
    _fields_ = [
        ("size_line", ctypes.c_uint32),
        ("extensions", ctypes.c_uint32),
        ("trailers", ctypes.c_uint32),
        ("fields", ctypes.c_uint32),
        ("body", ctypes.c_uint64),
    ]


class ChunkStep(ctypes.Structure):
    _fields_ = [
        ("used", ctypes.c_size_t),
        ("data", Slice),
        ("done", ctypes.c_bool),
        ("status", ctypes.c_uint16),
        ("reason", ctypes.c_char_p),
    ]


@dataclass(frozen=True)
class Head:
    method: bytes
    target: bytes
    path: bytes
    query: bytes
    host: bytes
    form: str
    minor: int
    keep_alive: bool
    chunked: bool
    expect: bool
    upgrade: bool
    length: int | None
    size: int
    fields: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Refused:
    status: int
    reason: str


@dataclass(frozen=True)
class Body:
    """What was read: `used` bytes of the input, up to the end, an error or the last byte."""

    data: bytes
    used: int
    done: bool
    refused: Refused | None


LIMITS = ParseLimits(8190, 8190, 100, 65536, True)
CHUNK_LIMITS = ChunkLimits(4096, 16384, 65536, 100, 0)


@functools.cache
def library() -> ctypes.CDLL:
    """The parser, built for this session. Skips where there is no compiler."""
    loaded = ctypes.CDLL(str(shared("parse_debug", "parse_debug.c", *SOURCES)))
    loaded.debug_size_of_request.restype = ctypes.c_size_t
    loaded.debug_size_of_step.restype = ctypes.c_size_t
    loaded.chunked_read.restype = ChunkStep
    loaded.path_decode.restype = ctypes.c_int64
    assert loaded.debug_size_of_request() == ctypes.sizeof(RequestStruct)
    assert loaded.debug_size_of_step() == ctypes.sizeof(ChunkStep)
    return loaded


def parse(data: bytes, limits: ParseLimits = LIMITS) -> Head | Refused | None:
    """The head at the start of `data`; None while it is not complete."""
    request = RequestStruct()
    buffer = ctypes.create_string_buffer(data, len(data))
    result = library().request_parse(
        ctypes.byref(request), buffer, ctypes.c_size_t(len(data)), ctypes.byref(limits)
    )
    if result == PARTIAL:
        return None
    if result == ERROR:
        return Refused(request.status, request.reason.decode())
    return Head(
        request.method.copy(),
        request.target.copy(),
        request.path.copy(),
        request.query.copy(),
        request.host.copy(),
        FORMS[request.form],
        request.minor,
        request.keep_alive,
        request.chunked,
        request.expect,
        request.upgrade,
        request.length if request.has_length else None,
        request.head_len,
        tuple((f.name.copy(), f.value.copy()) for f in request.fields[: request.count]),
    )


def read_chunked(pieces: Iterable[bytes], limits: ChunkLimits = CHUNK_LIMITS) -> Body:
    """The chunked body that comes in these pieces."""
    state = ChunkedState()
    library().chunked_start(ctypes.byref(state))
    data, used = b"", 0
    for piece in pieces:
        at = 0
        while at < len(piece):
            rest = ctypes.create_string_buffer(piece[at:], len(piece) - at)
            step = library().chunked_read(
                ctypes.byref(state), rest, ctypes.c_size_t(len(rest)), ctypes.byref(limits)
            )
            data += step.data.copy()
            used += step.used
            at += step.used
            if step.status:
                return Body(data, used, False, Refused(step.status, step.reason.decode()))
            if step.done:
                return Body(data, used, True, None)
    return Body(data, used, False, None)


def decode_path(path: bytes) -> bytes | None:
    """`path` without its percent-encoding, or None where that is malformed."""
    source = ctypes.create_string_buffer(path, len(path) or 1)
    out = ctypes.create_string_buffer(len(path) or 1)
    text = Slice(ctypes.addressof(source), len(path))
    length = library().path_decode(text, out)
    return None if length < 0 else out.raw[:length]
