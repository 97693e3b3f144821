"""Beside websockets' sans-I/O protocol: the same connections, the same frames, the same events.

Where the two differ on purpose (see docs/native.md) the test says so.
"""

from __future__ import annotations

import codecs
import itertools
import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_websocket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Agreed,
    Codec,
    Event,
    Kind,
    codec,
    frame,
    handshake,
    library,
    negotiate,
    read,
)
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import SERVER, Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

EXAMPLES = 100
CONTROLS = (Kind.PING, Kind.PONG, Kind.CLOSE)
deflates = pytest.mark.skipif(not library().ws_has_deflate(), reason="no zlib")


# --- connections ------------------------------------------------------------------


@contextmanager
def opened(
    offer: ClientPerMessageDeflateFactory | None,
    limits: tuple[int, int, bool, bool] | None,
    threshold: int = 0,
) -> Iterator[tuple[ClientProtocol, Codec]]:
    """A client of websockets that this server has accepted."""
    client = ClientProtocol(
        parse_uri("ws://localhost/"), extensions=[offer] if offer else None, max_size=None
    )
    client.send_request(client.connect())
    (request,) = client.data_to_send()
    status, answer = handshake(request, limits)
    assert status == 101
    client.receive_data(answer + b"\r\n")
    (response,) = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None and client.state is State.OPEN
    agreed = None
    if client.extensions:
        (theirs,) = client.extensions
        assert isinstance(theirs, PerMessageDeflate)
        value = dict(line.split(": ", 1) for line in request.decode().splitlines() if ": " in line)
        ours = negotiate(value["Sec-WebSocket-Extensions"], limits)
        assert ours == (
            theirs.remote_max_window_bits,
            theirs.local_max_window_bits if "client_max" in str(response.headers) else 15,
            theirs.remote_no_context_takeover,
            # A client may say that it does not, and does not need an answer to that.
            theirs.local_no_context_takeover,
        )
        agreed = Agreed(ours[0], ours[1], not ours[2], not ours[3])
    with codec(agreed, threshold=threshold) as server:
        yield client, server


MESSAGES = [
    "",
    "Hello",
    "Hello, " * 50,
    "Größe €𐍈" * 40,
    b"",
    bytes(range(256)) * 20,
    b"x" * 70_000,
]


def converse(client: ClientProtocol, server: Codec) -> None:
    """Messages of every kind in both directions, each twice."""
    for message in [*MESSAGES, *MESSAGES]:
        if isinstance(message, str):
            client.send_text(message.encode())
        else:
            client.send_binary(message)
        (event,) = server.read(b"".join(client.data_to_send()))
        data = message.encode() if isinstance(message, str) else message
        assert event.key == (Kind.TEXT if isinstance(message, str) else Kind.BINARY, data)
        client.receive_data(server.write(TEXT if isinstance(message, str) else BINARY, data))
        (back,) = client.events_received()
        assert isinstance(back, Frame)
        assert bytes(back.data) == data, client.parser_exc
    assert client.parser_exc is None


def test_without_extension() -> None:
    for offer in (None, ClientPerMessageDeflateFactory()):
        with opened(offer, None) as (client, server):
            assert not client.extensions
            converse(client, server)


@deflates
@pytest.mark.parametrize(
    "limits", [(12, 12, False, False), (15, 15, False, False), (9, 9, True, True)]
)
@pytest.mark.parametrize("no_takeover", list(itertools.product([False, True], repeat=2)))
def test_every_setting_of_the_extension(
    no_takeover: tuple[bool, bool], limits: tuple[int, int, bool, bool]
) -> None:
    for server_bits in (None, *range(9, 16)):
        for client_bits in (None, True, *range(9, 16)):
            offer = ClientPerMessageDeflateFactory(*no_takeover, server_bits, client_bits)
            with opened(offer, limits) as (client, server):
                assert client.extensions
                if server_bits in (None, 9) or client_bits in (None, 11):
                    converse(client, server)


# --- events -------------------------------------------------------------------------


