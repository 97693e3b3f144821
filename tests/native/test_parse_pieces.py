"""Generated requests: read as they were made, and the same whatever pieces they come in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_parser import (
    LIMITS,
    Body,
    ChunkLimits,
    Head,
    ParseLimits,
    Refused,
    decode_path,
    parse,
    read_chunked,
)
from parse_messages import Message, broken, chunked_bodies, messages


def parse_in_beginnings(data: bytes, limits: ParseLimits = LIMITS) -> Head | Refused | None:
    """The first answer to ever longer beginnings; each longer one must give the same."""
    answer = None
    for end in range(len(data) + 1):
        now = parse(data[:end], limits)
        assert answer is None or now == answer
        answer = now
    return answer


@settings(max_examples=150, deadline=None)
@given(messages())
def test_valid_messages(message: Message) -> None:
    head = parse_in_beginnings(message.wire)
    assert isinstance(head, Head), head
    assert (head.method, head.target, head.minor) == (message.method, message.target, message.minor)
    assert head.size == len(message.head)
    path, _, query = message.target.partition(b"?")
    assert (head.path, head.query, head.form) == (path, query, "origin")
    kept = [(name, value.strip(b" \t")) for name, value in message.fields]
    assert list(head.fields) == kept
    assert head.host == dict(kept)[b"Host"]
    assert head.keep_alive is (message.minor == 1)
    if head.chunked:
        body = read_chunked([message.wire_body])
        assert body == Body(message.body, len(message.wire_body), True, None)
    else:
        assert (head.length or 0) == len(message.body)


@settings(max_examples=150, deadline=None)
@given(broken())
def test_broken_messages(wire: bytes) -> None:
    narrow = ParseLimits(60, 40, 4, 200, False)
    for limits in (LIMITS, narrow):
        assert parse_in_beginnings(wire, limits) == parse(wire, limits)


@settings(max_examples=150, deadline=None)
@given(chunked_bodies(), st.data())
def test_chunked_bodies(body: tuple[bytes, bytes], data: st.DataObject) -> None:
    plain, wire = body
    if data.draw(st.booleans(), label="broken"):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire = wire[:at] + data.draw(st.binary(max_size=2)) + wire[at + 1 :]
    else:
        assert read_chunked([wire]) == Body(plain, len(wire), True, None)
    for limits in (ChunkLimits(4096, 16384, 65536, 100, 0), ChunkLimits(8, 10, 12, 1, 20)):
        whole = read_chunked([wire], limits)
        assert read_chunked([wire[i : i + 1] for i in range(len(wire))], limits) == whole
        for cut in range(1, len(wire)):
            assert read_chunked([wire[:cut], wire[cut:]], limits) == whole


@pytest.mark.parametrize(
    ("head", "host", "path", "query", "form"),
    [
        (b"GET /a?b?c HTTP/1.1\r\nHost: h\r\n\r\n", b"h", b"/a", b"b?c", "origin"),
        (b"GET http://t/a?b HTTP/1.1\r\nHost: h\r\n\r\n", b"t", b"/a", b"b", "absolute"),
        (b"GET http://t:1?b HTTP/1.1\r\nHost: h\r\n\r\n", b"t:1", b"/", b"b", "absolute"),
        (b"GET HTTPS://t HTTP/1.1\r\nHost: h\r\n\r\n", b"t", b"/", b"", "absolute"),
        (b"CONNECT t:1 HTTP/1.1\r\nHost: h\r\n\r\n", b"t:1", b"", b"", "authority"),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", b"h", b"*", b"", "asterisk"),
        (b"GET / HTTP/1.0\r\n\r\n", b"", b"/", b"", "origin"),
    ],
)
def test_targets(head: bytes, host: bytes, path: bytes, query: bytes, form: str) -> None:
    """RFC 9112 section 3.2; the target's authority goes before Host (3.2.2, 3.3)."""
    got = parse_in_beginnings(head)
    assert isinstance(got, Head), got
    assert (got.host, got.path, got.query, got.form) == (host, path, query, form)


