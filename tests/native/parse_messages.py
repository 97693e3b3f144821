"""Strategies for requests: valid ones with what they mean, and broken ones."""

from __future__ import annotations

import string
from dataclasses import dataclass

from hypothesis import strategies as st

TCHARS = string.ascii_letters + string.digits + "!#$%&'*+-.^`|~"  # without '_'
VALUE_BYTES = [*range(0x21, 0x7F), *range(0x80, 0x100)]
TARGET_CHARS = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/%[]{}|\\^`\"<>"
READ_FIELDS = (
    b"host",
    b"content-length",
    b"content-type",
    b"transfer-encoding",
    b"connection",
    b"expect",
    b"upgrade",
)
LONGEST_HEAD = 400


@dataclass(frozen=True)
class Message:
    """A request's bytes, and the parts that they were made of."""

    method: bytes
    target: bytes
    minor: int
    fields: tuple[tuple[bytes, bytes], ...]
    head: bytes
    body: bytes
    wire_body: bytes

    @property
    def wire(self) -> bytes:
        return self.head + self.wire_body


tokens = st.text(TCHARS, min_size=1, max_size=20).map(str.encode)
targets = st.text(TARGET_CHARS, max_size=30).map(lambda text: b"/" + text.encode())
queries = st.none() | st.text(TARGET_CHARS + "?", max_size=30).map(str.encode)
hosts = st.sampled_from([b"x", b"www.example.com:8000", b"127.0.0.1", b"[::1]:80", b"a-b.c~"])
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"PATCH", b"OPTIONS"])


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A field value: blanks within, none around it."""
    words = draw(st.lists(st.binary(min_size=1, max_size=12), max_size=4))
    legal = [bytes(VALUE_BYTES[b % len(VALUE_BYTES)] for b in word) for word in words]
    return draw(st.sampled_from([b" ", b"\t", b"  "])).join(legal)


@st.composite
def chunked_bodies(draw: st.DrawFn, *, plain: bool = False) -> tuple[bytes, bytes]:
    """A body and its chunked form; `plain`: without extensions and trailers."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
    extension = st.just(b"") if plain else st.sampled_from([b"", b";a", b";a=b", b';a="b;c\\""'])
    wire = b""
    for chunk in chunks:
        size = draw(st.sampled_from(["%x", "%X", "0%x"])) % len(chunk)
        wire += size.encode() + draw(extension) + b"\r\n" + chunk + b"\r\n"
    trailers = st.just([]) if plain else st.lists(tokens, max_size=2)
    trailer = b"".join(name + b": v\r\n" for name in draw(trailers))
    return b"".join(chunks), wire + b"0" + draw(extension) + b"\r\n" + trailer + b"\r\n"


@st.composite
def messages(draw: st.DrawFn, *, plain: bool = False) -> Message:
    """A valid request. `plain`: without the forms that the peers are known to read otherwise."""
    method = draw(methods if plain else methods | tokens.filter(lambda name: name != b"CONNECT"))
    path, query = draw(targets), draw(queries)
    target = path if query is None else path + b"?" + query
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    fields = [(b"Host", draw(hosts))]
    body = wire_body = b""
    match draw(st.sampled_from(["none", "length", "chunked"])):
        case "length":
            body = wire_body = draw(st.binary(max_size=40))
            fields.append((b"Content-Length", b"%d" % len(body)))
        case "chunked" if minor == 1:
            body, wire_body = draw(chunked_bodies(plain=plain))
            fields.append((b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))))
    names = tokens.filter(lambda name: name.lower() not in READ_FIELDS)
    fields += draw(st.lists(st.tuples(names, values()), max_size=5))
    fields = draw(st.permutations(fields))
    whitespace = st.text(" " if plain else " \t", max_size=2).map(str.encode)
    lines = [name + b":" + draw(whitespace) + value + draw(whitespace) for name, value in fields]
    start = b"%b %b HTTP/1.%d" % (method, target, minor)
    head = b"".join(line + b"\r\n" for line in [start, *lines, b""])
    return Message(method, target, minor, tuple(fields), head, body, wire_body)


ODD_BYTES = b'\0\t\n\x0b\r "#%,-/:;?@_\x7f\x80\xa0\xff0aA'


@st.composite
def broken(draw: st.DrawFn, *, plain: bool = False) -> bytes:
    """A valid request with up to three bytes changed, put in or left out."""
    wire = bytearray(draw(messages(plain=plain)).wire)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(wire) - 1))
        new = draw(st.sampled_from([bytes([byte]) for byte in ODD_BYTES] + [b"", b"\r\n", b"\n"]))
        wire[at : at + draw(st.integers(0, 1))] = new
    return bytes(wire)
