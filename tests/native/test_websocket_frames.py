"""RFC 6455 frame by frame: what is accepted, what is refused, with which close code.

Each input is read whole, byte by byte, and cut at every byte, with and without giving memory
back in between; the events have to be the same.
"""

from __future__ import annotations

import pytest
from native_websocket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Event,
    Kind,
    close,
    codec,
    control,
    frame,
    library,
    read,
    read_all_ways,
)

PROTOCOL, DATA, TOO_BIG = 1002, 1007, 1009


def keys(events: list[Event]) -> list[tuple[Kind, bytes | int]]:
    return [event.key for event in events]


def text(data: str | bytes) -> tuple[Kind, bytes]:
    return (Kind.TEXT, data.encode() if isinstance(data, str) else data)


def binary(data: bytes) -> tuple[Kind, bytes]:
    return (Kind.BINARY, data)


def error(code: int) -> tuple[Kind, int]:
    return (Kind.ERROR, code)


LONG = bytes(range(256)) * 257  # 65792 bytes

ACCEPTED = {
    # framing: RFC 6455 section 5.2
    "empty text": (frame(TEXT), [text("")]),
    "empty binary": (frame(BINARY), [binary(b"")]),
    "the RFC's masked Hello": (
        bytes.fromhex("818537fa213d7f9f4d5158"),
        [text("Hello")],
    ),
    "125": (frame(TEXT, b"*" * 125), [text("*" * 125)]),
    "126": (frame(TEXT, b"*" * 126), [text("*" * 126)]),
    "127": (frame(BINARY, b"\xfe" * 127), [binary(b"\xfe" * 127)]),
    "65535": (frame(BINARY, LONG[:65535]), [binary(LONG[:65535])]),
    "65536": (frame(BINARY, LONG[:65536]), [binary(LONG[:65536])]),
    "a key of zeros": (frame(TEXT, b"abc", key=bytes(4)), [text("abc")]),
    "two messages": (frame(TEXT, b"a") + frame(BINARY, b"b"), [text("a"), binary(b"b")]),
    "part of a frame": (frame(TEXT, b"abc")[:-1], []),
    "part of a head": (frame(TEXT, b"*" * 126)[:5], []),
    # pings and pongs: sections 5.5.2, 5.5.3
    "ping": (frame(PING), [(Kind.PING, b"")]),
    "ping with binary data": (frame(PING, b"\x00\xff\xfe"), [(Kind.PING, b"\x00\xff\xfe")]),
    "ping of 125": (frame(PING, b"*" * 125), [(Kind.PING, b"*" * 125)]),
    "unsolicited pong": (frame(PONG, b"x"), [(Kind.PONG, b"x")]),
    "ten pings": (frame(PING, b"p") * 10, [(Kind.PING, b"p")] * 10),
    # fragmentation: section 5.4
    "two fragments": (frame(TEXT, b"a", fin=False) + frame(CONT, b"b"), [text("ab")]),
    "empty fragments": (
        frame(TEXT, fin=False) + frame(CONT, fin=False) + frame(CONT),
        [text("")],
    ),
    "the last fragment has it all": (frame(BINARY, fin=False) + frame(CONT, b"x"), [binary(b"x")]),
    "a ping between fragments": (
        frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONT, b"b"),
        [(Kind.PING, b"p"), text("ab")],
    ),
    "a close between fragments": (
        frame(TEXT, b"a", fin=False) + frame(CLOSE, b"\x03\xe8"),
        [(Kind.CLOSE, 1000)],
    ),
    "a hundred fragments": (
        frame(BINARY, fin=False) + frame(CONT, b"ab", fin=False) * 100 + frame(CONT),
        [binary(b"ab" * 100)],
    ),
    "a message behind a fragmented one": (
        frame(TEXT, b"a", fin=False) + frame(CONT, b"b") + frame(BINARY, b"c"),
        [text("ab"), binary(b"c")],
    ),
    # UTF-8: section 8.1
    "characters of 1 to 4 bytes": (frame(TEXT, "aé€𐍈".encode()), [text("aé€𐍈")]),
    "a character in two fragments": (
        frame(TEXT, b"\xf0\x90", fin=False) + frame(CONT, b"\x8d\x88"),
        [text("𐍈")],
    ),
    "a ping within a character": (
        frame(TEXT, b"\xe2", fin=False) + frame(PING) + frame(CONT, b"\x82\xac"),
        [(Kind.PING, b""), text("€")],
    ),
    "noncharacters and the last code point": (
        frame(TEXT, "\ufffe\uffff\U0010ffff".encode()),
        [text("\ufffe\uffff\U0010ffff")],
    ),
    "NUL and byte order mark": (frame(TEXT, b"\0\xef\xbb\xbf"), [text("\0\ufeff")]),
    "binary need not be UTF-8": (frame(BINARY, b"\xff\xfe"), [binary(b"\xff\xfe")]),
    # closing: sections 5.5.1, 7.4
    "close without code": (frame(CLOSE), [(Kind.CLOSE, 1005)]),
    "nothing behind a close": (
        frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"x") + b"\xff\xff\xff",
        [(Kind.CLOSE, 1000)],
    ),
}