@pytest.mark.parametrize(
    ("minor", "connection", "keep_alive"),
    [
        (1, b"A: b", True),
        (0, b"A: b", False),
        (1, b"Connection: close", False),
        (1, b"Connection: te, CLOSE", False),
        (1, b"Connection: closed", True),
        (0, b"Connection: Keep-Alive", True),
        (0, b"Connection: keep-alive\r\nConnection: close", False),
        (1, b"Connection: keep-alive, , close", False),
    ],
)
def test_persistence(minor: int, connection: bytes, keep_alive: bool) -> None:
    """RFC 9112 section 9.3."""
    got = parse(b"GET / HTTP/1.%d\r\nHost: x\r\n%b\r\n\r\n" % (minor, connection))
    assert isinstance(got, Head), got
    assert got.keep_alive is keep_alive


@pytest.mark.parametrize(
    ("minor", "fields", "expect", "upgrade"),
    [
        (1, b"Expect: 100-CONTINUE", True, False),
        (0, b"Expect: 100-continue", False, False),
        (1, b"Connection: upgrade\r\nUpgrade: websocket", False, True),
        (1, b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket", False, True),
        (1, b"Upgrade: websocket", False, False),
        (1, b"Connection: upgrade", False, False),
        (0, b"Connection: upgrade\r\nUpgrade: websocket", False, False),
    ],
)
def test_expect_and_upgrade(minor: int, fields: bytes, expect: bool, upgrade: bool) -> None:
    """RFC 9110 sections 10.1.1 and 7.8: neither counts in HTTP/1.0."""
    got = parse(b"GET / HTTP/1.%d\r\nHost: x\r\n%b\r\n\r\n" % (minor, fields))
    assert isinstance(got, Head), got
    assert (got.expect, got.upgrade) == (expect, upgrade)


def test_underscores_are_dropped_or_refused() -> None:
    """A CGI variable cannot tell X-A from X_A: the client would set what a proxy sets."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nContent_Length: 5\r\nX_A: 1\r\nX-A: 2\r\n\r\n"
    got = parse(head)
    assert isinstance(got, Head), got
    assert got.fields == ((b"Host", b"x"), (b"X-A", b"2"))
    assert got.length is None
    strict = ParseLimits(8190, 8190, 100, 65536, False)
    assert parse(head, strict) == Refused(400, "a field name with an underscore")


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        (b"/", b"/"),
        (b"", b""),
        (b"/a%20b%2Fc%c3%A9", b"/a b/c\xc3\xa9"),
        (b"/%25%32%35", b"/%25"),
        (b"/%", None),
        (b"/%2", None),
        (b"/%zz", None),
        (b"/%-1", None),
        (b"/%00", None),
    ],
)
def test_path_decode(path: bytes, decoded: bytes | None) -> None:
    assert decode_path(path) == decoded


KNOWN = {
    b"Host": b"x",
    b"Content-Length": b"1",
    b"Content-Type": b"a/b",
    b"Transfer-Encoding": b"chunked",
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_names_in_any_case(name: bytes) -> None:
    """A second one is refused, however it is written."""
    start = b"GET / HTTP/1.1\r\n" + (b"" if name == b"Host" else b"Host: x\r\n")
    for other in (name, name.lower(), name.upper(), name.swapcase()):
        fields = b"%b: %b\r\n%b: %b\r\n" % (name, KNOWN[name], other, KNOWN[name])
        assert parse(start + fields + b"\r\n") == Refused(
            400, f"more than one {name.decode()} field"
        )


@pytest.mark.parametrize("name", KNOWN)
def test_names_that_differ_in_one_letter_are_not_known(name: bytes) -> None:
    start = b"GET / HTTP/1.0\r\n"
    for at in range(len(name)):
        for byte in b"z-~^":
            other = name[:at] + bytes([byte]) + name[at + 1 :]
            if other == name:
                continue
            got = parse(start + b"%b: \xff\r\n\r\n" % other)
            assert isinstance(got, Head), (other, got)
            assert not got.host and got.length is None and not got.chunked
