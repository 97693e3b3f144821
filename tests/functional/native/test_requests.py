"""The table of requests, as a whole and in pieces."""

from __future__ import annotations

import contextlib
import socket

import pytest
from backend_client import Response, Wire
from wire_rows import ACCEPTED, REFUSED, Refused, Row, get
from wire_server import Shared, WireServer, read_all, send_apart

SMUGGLED = get(b"/smuggled")
SHORT = [row for row in ACCEPTED if len(row.send) < 160]
SHORT_REFUSED = [row for row in REFUSED if len(row.send) < 120]


def check(row: Row, wire: Wire) -> None:
    """What comes back."""
    found = read_all(wire, [method for method, _, _ in row.answers])
    for response, (_, status, body) in zip(found, row.answers, strict=True):
        assert response.status == status, row.name
        assert response.complete and response.get("date"), row.name
        assert body is None or response.body == body, row.name
    if row.stays:
        assert not found[-1].closes, row.name
        assert wire.get("/hello?after").body == b"hello", row.name
    else:
        assert wire.is_at_end(), row.name


def check_seen(row: Row, server: WireServer) -> None:
    """What the application was called with."""
    after = (("GET", "/hello?after", None),) if row.stays else ()
    seen = server.seen()
    assert [(each["method"], each["target"], each["body"]) for each in seen] == [
        *row.seen,
        *after,
    ], row.name
    assert (seen[0]["host"] or "") == row.host, row.name
    assert all(each["te"] is None for each in seen), row.name


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.name)
def test_what_is_accepted(shared: Shared, backend: str, threads: int, row: Row) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        wire.send(row.send)
        check(row, wire)
    check_seen(row, server)


def refusal(wire: Wire) -> Response:
    """The only answer on a connection that ends behind it."""
    response = wire.read()
    assert response.complete and response.closes
    assert wire.is_at_end()
    return response


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_what_is_refused(shared: Shared, backend: str, threads: int, row: Refused) -> None:
    server = shared.get(backend, threads)
    for before, behind in ((b"", b""), (b"", SMUGGLED), (get(), SMUGGLED), (get() * 300, SMUGGLED)):
        with server.connect() as wire:
            wire.send(before + row.send + behind)
            for _ in range(before.count(b"GET")):
                assert wire.read().body == b"hello"
            assert refusal(wire).status == row.status
        seen = [each["target"] for each in server.seen()]
        assert seen == ["/hello"] * before.count(b"GET")
    assert server.is_well()
    server.seen()


@pytest.mark.parametrize("row", SHORT, ids=lambda row: row.name)
def test_pieces_make_no_difference(shared: Shared, backend: str, threads: int, row: Row) -> None:
    server = shared.get(backend, threads, socket.AF_UNIX)
    server.seen()
    for cut in range(1, len(row.send)):
        with server.connect() as wire:
            send_apart(wire, (row.send[:cut], row.send[cut:]))
            check(row, wire)
        check_seen(row, server)
    with server.connect() as wire:
        send_apart(wire, [bytes([byte]) for byte in row.send])
        check(row, wire)
    check_seen(row, server)


@pytest.mark.parametrize("row", SHORT_REFUSED, ids=lambda row: row.name)
def test_nor_do_they_for_what_is_refused(
    shared: Shared, backend: str, threads: int, row: Refused
) -> None:
    server = shared.get(backend, threads, socket.AF_UNIX)
    for cut in range(1, len(row.send), 3):
        with server.connect() as wire:
            send_apart(wire, (row.send[:cut], row.send[cut:] + SMUGGLED))
            assert refusal(wire).status == row.status
    assert server.seen() == []


UNFINISHED = (
    b"GET /hello HTTP/1.1\r\nHost: test\r\n",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nbody",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n",
)


@pytest.mark.parametrize("message", UNFINISHED)
def test_half_a_message_never_looks_whole(
    shared: Shared, backend: str, threads: int, message: bytes
) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        wire.send(get() + message)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.read().body == b"hello"
        assert wire.rest().split(b" ")[1:2] in ([], [b"400"])
    assert [each["target"] for each in server.seen()] == ["/hello"]


def test_half_closed_clients_get_their_answers(shared: Shared, backend: str, threads: int) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        wire.send(get() * 5 + get(b"/big?65536"))
        wire.socket.shutdown(socket.SHUT_WR)
        assert [wire.read().body for _ in range(5)] == [b"hello"] * 5
        assert wire.read().complete
        assert wire.is_at_end()
    server.seen()


def test_pipelined_requests_of_any_number(shared: Shared, backend: str, threads: int) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        for first in range(0, 3000, 500):
            numbers = range(first, first + 500)
            wire.send(b"".join(get(b"/hello?%d" % number) for number in numbers))
            assert [wire.read().body for _ in numbers] == [b"hello"] * 500
    assert [each["target"] for each in server.seen()] == [f"/hello?{n}" for n in range(3000)]


def test_continue_is_said_when_the_body_is_read(shared: Shared, backend: str, threads: int) -> None:
    server = shared.get(backend, threads)
    head = b"POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    with server.connect() as wire:
        wire.send(get() + head)
        assert wire.read().body == b"hello"
        assert wire.read_exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"body")
        assert wire.read().body == b"body"
    server.seen()


def test_an_answer_is_not_lost_behind_what_nobody_reads(
    shared: Shared, backend: str, threads: int
) -> None:
    """RFC 9112 section 9.6: closing with bytes unread would reset the connection."""
    server = shared.get(backend, threads)
    for last in (get(b"/hello", b"Connection: close"), b"GET / HTTP/3.1\r\n\r\n"):
        with server.connect() as wire:
            wire.send(last + b"x" * 60_000)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(20):
                    wire.send(b"x" * 60_000)
            assert wire.read().status in (200, 505)
    server.seen()