def theirs(wire: bytes, deflate: bool, limit: int | None) -> tuple[list[Event], bool]:
    """What websockets makes of it, and whether it ends in an error.

    It leaves text to its callers: it is decoded here as its frames come.
    """
    protocol = Protocol(SERVER, max_size=limit)
    if deflate:
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]
    protocol.receive_data(wire)
    events: list[Event] = []
    parts: list[bytes] = []
    decoder = codecs.getincrementaldecoder("utf-8")()
    kind = Kind.BINARY
    for one in protocol.events_received():
        assert isinstance(one, Frame)
        data = bytes(one.data)
        if one.opcode in (Opcode.PING, Opcode.PONG):
            events.append(Event(Kind.PING if one.opcode is Opcode.PING else Kind.PONG, data))
        elif one.opcode is Opcode.CLOSE:
            code = int.from_bytes(data[:2], "big") if data else 1005
            events.append(Event(Kind.CLOSE, data[2:], code))
        else:
            if one.opcode is not Opcode.CONT:
                kind = Kind.TEXT if one.opcode is Opcode.TEXT else Kind.BINARY
                parts = []
                decoder.reset()
            parts.append(data)
            try:
                if kind is Kind.TEXT:
                    decoder.decode(data, one.fin)
            except UnicodeDecodeError:
                return [*events, Event(Kind.ERROR, code=1007)], True
            if one.fin:
                events.append(Event(kind, b"".join(parts)))
    if protocol.parser_exc is not None:
        assert protocol.close_sent is not None
        return [*events, Event(Kind.ERROR, code=protocol.close_sent.code)], True
    return events, False