REFUSED = {
    # reserved bits: section 5.2
    **{f"reserved bits {rsv} of a {opcode}": (frame(opcode, rsv=rsv), PROTOCOL)
       for rsv in range(1, 8) for opcode in (TEXT, BINARY, PING, PONG, CLOSE)},
    # opcodes: section 5.2
    **{f"opcode {opcode}": (frame(opcode), PROTOCOL) for opcode in (3, 4, 5, 6, 7, *range(11, 16))},
    "the first byte is enough": (b"\x83", PROTOCOL),
    # masks: section 5.1
    "no mask": (frame(TEXT, b"x", key=None), PROTOCOL),
    "no mask, ping": (frame(PING, key=None), PROTOCOL),
    # lengths: section 5.2
    **{f"{size} in {form} bytes": (frame(BINARY, b"x" * size, form=form), PROTOCOL)
       for size, form in ((0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8))},
    "64 bits": (frame(BINARY, length=1 << 63, form=8), PROTOCOL),
    "64 bits of ones": (frame(BINARY, length=(1 << 64) - 1, form=8), PROTOCOL),
    "63 bits": (frame(BINARY, length=(1 << 63) - 1, form=8), TOO_BIG),
    # control frames: section 5.5
    "ping of 126": (frame(PING, b"x" * 126), PROTOCOL),
    "close of 126": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), PROTOCOL),
    "ping in 2 bytes": (frame(PING, b"x", form=2), PROTOCOL),
    "ping in fragments": (frame(PING, b"x", fin=False), PROTOCOL),
    "close in fragments": (frame(CLOSE, fin=False), PROTOCOL),
    "pong in fragments": (frame(PONG, fin=False), PROTOCOL),
    # fragmentation: section 5.4
    "continuation of nothing": (frame(CONT, b"x"), PROTOCOL),
    "continuation of nothing, not the last": (frame(CONT, b"x", fin=False), PROTOCOL),
    # UTF-8: section 8.1
    **{f"text {data.hex()}": (frame(TEXT, data), DATA) for data in (
        b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xc3(", b"\xe0\x80\x80",
        b"\xe0\x9f\xbf", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x8d", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff",
        b"a" * 40 + b"\xff", b"\xc3\xa9" * 20 + b"\xa9",
    )},
    # closing: sections 5.5.1, 7.4
    "half a code": (frame(CLOSE, b"\x03"), PROTOCOL),
    "a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xc3("), DATA),
    "a reason that is cut": (frame(CLOSE, b"\x03\xe8\xe2\x82"), DATA),
}  # fmt: skip

AFTER_SOMETHING = {
    "a message within a message": (
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
        [error(PROTOCOL)],
    ),
    "another continuation": (
        frame(TEXT, b"a", fin=False) + frame(CONT, b"b") + frame(CONT, b"c"),
        [text("ab"), error(PROTOCOL)],
    ),
    "RSV1 of a continuation": (
        frame(TEXT, b"a", fin=False) + frame(CONT, b"b", rsv=4),
        [error(PROTOCOL)],
    ),
    "what was before an error stays": (
        frame(TEXT, b"a") + frame(PING) + frame(15) + frame(TEXT, b"b"),
        [text("a"), (Kind.PING, b""), error(PROTOCOL)],
    ),
    "text is refused before its end": (
        frame(TEXT, b"ok", fin=False) + frame(CONT, b"\xed\xa0\x80", fin=False) + frame(PING),
        [error(DATA)],
    ),
    "text is refused before the rest of its frame": (
        frame(TEXT, b"ok\xffabc", length=1000),
        [error(DATA)],
    ),
    "text that ends within a character": (
        frame(TEXT, b"ok", fin=False) + frame(CONT, b"\xe2\x82"),
        [error(DATA)],
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    data, wanted = ACCEPTED[name]
    events = read_all_ways(data) if len(data) < 5000 else read([data])
    assert keys(events) == wanted
    for event in events:
        assert event.ascii is (event.kind is Kind.TEXT and event.data.isascii())


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, code = REFUSED[name]
    assert keys(read_all_ways(data, limit=100_000)) == [error(code)]
    assert keys(read_all_ways(frame(BINARY, b"x") + data + frame(PING), limit=100_000)) == [
        binary(b"x"),
        error(code),
    ]


@pytest.mark.parametrize("name", AFTER_SOMETHING)
def test_refused_because_of_what_was_before(name: str) -> None:
    data, wanted = AFTER_SOMETHING[name]
    assert keys(read_all_ways(data)) == wanted


def test_every_close_code() -> None:
    """RFC 6455 section 7.4 and IANA's registry: 1012 to 1014 came later."""
    legal = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
    for code in range(65536):
        (event,) = read([frame(CLOSE, code.to_bytes(2, "big") + b"bye")])
        if code in legal:
            assert event == Event(Kind.CLOSE, b"bye", code)
        else:
            assert event.key == error(PROTOCOL)


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 65535, 65536])
def test_a_server_may_not_mask(size: int) -> None:
    plain = frame(BINARY, b"x" * size, key=None)
    assert keys(read([plain], of_client=False)) == [binary(b"x" * size)]
    assert keys(read([frame(BINARY, b"x" * size)], of_client=False)) == [error(PROTOCOL)]


