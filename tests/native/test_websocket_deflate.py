"""permessage-deflate (RFC 7692): what is agreed on, what is read, what is sent."""

from __future__ import annotations

import random
import zlib

import pytest
from native_websocket import (
    BINARY,
    CONT,
    PING,
    TEXT,
    Agreed,
    Event,
    Kind,
    codec,
    frame,
    library,
    negotiate,
    read,
    read_all_ways,
)

TAIL = b"\x00\x00\xff\xff"
ON, FRESH = Agreed(), Agreed(takeover=False)
HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692 section 7.2.3.1
AGAIN = bytes.fromhex("f200110000")  # section 7.2.3.2
ERROR = Kind.ERROR

pytestmark = pytest.mark.skipif(not library().ws_has_deflate(), reason="no zlib")


def packed(*messages: bytes, bits: int = 15, takeover: bool = True) -> list[bytes]:
    """Messages as Python's zlib compresses them."""
    made = []
    compressor = zlib.compressobj(wbits=-bits)
    for message in messages:
        made.append((compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4])
        if not takeover:
            compressor = zlib.compressobj(wbits=-bits)
    return made


def texts(events: list[Event]) -> list[bytes]:
    assert {event.kind for event in events} <= {Kind.TEXT}, events
    return [event.data for event in events]


# --- what is agreed on: section 7.1 ---------------------------------------------

WIDE = (15, 15, False, False)
FRUGAL = (9, 10, True, True)

AGREED = {
    "permessage-deflate": [(15, 15, False, False), (12, 15, False, False), (9, 15, True, True)],
    "permessage-deflate; client_max_window_bits": [
        (15, 15, False, False),
        (12, 12, False, False),
        (9, 10, True, True),
    ],
    "permessage-deflate; client_max_window_bits=11": [
        (15, 11, False, False),
        (12, 11, False, False),
        (9, 10, True, True),
    ],
    "permessage-deflate; client_max_window_bits=8": [
        (15, 8, False, False),
        (12, 8, False, False),
        (9, 8, True, True),
    ],
    "permessage-deflate; server_max_window_bits=10": [
        (10, 15, False, False),
        (10, 15, False, False),
        (9, 15, True, True),
    ],
    "permessage-deflate; server_max_window_bits=15": [
        (15, 15, False, False),
        (12, 15, False, False),
        (9, 15, True, True),
    ],
    "permessage-deflate; server_no_context_takeover": [
        (15, 15, True, False),
        (12, 15, True, False),
        (9, 15, True, True),
    ],
    "permessage-deflate; client_no_context_takeover": [
        (15, 15, False, True),
        (12, 15, False, True),
        (9, 15, True, True),
    ],
}


@pytest.mark.parametrize("value", AGREED)
def test_agreed(value: str) -> None:
    for ours, wanted in zip((WIDE, (12, 12, False, False), FRUGAL), AGREED[value], strict=True):
        assert negotiate(value, ours) == wanted
    assert negotiate(value, None) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        *(f"permessage-deflate; server_max_window_bits={bits}" for bits in ("7", "16", "09", "1x")),
        *(f"permessage-deflate; client_max_window_bits={bits}" for bits in ("7", "16", "010", "0")),
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
    ],
)
def test_declined(value: str) -> None:
    """None of these is an error: the connection goes on without compression (section 7.1)."""
    assert negotiate(value) is None


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", (12, 15)),
        ("x-a; b=c, permessage-deflate; client_max_window_bits=9", (12, 9)),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", (9, 15)),
        (", ,\tpermessage-deflate ;client_max_window_bits = 9 ,", (12, 9)),
        ('permessage-deflate; client_max_window_bits="9"', (12, 9)),
    ],
)
def test_the_first_offer_that_can_be_met(value: str, wanted: tuple[int, int]) -> None:
    assert negotiate(value) == (*wanted, False, False)


@pytest.mark.parametrize(
    "value",
    [
        "permessage-deflate;",
        ";",
        "permessage-deflate; ;a",
        "permessage-deflate; =1",
        "permessage-deflate; a=",
        "permessage-deflate a",
        'permessage-deflate; a="',
        'permessage-deflate; a="b',
        'permessage-deflate; a=""',
        'permessage-deflate; a="b c"',
        "permessage deflate",
        "permessage-deflate, (",
        "permessage-deflate; a=b=c",
    ],
)
def test_malformed(value: str) -> None:
    with pytest.raises(ValueError, match=r"permessage|;"):
        negotiate(value)