def compressed(data: bytes) -> bytes:
    """A message that refers to none before it."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


TEXTS = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.sampled_from(["é" * 80, "a" * 200, "€𐍈"]).map(str.encode),
    st.binary(max_size=12),
    st.sampled_from([b"\xed\xa0\x80", b"\xf0\x90\x8d", b"\xc3", b"ok\xff"]),
)
DATA = st.one_of(TEXTS, st.binary(min_size=120, max_size=140))
CLOSES = st.one_of(
    st.just(b""),
    st.binary(max_size=4),
    st.tuples(st.sampled_from([1000, 1001, 1005, 1011, 2999, 3000, 4999, 5000]), TEXTS).map(
        lambda pair: pair[0].to_bytes(2, "big") + pair[1][:123]
    ),
)


@st.composite
def message(draw: st.DrawFn, deflate: bool) -> bytes:
    """One message in one to three frames, with control frames in between."""
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    data = draw(TEXTS if opcode == TEXT else DATA)
    packed = deflate and draw(st.booleans())
    data = compressed(data) if packed else data
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=2)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    wire = b""
    for i, part in enumerate(parts):
        wire += frame(
            CONT if i else opcode,
            part,
            fin=i == len(parts) - 1,
            rsv=4 if packed and i == 0 else 0,
            key=draw(st.binary(min_size=4, max_size=4)),
        )
        if draw(st.integers(0, 3)) == 0:
            wire += frame(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125)))
    return wire


@st.composite
def oddity(draw: st.DrawFn) -> bytes:
    """A frame of which nearly anything may be wrong."""
    opcode = draw(st.sampled_from([CONT, TEXT, BINARY, PING, PONG, 3, 11, 15]))
    key = draw(st.sampled_from([b"mask", b"mask", b"mask", None]))
    rsv = draw(st.sampled_from([0, 0, 0, 1, 2, 3]))
    return frame(opcode, draw(DATA), fin=draw(st.booleans()), rsv=rsv, key=key)


def sessions(deflate: bool) -> st.SearchStrategy[bytes]:
    """Messages, mostly good ones, and perhaps a close."""
    one = st.one_of(message(deflate), message(deflate), message(deflate), oddity())
    end = st.one_of(st.just(b""), CLOSES.map(lambda data: frame(CLOSE, data)))
    return st.tuples(st.lists(one, max_size=5), end).map(lambda pair: b"".join(pair[0]) + pair[1])


def pieces(wire: bytes, seed: int) -> list[bytes]:
    chosen = random.Random(seed)
    cuts = sorted(chosen.randrange(len(wire) + 1) for _ in range(chosen.randrange(12)))
    return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


def compare(wire: bytes, deflate: bool, limit: int | None, seed: int) -> None:
    agreed = Agreed() if deflate else None
    ours = read([wire], agreed, limit=limit or 0)
    for settle in (False, True):
        assert read(pieces(wire, seed), agreed, limit=limit or 0, settle=settle) == ours
    wanted, failed = theirs(wire, deflate, limit)
    got = [event.key for event in ours]
    if failed and len(got) >= len(wanted) and got[len(wanted) - 1][0] in CONTROLS:
        # A close within a fragmented message is one to us, and an error to websockets, which also
        # takes control frames for part of what the limit is of.
        kind, code = got[len(wanted) - 1][0], wanted[-1].code
        assert code == 1009 or (kind is Kind.CLOSE and code == 1002)
        assert got[: len(wanted) - 1] == [event.key for event in wanted[:-1]]
    elif failed:
        assert got[:-1] == [event.key for event in wanted[:-1]]
        assert got[-1][0] is Kind.ERROR
        # Which of two things that are wrong is found first is nobody's business, but with one of
        # them it has to be the right one.
        assert got[-1][1] in (1002, 1007, 1009)
        assert limit is not None or {got[-1][1], wanted[-1].code} <= {1002, 1007}
    else:
        assert got == [event.key for event in wanted]


@settings(max_examples=EXAMPLES, deadline=None)
@given(sessions(deflate=False), st.integers(0, 1 << 30))
def test_events(wire: bytes, seed: int) -> None:
    compare(wire, False, None, seed)


@settings(max_examples=EXAMPLES, deadline=None)
@given(sessions(deflate=False), st.integers(0, 1 << 30), st.sampled_from([1, 20, 125, 150]))
def test_events_with_a_limit(wire: bytes, seed: int, limit: int) -> None:
    compare(wire, False, limit, seed)


@deflates
@settings(max_examples=EXAMPLES, deadline=None)
@given(sessions(deflate=True), st.integers(0, 1 << 30))
def test_events_with_compression(wire: bytes, seed: int) -> None:
    compare(wire, True, None, seed)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=6),
    st.sampled_from([None, Agreed(), Agreed(9, 9), Agreed(12, 12, takeover=False)]),
    st.sampled_from([0, 50]),
    st.integers(0, 1 << 30),
)
def test_what_is_sent_is_received(
    messages: list[tuple[bool, bytes]], agreed: Agreed | None, threshold: int, seed: int
) -> None:
    """By a client on the same codec, in any pieces."""
    agreed = agreed if library().ws_has_deflate() else None
    with codec(agreed, threshold=threshold) as server:
        wire = b"".join(server.write(BINARY, data * (1 + 20 * long)) for long, data in messages)
    events = read(pieces(wire, seed), agreed, of_client=False)
    assert [event.key for event in events] == [
        (Kind.BINARY, data * (1 + 20 * long)) for long, data in messages
    ]


def test_the_handshake_of_websockets_says_the_same() -> None:
    """The same requests to both servers: accepted by both or by none."""
    key, version = b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Version: "
    good = b"dGhlIHNhbXBsZSBub25jZQ=="
    for keys, versions in itertools.product(
        ([key + good], [key + good[:-1]], [key + b"AAAA"], [], [key + good] * 2),
        ([version + b"13"], [version + b"12"], [], [version + b"13"] * 2),
    ):
        upgrade = [b"GET / HTTP/1.1", b"Host: h", b"Upgrade: websocket", b"Connection: upgrade"]
        head = b"\r\n".join([*upgrade, *keys, *versions, b"", b""])
        server = ServerProtocol()
        server.receive_data(head)
        (request,) = server.events_received()
        theirs_status = server.accept(request).status_code
        status, _ = handshake(head)
        assert (status == 101) == (theirs_status == 101), head
