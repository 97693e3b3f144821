"""The C edges of the native server as Python functions: see edges_stub.c."""

from __future__ import annotations

import ctypes
import functools
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from build_c import shared

SOURCES = (
    "edges_stub.c",
    "credentials.c",
    "escape.c",
    "accesslog.c",
    "accesslog_render.c",
    "address.c",
    "trust.c",
    "forwarded_field.c",
    "forwarded.c",
    "proxy.c",
    "logbuf.c",
    "parse.c",
    "framing.c",
    "scan.c",
    "token.c",
)
ROOM = 70000
PARTIAL, DONE, ERROR = range(3)


@functools.cache
def library() -> ctypes.CDLL:
    """The library, built once."""
    built = ctypes.CDLL(str(shared("edges", *SOURCES)))
    for name in ("log_compile", "logbuf_open"):
        getattr(built, name).restype = ctypes.c_void_p
    built.log_render.restype = ctypes.c_size_t
    built.log_wants.restype = ctypes.c_bool
    built.logbuf_append.restype = ctypes.c_bool
    return built


# --- proxies ------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What forwarded_read() understood."""

    client: str
    client_port: int
    hidden: bool
    scheme: str
    host: str
    port: int
    prefix: str


class Refused(Exception):
    """A 400, or a list that does not compile; the text is the reason."""


EVERY_FIELD = (
    "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-port,x-forwarded-prefix,"
    "x-forwarded-protocol,x-forwarded-ssl,forwarded"
)


def forwarded(
    *lines: str | bytes, trust: str = "10.0.0.0/8,::1", fields: str = EVERY_FIELD
) -> Said:
    """What a request with these field lines says of its client. Raises Refused."""
    raw = [line.encode("latin-1") if isinstance(line, str) else line for line in lines]
    head = b"\r\n".join([b"GET / HTTP/1.1", b"Host: inner", *raw, b"", b""])
    out = ctypes.create_string_buffer(ROOM)
    status = library().stub_forwarded(
        trust.encode(), fields.encode(), head, ctypes.c_size_t(len(head)), out, len(out)
    )
    text = out.value.decode("latin-1")
    if status == 400:
        raise Refused(text)
    assert status == 0, (text, head)
    client, client_port, hidden, scheme, host, port, prefix = text.split(" ")
    return Said(
        client, int(client_port), hidden == "hidden", scheme.strip("-"), host, int(port), prefix
    )


def proxy(data: bytes) -> tuple[int, str]:
    """The result of proxy_read() and what came of it, or why not."""
    out = ctypes.create_string_buffer(ROOM)
    result = library().stub_proxy(data, ctypes.c_size_t(len(data)), out, len(out))
    return result, out.value.decode()


def trusts(text: str, peer: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Whether the list trusts the peer; None is one on a unix socket. Raises Refused."""
    data = text.encode()
    packed = bytes(16) if peer is None else mapped(peer).packed
    at, out = ctypes.c_size_t(), ctypes.create_string_buffer(ROOM)
    answer = library().stub_trusts(
        data, ctypes.c_size_t(len(data)), packed, peer is None, ctypes.byref(at), out, len(out)
    )
    if answer < 0:
        raise Refused(f"{at.value}: {out.value.decode()}")
    return bool(answer)


def mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    """An address as 128 bits: IPv4 as ::ffff:a.b.c.d."""
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)


def node(text: bytes) -> tuple[str, int, bytes] | None:
    """The text, port and 16 bytes of an address as proxies write it; None: it is none."""
    out, port, address = (
        ctypes.create_string_buffer(46),
        ctypes.c_uint16(),
        ctypes.create_string_buffer(16),
    )
    size = library().stub_node(text, ctypes.c_size_t(len(text)), out, ctypes.byref(port), address)
    return None if size < 0 else (out.raw[:size].decode(), port.value, address.raw)


# --- the access log -----------------------------------------------------------


class Slice(ctypes.Structure):
    """struct slice."""

    _fields_ = (("at", ctypes.c_char_p), ("len", ctypes.c_uint32))

    @classmethod
    def of(cls, text: bytes | None) -> Slice:
        return cls(text, len(text or b""))


REQUEST_FIELD, RESPONSE_FIELD, ENVIRON = range(3)


class Facts(ctypes.Structure):
    """struct log_facts."""

    _fields_ = (
        *(
            (name, Slice)
            for name in ("remote", "authorization", "method", "target", "query", "path")
        ),
        ("minor", ctypes.c_uint8),
        ("referer", Slice),
        ("agent", Slice),
        ("status", ctypes.c_uint16),
        ("sent", ctypes.c_uint64),
        ("wall_ns", ctypes.c_int64),
        ("duration_ns", ctypes.c_int64),
        ("pid", ctypes.c_int32),
        ("find", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    )


DEFAULTS: dict[str, Any] = {
    "remote": b"203.0.113.7",
    "method": b"GET",
    "target": b"/a%20b?x=1",
    "query": b"x=1",
    "path": b"/a%20b",
    "minor": 1,
    "referer": b"",
    "agent": b"curl/8",
    "status": 200,
    "sent": 5,
    "wall_ns": 1_790_000_000_000_000_000,
    "duration_ns": 1_234_567,
    "pid": 42,
}


class Format:
    """A compiled log format. Raises Refused with "offset: reason"."""

    def __init__(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        error, at = ctypes.c_char_p(), ctypes.c_size_t()
        self._format = library().log_compile(
            data, ctypes.c_size_t(len(data)), ctypes.byref(error), ctypes.byref(at)
        )
        if not self._format:
            raise Refused(f"{at.value}: {(error.value or b'').decode()}")

    def wants(self) -> list[int]:
        """The sources that the format asks for."""
        pointer = ctypes.c_void_p(self._format)
        return [source for source in range(3) if library().log_wants(pointer, source)]

    def line(
        self, room: int = 16384, found: Mapping[tuple[int, str], bytes] | None = None, **facts: Any
    ) -> bytes:
        """One rendered line of at most `room` bytes; `found` are values by source and name."""
        lines = [b"%d%s=%s\x1e" % (s, n.encode(), v) for (s, n), v in (found or {}).items()]
        context = ctypes.create_string_buffer(b"".join(lines))
        values = {
            "find": ctypes.cast(library().stub_find, ctypes.c_void_p),
            "context": ctypes.cast(context, ctypes.c_void_p),
        } | {
            name: Slice.of(value) if isinstance(value, bytes) else value
            for name, value in {**DEFAULTS, **facts}.items()
        }
        out = (ctypes.c_char * (room + 1))()
        out[room] = b"\x7e"
        size = library().log_render(
            ctypes.c_void_p(self._format),
            ctypes.byref(Facts(**values)),
            out,
            ctypes.c_size_t(room),
        )
        assert out[room] == b"\x7e" and size <= room
        return ctypes.string_at(out, size)

    def __del__(self) -> None:
        if getattr(self, "_format", None):
            library().log_free(ctypes.c_void_p(self._format))