# --- receiving: section 7.2.2 -----------------------------------------------------

PLAIN_STORED = bytes.fromhex("000500faff48656c6c6f00")  # section 7.2.3.3
FINAL = bytes.fromhex("f348cdc9c9070000")  # section 7.2.3.4
TWO_BLOCKS = bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", ""))  # section 7.2.3.5


@pytest.mark.parametrize(
    "data",
    [HELLO, PLAIN_STORED, FINAL, TWO_BLOCKS, FINAL[:-1]],
    ids=["fixed", "stored", "final", "two blocks", "final without padding"],
)
@pytest.mark.parametrize("agreed", [ON, FRESH])
def test_the_rfcs_examples(data: bytes, agreed: Agreed) -> None:
    assert texts(read_all_ways(frame(TEXT, data, rsv=4), agreed)) == [b"Hello"]


@pytest.mark.parametrize("first", [HELLO, FINAL, FINAL[:-1], TWO_BLOCKS])
def test_the_window_outlives_a_message(first: bytes) -> None:
    wire = frame(TEXT, first, rsv=4) + frame(TEXT, AGAIN, rsv=4)
    assert texts(read_all_ways(wire, ON)) == [b"Hello", b"Hello"]
    assert [event.kind for event in read_all_ways(wire, FRESH)] == [Kind.TEXT, ERROR]


def test_empty_messages() -> None:
    wire = frame(TEXT, b"\0", rsv=4) * 2 + frame(TEXT)
    assert texts(read_all_ways(wire, ON)) == [b"", b"", b""]


def test_compressed_and_plain_messages_in_turn() -> None:
    one, two = packed(b"one" * 9, b"one" * 9)
    wire = frame(TEXT, one, rsv=4) + frame(TEXT, b"plain") + frame(TEXT, two, rsv=4)
    assert texts(read_all_ways(wire, ON)) == [b"one" * 9, b"plain", b"one" * 9]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_fragments(size: int) -> None:
    """Only the first frame has RSV1; a fragment may end anywhere (section 6.1)."""
    (data,) = packed(b"Hello, Hello, H\xc3\xa9llo")
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    wire = b"".join(
        frame(TEXT if i == 0 else CONT, part, fin=False, rsv=4 if i == 0 else 0) + frame(PING)
        for i, part in enumerate(parts)
    ) + frame(CONT)
    events = read_all_ways(wire, ON)
    assert [event.kind for event in events] == [Kind.PING] * len(parts) + [Kind.TEXT]
    assert events[-1].data == b"Hello, Hello, H\xc3\xa9llo"


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_windows(bits: int) -> None:
    """What refers to something farther back than was agreed on, and is not there, is refused."""
    noise = random.Random(1).randbytes(1 << bits)
    for size, good in (((1 << bits) - 300, True), (1 << bits, bits == 15)):
        data = noise[:size] + b"." * 3000 * (not good) + noise[:size]
        (wire,) = packed(data, bits=15)
        wire = frame(BINARY, wire, rsv=4)
        whole = [wire[i : i + 1] for i in range(len(wire))]
        (event,) = read(whole, Agreed(client_bits=bits))
        assert event.key == ((Kind.BINARY, data) if good else (ERROR, 1007))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff",
        b"\x06",  # the third type of block
        b"\0\x0a\0\xf5\xffhello",  # a stored block of ten bytes
        HELLO[:-2],
        HELLO[:3],
        b"\0" + b"\0\5\0\0\0hello",  # LEN and NLEN differ
        AGAIN,  # refers to what was not there
        packed(b"x" * 500)[0][:-1],
        HELLO + b"\x00\x00",
    ],
)
def test_broken_data(data: bytes) -> None:
    (event,) = read_all_ways(frame(BINARY, data, rsv=4), ON)
    assert event.key == (ERROR, 1007)


def test_text_is_checked_when_it_is_inflated() -> None:
    good, bad = packed("Größe €".encode(), b"ok \xed\xa0\x80")
    assert texts(read_all_ways(frame(TEXT, good, rsv=4), ON)) == ["Größe €".encode()]
    events = read_all_ways(frame(TEXT, good, rsv=4) + frame(TEXT, bad, rsv=4), ON)
    assert events[-1].key == (ERROR, 1007)
    half = packed(b"ok \xe2\x82")[0]
    assert read_all_ways(frame(TEXT, half, rsv=4), ON)[-1].key == (ERROR, 1007)


