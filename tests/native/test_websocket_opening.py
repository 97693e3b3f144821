"""The opening handshake (RFC 6455 section 4.2)."""

from __future__ import annotations

import base64
import hashlib

import pytest
from native_websocket import OURS, handshake, library

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    b"Host": b"server.example.com",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}
NO_UPGRADE = -2


def head(*more: bytes, line: bytes = b"GET /chat HTTP/1.1", **changed: bytes | None) -> bytes:
    """The RFC's example; an argument replaces a field's value, None leaves it out."""
    fields = dict(FIELDS)
    for name, value in changed.items():
        full = next(f for f in fields if f.lower().endswith(name.encode()))
        if value is None:
            del fields[full]
        else:
            fields[full] = value
    lines = [line, *(name + b": " + value for name, value in fields.items()), *more]
    return b"\r\n".join([*lines, b"", b""])


def test_the_rfcs_example() -> None:
    status, answer = handshake(head())
    assert (status, answer) == (
        101,
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    )


def test_accept_is_sha_1_in_base64() -> None:
    for i in range(300):
        key = base64.b64encode(hashlib.md5(b"%d" % i).digest())
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        wanted = base64.b64encode(hashlib.sha1(key + guid).digest())
        assert b"Sec-WebSocket-Accept: " + wanted + b"\r\n" in handshake(head(key=key))[1]


@pytest.mark.parametrize(
    "request_head",
    [
        head(upgrade=b"WebSocket"),
        head(upgrade=b"h2c, websocket"),
        head(connection=b"keep-alive, upgrade"),
        head(b"Sec-WebSocket-Extensions: x-unknown; a=b"),
        head(b"Sec-WebSocket-Protocol:"),
        head(b"Content-Length: 0"),
        head(line=b"GET http://server.example.com/chat HTTP/1.1"),
    ],
)
def test_accepted(request_head: bytes) -> None:
    status, answer = handshake(request_head)
    assert (status, b"Extensions" in answer) == (101, False)


@pytest.mark.parametrize(
    "request_head",
    [
        head(upgrade=None),
        head(upgrade=b"h2c"),
        head(upgrade=b"websocket2"),
        head(connection=b"keep-alive"),
        head(connection=None),
        head(line=b"GET /chat HTTP/1.0"),
    ],
)
def test_no_handshake_at_all(request_head: bytes) -> None:
    """An ordinary request: what asks for another protocol may be answered as if it did not."""
    assert handshake(request_head)[0] == NO_UPGRADE


@pytest.mark.parametrize(
    ("request_head", "status", "reason"),
    [
        (head(line=b"POST /chat HTTP/1.1"), 405, b"method"),
        (head(line=b"HEAD /chat HTTP/1.1"), 405, b"method"),
        (head(b"Content-Length: 3"), 400, b"body"),
        (head(b"Transfer-Encoding: chunked"), 400, b"body"),
        (head(version=None), 426, b"version"),
        (head(version=b"8"), 426, b"version"),
        (head(version=b"13, 8"), 426, b"version"),
        (head(version=b""), 426, b"version"),
        (head(b"Sec-WebSocket-Version: 13"), 400, b"more than one"),
        (head(key=None), 400, b"Key"),
        (head(key=b""), 400, b"Key"),
        (head(key=KEY[:-1]), 400, b"Key"),
        (head(key=b"dGhlIHNhbXBsZSBub25jZQ=A"), 400, b"Key"),
        (head(key=b"dGhlIHNhbXBsZSBub25jZQAA"), 400, b"Key"),
        (head(key=b"dGhlIHNhbXBsZSBub25-ZQ=="), 400, b"Key"),
        (head(key=KEY + KEY), 400, b"Key"),
        (head(b"Sec-WebSocket-Key: " + KEY), 400, b"more than one"),
        (head(b"Sec-WebSocket-Protocol: a b"), 400, b"token"),
        (head(b"Sec-WebSocket-Protocol: a, b, a"), 400, b"twice"),
        (head(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: a"), 400, b"twice"),
        (
            head(b"Sec-WebSocket-Protocol: " + b",".join(b"p%d" % i for i in range(33))),
            400,
            b"too many",
        ),
        (head(b"Sec-WebSocket-Extensions: a;"), 400, b"Extensions"),
        (
            head(b"Sec-WebSocket-Extensions: permessage-deflate", b"Sec-WebSocket-Extensions: a b"),
            400,
            b"Extensions",
        ),
    ],
)
def test_refused(request_head: bytes, status: int, reason: bytes) -> None:
    got, said = handshake(request_head)
    assert (got, reason in said) == (status, True), said


def test_subprotocols() -> None:
    """The client's, in its order, over all fields; the chosen one is named."""
    request = head(b"Sec-WebSocket-Protocol: chat, superchat", b"Sec-WebSocket-Protocol: v2.x")
    status, answer = handshake(request, subprotocol="superchat")
    assert status == 101
    assert b"Sec-WebSocket-Protocol: superchat\r\n" in answer
    assert answer.endswith(b"\r\nchat\nsuperchat\nv2.x\n")
    assert b"Sec-WebSocket-Protocol" not in handshake(request)[1]


def test_extensions_over_fields() -> None:
    field = b"Sec-WebSocket-Extensions: "
    offers = [b"x-a", b"permessage-deflate; client_max_window_bits", b"permessage-deflate"]
    answer = handshake(head(*(field + offer for offer in offers)))[1]
    wanted = b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12\r\n"
    assert answer.count(b"Extensions") == (1 if library().ws_has_deflate() else 0)
    assert (wanted in answer) is library().ws_has_deflate()
    assert b"Extensions" not in handshake(head(field + offers[1]), None)[1]


@pytest.mark.parametrize(
    ("offer", "limits", "answer"),
    [
        (b"permessage-deflate", (15, 15, False, False), b""),
        (b"permessage-deflate", OURS, b"; server_max_window_bits=12"),
        (
            b"permessage-deflate; client_max_window_bits; server_max_window_bits=9",
            (15, 15, True, True),
            b"; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
        ),
        (
            b"permessage-deflate; client_max_window_bits=10",
            (15, 15, False, False),
            b"; client_max_window_bits=10",
        ),
    ],
)
def test_the_answer_names_what_was_agreed_on(
    offer: bytes, limits: tuple[int, int, bool, bool], answer: bytes
) -> None:
    if not library().ws_has_deflate():
        pytest.skip("no zlib")
    said = handshake(head(b"Sec-WebSocket-Extensions: " + offer), limits)[1]
    assert b"Sec-WebSocket-Extensions: permessage-deflate" + answer + b"\r\n" in said
