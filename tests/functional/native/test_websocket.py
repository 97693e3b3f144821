"""WebSockets of an ASGI application, frame by frame.

https://asgi.readthedocs.io/en/latest/specs/www.html#websocket
"""

from __future__ import annotations

import json
import os
import select
import socket

import pytest
from wire_server import Nest, WireServer
from ws_client import (
    ACCEPT,
    BINARY,
    PING,
    PONG,
    TEXT,
    Talk,
    closing,
    fragments,
    frame,
    opening,
    serve,
)

MEGABYTE = 1024 * 1024


@pytest.fixture(params=["asyncio", "uvloop"])
def server(nest: Nest, request: pytest.FixtureRequest) -> WireServer:
    """One worker on each loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return serve(nest, request.param)


# --- the handshake -------------------------------------------------------------


def test_accepted(server: WireServer) -> None:
    with Talk(server, "/echo") as talk:
        assert talk.headers.get("sec-websocket-accept") == ACCEPT
        assert talk.headers.get("upgrade") == "websocket"
        assert talk.headers.get("connection").lower() == "upgrade"
        assert talk.headers.get("server") == "Chaussette"
        assert talk.headers.get("date")
        assert not talk.headers.get("content-length")
        assert not talk.headers.get("sec-websocket-protocol")
        assert not talk.headers.get("sec-websocket-extensions")
        talk.send(frame(TEXT, b"hello"), frame(BINARY, b"\0\xff"))
        assert (talk.read(), talk.read()) == ((TEXT, b"hello"), (BINARY, b"\0\xff"))
    assert server.is_well(), "the same application over HTTP"


@pytest.mark.parametrize(
    ("fields", "status", "names"),
    [
        ({"Sec_WebSocket_Version": "8"}, 426, ("sec-websocket-version", "13")),
        ({"Sec_WebSocket_Version": None}, 426, ("upgrade", "websocket")),
        ({"Sec_WebSocket_Key": "short"}, 400, ("connection", "close")),
        ({"Sec_WebSocket_Key": None}, 400, ("connection", "close")),
        ({"Sec_WebSocket_Protocol": "a, a"}, 400, ("connection", "close")),
        ({"Sec_WebSocket_Extensions": "a;;"}, 400, ("connection", "close")),
        ({"Content_Length": "3"}, 400, ("connection", "close")),
    ],
)
def test_refused(
    server: WireServer, fields: dict[str, str | None], status: int, names: tuple[str, str]
) -> None:
    with server.connect() as wire:
        wire.send(opening("/echo", **fields))
        response = wire.read()
        assert (response.status, response.get(names[0]).lower()) == (status, names[1])
        assert wire.is_at_end()
    assert server.is_well()
    assert "Traceback" not in server.log()


def test_refused_by_the_application(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.send(opening("/refuse"))
        response = wire.read()
        assert (response.status, response.closes, wire.is_at_end()) == (403, True, True)
    nest.gate.wait("websocket.disconnect 1006 ''")
    assert "Traceback" not in server.log()


def test_without_the_upgrade_it_is_http(server: WireServer) -> None:
    with server.connect() as wire:
        for fields in ({"Upgrade": None}, {"Connection": "keep-alive"}, {"Upgrade": "h2c"}):
            wire.send(opening("/echo", **fields))
            assert wire.read().body == b"hello"


def test_the_scope(server: WireServer) -> None:
    with Talk(server, "/scope", Sec_WebSocket_Protocol="chat, superchat") as talk:
        found = json.loads(talk.text())
        assert talk.read_close() == (1000, "")
    assert found == {
        "type": "websocket",
        "scheme": "ws",
        "path": "/scope",
        "subprotocols": ["chat", "superchat"],
        "extensions": {},
        "method": False,
    }


def test_subprotocol_and_fields(server: WireServer) -> None:
    with Talk(server, "/choose", Sec_WebSocket_Protocol="chat, superchat") as talk:
        assert talk.headers.get("sec-websocket-protocol") == "superchat"
        assert (talk.headers.get("x-one"), talk.headers.get("set-cookie")) == ("1", "a=b, c=d")


def test_what_is_no_message(server: WireServer) -> None:
    with Talk(server, "/bad-accept") as talk:
        kinds = [error[0] if error else "" for error in json.loads(talk.text())]
        assert talk.read_close() == (1000, ""), "the application ended without closing"
    assert kinds == [
        *("TypeError", "TypeError", "ValueError", "TypeError"),
        *("ValueError", "ValueError", "ValueError", "ValueError"),
        *("RuntimeError", "RuntimeError", "TypeError", "TypeError"),
        "RuntimeError",
        *("TypeError", "UnicodeEncodeError", "TypeError", "TypeError", "TypeError"),
        *("ValueError", "ValueError", "TypeError", "TypeError"),
    ]


@pytest.mark.parametrize("behind", [b"", frame(TEXT, b"one") + frame(TEXT, b"two" * 9000)])
def test_frames_that_come_with_the_handshake(server: WireServer, behind: bytes) -> None:
    with Talk(server, "/echo", behind + frame(TEXT, b"last")) as talk:
        if behind:
            assert (talk.text(), talk.text()) == ("one", "two" * 9000)
        assert talk.text() == "last"


def test_all_of_a_conversation_comes_with_the_handshake(server: WireServer) -> None:
    with Talk(server, "/echo", frame(TEXT, b"one") + closing(1000, "that is all")) as talk:
        assert talk.read_close() == (1000, ""), "answers would come behind the close frame"
    server.wait_slot(lambda slot: slot.in_flight == 0)
    assert "Traceback" not in server.log()


def test_a_handshake_in_pieces(server: WireServer) -> None:
    data = opening("/echo") + frame(TEXT, b"hello")
    with server.connect() as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            wire.send(data[at : at + 1])
        assert wire.read_head()[0] == 101
        assert wire.read_exactly(7) == b"\x81\x05hello"


# --- messages ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000, MEGABYTE])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_sizes(server: WireServer, size: int, kind: int) -> None:
    payload = (
        os.urandom(size) if kind == BINARY else ("é" * (size // 2) + "a" * (size % 2)).encode()
    )
    with Talk(server, "/echo") as talk:
        talk.send(frame(kind, payload), frame(kind, b"behind"))
        assert talk.read() == (kind, payload)
        assert talk.read() == (kind, b"behind")


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_fragments_with_pings_between(server: WireServer, size: int) -> None:
    payload = ("grüße" * (size * 20)).encode()
    pieces = fragments(TEXT, payload, size)
    with Talk(server, "/echo") as talk:
        for number, piece in enumerate(pieces):
            talk.send(piece)
            if number < 3:
                talk.send(frame(PING, b"%d" % number))
                assert talk.read() == (PONG, b"%d" % number)
        assert talk.read() == (TEXT, payload)


def test_pings(server: WireServer) -> None:
    with Talk(server, "/echo") as talk:
        talk.send(frame(PING), frame(PONG, b"nobody asked"), frame(PING, b"x" * 125))
        assert (talk.read(), talk.read()) == ((PONG, b""), (PONG, b"x" * 125))


# --- the end -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "told", "back"),
    [
        (1000, "", "1000 ''", 1000),
        (1001, "à bientôt", "1001 'à bientôt'", 1001),
        (4999, "x" * 123, f"4999 {'x' * 123!r}", 4999),
        (None, "", "1005 ''", None),
    ],
)
def test_the_client_closes(
    nest: Nest, server: WireServer, code: int | None, reason: str, told: str, back: int | None
) -> None:
    with Talk(server, "/echo") as talk:
        talk.send(closing(code, reason))
        assert talk.read_close() == (back, "")
    nest.gate.wait(f"websocket.disconnect {told}")
    server.wait_slot(lambda slot: slot.in_flight == 0)


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [("", 1000, ""), ("4001-why", 4001, "why"), ("1011-x", 1011, "x")],
)
@pytest.mark.parametrize("polite", [True, False])
def test_the_application_closes(
    nest: Nest, server: WireServer, query: str, code: int, reason: str, polite: bool
) -> None:
    with Talk(server, f"/close?{query}") as talk:
        assert talk.read_close() == (code, reason)
        if polite:
            talk.send(closing(code))
    told = f"websocket.disconnect {code} {reason!r}"
    errors = [["RuntimeError", False]] * 2
    nest.gate.wait(json.dumps([*errors, told, told]))
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_sending_when_the_client_has_closed(nest: Nest, server: WireServer) -> None:
    with Talk(server, "/late") as talk:
        talk.send(closing(1001, "bye"))
        assert talk.read_close() == (1001, "")
    told = "websocket.disconnect 1001 'bye'"
    nest.gate.wait(json.dumps([told, told, True, True]))
    server.wait_slot(lambda slot: slot.in_flight == 0)
    assert "Traceback" not in server.log(), "the application cannot know better"


@pytest.mark.parametrize("reset", [False, True])
def test_an_end_without_a_close_frame(nest: Nest, server: WireServer, reset: bool) -> None:
    with Talk(server, "/echo") as talk:
        talk.send(frame(TEXT, b"one"))
        assert talk.text() == "one"
        if reset:
            linger = (1).to_bytes(4, "little") + bytes(4)
            talk.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    nest.gate.wait("websocket.disconnect 1006 ''")
    server.wait_slot(lambda slot: slot.in_flight == 0)
    assert server.is_well()


def test_an_end_before_it_is_accepted(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.send(opening("/connecting"))
        nest.gate.wait("connecting")
    nest.gate.wait("websocket.disconnect 1006 ''")
    server.wait_slot(lambda slot: slot.in_flight == 0)
    assert "Traceback" not in server.log()


ERRORS = {
    "not masked": (b"\x81\x01a", 1002),
    "a reserved bit": (frame(TEXT, b"a", rsv=4), 1002),
    "a reserved opcode": (frame(3, b"a"), 1002),
    "a continuation of nothing": (frame(0, b"a"), 1002),
    "a message in a message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "a ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "half a close code": (frame(8, b"\x03"), 1002),
    "a close code of nobody": (closing(1005), 1002),
    "text that is none": (frame(TEXT, b"\xff"), 1007),
    "half a character": (frame(TEXT, b"\xc3"), 1007),
    "a reason that is no text": (frame(8, b"\x03\xe8\xff"), 1007),
    "a message that is too long": (b"\x82\xff" + (2**40).to_bytes(8, "big") + b"mask", 1009),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(nest: Nest, server: WireServer, name: str) -> None:
    data, code = ERRORS[name]
    with Talk(server, "/echo") as talk:
        talk.send(frame(TEXT, b"good"))
        assert talk.text() == "good"
        talk.send(data, frame(TEXT, b"never seen"))
        assert talk.read_close()[0] == code
    nest.gate.wait(f"websocket.disconnect {code} ''")
    assert server.is_well()


@pytest.mark.parametrize("when", ["raise", "later-raise", "nothing"])
def test_no_answer_to_the_handshake(server: WireServer, when: str) -> None:
    with server.connect() as wire:
        wire.send(opening(f"/raises?{when}"))
        response = wire.read()
        assert (response.status, response.closes, wire.is_at_end()) == (500, True, True)
    expected = "deliberate" if "raise" in when else "the application ended before"
    assert expected in server.log()
    server.wait_slot(lambda slot: slot.in_flight == 0)


@pytest.mark.parametrize(
    ("when", "code"),
    [("after-raise", 1011), ("after-later-raise", 1011), ("after", 1000), ("after-later", 1000)],
)
def test_the_application_ends(server: WireServer, when: str, code: int) -> None:
    with Talk(server, f"/raises?{when}") as talk:
        assert talk.text() == "accepted"
        assert talk.read_close() == (code, "")
    assert ("deliberate" in server.log()) == (code == 1011)
    server.wait_slot(lambda slot: slot.in_flight == 0)


# --- back-pressure -----------------------------------------------------------------------


def send_until_held(talk: Talk, data: bytes, most: int) -> int:
    """Sends until the server takes no more for half a second; how much that was."""
    talk.wire.socket.setblocking(False)
    sent = 0
    poll = select.poll()
    poll.register(talk.wire.socket, select.POLLOUT)
    while sent < most and poll.poll(500):
        at = sent % len(data)
        sent += talk.wire.socket.send(data[at:])
    talk.wire.socket.settimeout(20)
    return sent


@pytest.mark.parametrize("size", [100, 60_000])
def test_an_application_that_does_not_receive(nest: Nest, server: WireServer, size: int) -> None:
    whole = frame(BINARY, b"x" * size)
    with Talk(server, "/deaf") as talk:
        gate = nest.gate.wait("deaf")
        before = server.memory()
        sent = send_until_held(talk, whole, 64 * MEGABYTE)
        assert sent < 32 * MEGABYTE, "the client was never held"
        assert server.memory() - before < 2 * MEGABYTE
        gate.close()
        talk.send(whole[sent % len(whole) :] if sent % len(whole) else b"", frame(BINARY, b"end"))
        count = -(-sent // len(whole))
        assert talk.text() == f"{count + 1} {count * size + 3}"
        talk.send(closing())
        assert talk.read_close() == (1000, "")
    nest.gate.wait("websocket.disconnect 1000 ''")


def test_a_client_that_does_not_read(nest: Nest, server: WireServer) -> None:
    with Talk(server, "/flood?1000") as talk:
        before = server.memory()
        said, _ = nest.gate.wait_any("sent")
        _, sent, done = said.split()
        assert done == "False", "send() did not wait"
        assert int(sent) < 300
        assert server.memory() - before < 16 * MEGABYTE
        for _ in range(1000):
            assert talk.read() == (BINARY, b"x" * 65536)
        talk.send(closing())
        assert talk.read_close() == (1000, "")
    nest.gate.wait("None websocket.disconnect 1000 ''")


def test_a_client_that_goes_while_send_waits(nest: Nest, server: WireServer) -> None:
    with Talk(server, "/flood?1000"):
        nest.gate.wait_any("sent")
    nest.gate.wait("OSError websocket.disconnect 1006 ''")
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_receiving_while_sending(server: WireServer) -> None:
    with Talk(server, "/both") as talk:
        talk.send(*(frame(TEXT, b"%d" % number) for number in range(500)))
        assert [talk.text() for _ in range(500)] == [str(number) for number in range(500)]
        assert talk.read_close() == (4000, "500")


# --- others --------------------------------------------------------------------------------


def test_a_client_that_is_silent_is_asked(nest: Nest) -> None:
    server = serve(nest, "asyncio", "--ws-ping-interval", "0.2")
    with Talk(server, "/echo") as talk:
        assert talk.read() == (PING, b"")
        talk.send(frame(PONG))
        assert talk.read() == (PING, b"")
        assert talk.wire.is_at_end(), "no answer: no connection"
    nest.gate.wait("websocket.disconnect 1006 ''")


def test_an_application_that_does_not_receive_is_not_the_clients_fault(nest: Nest) -> None:
    server = serve(nest, "asyncio", "--ws-ping-interval", "0.1")
    with Talk(server, "/deaf") as talk:
        gate = nest.gate.wait("deaf")
        assert send_until_held(talk, frame(BINARY, b"x" * 65536), 64 * MEGABYTE) > 65536
        assert [talk.read() for _ in range(5)] == [(PING, b"")] * 5
        gate.close()


def test_longest_message(nest: Nest) -> None:
    server = serve(nest, "asyncio", "--ws-max-size", "1000")
    with Talk(server, "/echo") as talk:
        talk.send(frame(BINARY, b"x" * 1000))
        assert talk.read() == (BINARY, b"x" * 1000)
        talk.send(frame(BINARY, b"x" * 1001))
        assert talk.read_close()[0] == 1009


def test_drain(nest: Nest, server: WireServer) -> None:
    with Talk(server, "/echo") as talk:
        server.terminate()
        talk.send(frame(TEXT, b"still"))
        assert talk.text() == "still"
        assert talk.read_close() == (1012, "")
        nest.gate.wait("websocket.disconnect 1012 ''")
    assert server.wait_exit() == 0


def test_channels(nest: Nest, server: WireServer) -> None:
    with Talk(server, "/channels") as talk:
        talk.send(frame(TEXT, b"one"))
        assert talk.text() == "one"
        talk.send(closing(4321, "done"))
        assert talk.read_close() == (4321, "")
    nest.gate.wait("websocket.disconnect 4321 'done'")


def test_a_broadcast(server: WireServer) -> None:
    talks = []
    for _ in range(200):
        talks.append(Talk(server, "/together"))
        assert talks[-1].text() == "joined"
    for number in range(5):
        talks[number].send(frame(TEXT, b"%d" % number))
        assert [talk.text() for talk in talks] == [str(number)] * 200
    for talk in talks:
        talk.send(closing())
        assert talk.read_close() == (1000, "")
    server.wait_slot(lambda slot: slot.in_flight == 0)