def test_without_it_rsv1_is_an_error() -> None:
    assert read([frame(TEXT, HELLO, rsv=4)])[0].key == (ERROR, 1002)


# --- limits and memory --------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_the_limit_is_of_what_it_holds(limit: int) -> None:
    data = b"ab" * 5000
    exact, more = packed(data[:limit], data[: limit + 1], takeover=False)
    events = read_all_ways(frame(BINARY, exact, rsv=4), FRESH, limit)
    assert events == [Event(Kind.BINARY, data[:limit])]
    assert read_all_ways(frame(BINARY, more, rsv=4), FRESH, limit)[0].key == (ERROR, 1009)


def test_a_bomb_gets_no_more_memory_than_the_limit() -> None:
    (bomb,) = packed(bytes(50_000_000))
    with codec(ON, limit=100_000) as one:
        assert one.read(frame(BINARY, bomb[:50], fin=False, rsv=4)) == []
        assert 10_000 < one.room <= 2 * 100_000
        (event,) = one.read(frame(CONT, bomb[50:]))
        assert event.key == (ERROR, 1009)
        assert (one.room, one.inflating) == (0, False)


def test_text_before_the_limit_is_refused_as_text() -> None:
    """Whatever pieces it comes in: the first byte that is wrong decides."""
    (data,) = packed(b"a" * 50 + b"\xff" + b"a" * 1000)
    assert read_all_ways(frame(TEXT, data, rsv=4), ON, 100)[0].key == (ERROR, 1007)


def test_blocks_without_content_do_not_go_on_for_ever() -> None:
    wire = frame(BINARY, TAIL * 100, fin=False, rsv=4) + frame(CONT, TAIL * 200, fin=False) * 3
    assert read([wire], ON, limit=100)[-1].key == (ERROR, 1009)


def test_final_blocks_are_cheap() -> None:
    """Each ends a stream of zlib: a window of 32 KB must not be copied for each of them."""
    (fill,) = packed(bytes(range(256)) * 200)
    many = frame(BINARY, b"\x03\x00" * 30_000, rsv=4)
    with codec(ON) as one:
        one.read(frame(BINARY, fill, rsv=4))
        assert one.read(many * 20) == [Event(Kind.BINARY)] * 20


def test_without_takeover_a_silent_connection_has_no_state_of_zlib() -> None:
    for agreed, stays in ((ON, True), (FRESH, False)):
        with codec(agreed, settle=True) as one:
            assert not one.inflating
            one.read(frame(TEXT, HELLO, rsv=4))
            assert one.inflating is stays


# --- sending: section 7.2.1 -----------------------------------------------------------


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", range(9, 16))
def test_what_is_sent_can_be_read(bits: int, takeover: bool) -> None:
    hello, large = b"Hello" * 20, bytes(range(200)) * 300
    inflater = zlib.decompressobj(wbits=-bits)
    with codec(Agreed(bits, bits, takeover)) as one:
        for message in (b"", hello, hello, large, b"", b"", b"x" * 200_000):
            wire = one.write(BINARY, message)
            start = 2 if wire[1] < 126 else 4 if wire[1] == 126 else 10
            compressed = takeover or message != b""
            assert wire == frame(BINARY, wire[start:], rsv=4 * compressed, key=None)
            if not takeover:
                inflater = zlib.decompressobj(wbits=-bits)
            tail = TAIL if compressed else b""
            assert inflater.decompress(wire[start:] + tail) == message


def test_small_messages_are_not_compressed() -> None:
    with codec(ON, threshold=10) as one:
        assert one.write(TEXT, b"a" * 9) == frame(TEXT, b"a" * 9, key=None)
        assert one.write(TEXT, b"a" * 10)[0] == 0xC1


def test_what_does_not_become_smaller_is_sent_as_it_is() -> None:
    """But not with context takeover: the window has it already."""
    noise = bytes(zlib.crc32(bytes([i])) % 256 for i in range(200))
    with codec(FRESH) as one:
        assert one.write(BINARY, noise) == frame(BINARY, noise, key=None)
        assert one.write(BINARY, b"a" * 200)[0] == 0xC2
    with codec(ON) as one:
        assert one.write(BINARY, noise)[0] == 0xC2
        assert len(one.write(BINARY, noise)) < 20