# --- limits -------------------------------------------------------------------


@pytest.mark.parametrize("fragments", [1, 2, 5])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_limit(opcode: int, fragments: int) -> None:
    """The limit is of the whole message; it is passed as soon as a head says so."""

    def message(size: int) -> bytes:
        parts = [b"x" * (size // fragments)] * (fragments - 1)
        parts.append(b"x" * (size - sum(map(len, parts))))
        return b"".join(
            frame(opcode if i == 0 else CONT, part, fin=i == fragments - 1)
            for i, part in enumerate(parts)
        )

    kind = Kind.TEXT if opcode == TEXT else Kind.BINARY
    assert keys(read_all_ways(message(100) * 2, limit=100)) == [(kind, b"x" * 100)] * 2
    assert keys(read_all_ways(message(101), limit=100)) == [error(TOO_BIG)]


def test_limit_is_passed_by_the_head() -> None:
    head = frame(BINARY, length=101)[:2]
    assert keys(read([head], limit=100)) == [error(TOO_BIG)]


def test_limit_is_not_for_control_frames() -> None:
    data = frame(BINARY, b"xy", fin=False) + frame(PING, b"p" * 125) + frame(CONT)
    assert keys(read_all_ways(data, limit=2)) == [(Kind.PING, b"p" * 125), binary(b"xy")]


def test_an_announced_length_costs_no_memory() -> None:
    with codec() as one:
        assert one.read(frame(BINARY, b"x", length=1 << 40)) == []
        assert 0 < one.room < 1024
        one.read(b"x" * 1000)
        assert one.room < 4096


# --- memory -------------------------------------------------------------------


def test_a_whole_frame_is_not_copied() -> None:
    with codec() as one:
        one.read(frame(TEXT, b"a" * 500) + frame(BINARY, b"b") + frame(PING, b"p"))
        assert [bool(flags & 4) for flags in one.flags] == [True] * 3
        assert one.room == 0


def test_ws_settle_keeps_what_is_under_way_and_frees_the_rest() -> None:
    with codec(settle=True) as one:
        one.read(frame(BINARY, b"b" * 10_000, fin=False))
        assert one.room >= 10_000
        assert keys(one.read(frame(CONT, b"c"))) == [binary(b"b" * 10_000 + b"c")]
        assert one.room == 0


def test_a_silent_connection_is_small() -> None:
    assert library().stub_size() <= 320


# --- sending ------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_messages_of_the_server(size: int) -> None:
    data = (b"0123456789" * 6554)[:size]
    with codec() as one:
        assert one.write(TEXT, data) == frame(TEXT, data, key=None)
        assert one.write(BINARY, data) == frame(BINARY, data, key=None)


def test_control_frames_of_the_server() -> None:
    assert control(PING, b"p" * 125) == frame(PING, b"p" * 125, key=None)
    assert control(PONG) == frame(PONG, key=None)


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (1005, "not sent", b""),
        (1000, "", b"\x03\xe8"),
        (1001, "going", b"\x03\xe9going"),
        (4999, "x" * 124, b"\x13\x87" + b"x" * 123),
        (1000, "é" * 62, b"\x03\xe8" + "é".encode() * 61),
        (1000, "x" + "𐍈" * 31, b"\x03\xe8x" + "𐍈".encode() * 30),
    ],
)
def test_close_frames_of_the_server(code: int, reason: str, payload: bytes) -> None:
    """A reason that is too long is cut before a character."""
    assert close(code, reason) == frame(CLOSE, payload, key=None)
