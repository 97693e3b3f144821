"""The tables of requests and responses, answered by an ASGI application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import test_requests
import test_responses
from test_requests import (  # noqa: F401 - collected here with the fixtures of this module
    test_an_answer_is_not_lost_behind_what_nobody_reads,
    test_continue_is_said_when_the_body_is_read,
    test_half_a_message_never_looks_whole,
    test_half_closed_clients_get_their_answers,
    test_nor_do_they_for_what_is_refused,
    test_pipelined_requests_of_any_number,
    test_what_is_refused,
)
from wire_answers import ANSWERS, NO_FRAMING, REFUSED, Given
from wire_rows import ACCEPTED, Row
from wire_server import Shared, WireServer

IGNORED = ("Connection", "Transfer-Encoding")
"""The specification of ASGI lets applications give these, and has servers ignore them."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Servers of the twin."""
    made = Shared(tmp_path_factory.mktemp("shared"), "wire_asgi:app")
    yield made
    made.close()


@pytest.fixture
def backend() -> str:
    """The one that speaks ASGI."""
    return "native"


@pytest.fixture
def threads() -> int:
    """One loop, one thread."""
    return 1


def as_asgi(row: Row) -> Row:
    """A scope has the path and the query of an absolute target, not its host."""
    seen = tuple(
        (method, target.removeprefix("http://other:81"), body) for method, target, body in row.seen
    )
    return replace(row, seen=seen)


ROWS = [as_asgi(row) for row in ACCEPTED]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_accepted(shared: Shared, row: Row) -> None:
    test_requests.test_what_is_accepted(shared, "native", 1, row)


@pytest.mark.parametrize("row", [row for row in ROWS if len(row.send) < 160], ids=lambda r: r.name)
def test_pieces_make_no_difference(shared: Shared, row: Row) -> None:
    test_requests.test_pieces_make_no_difference(shared, "native", 1, row)


def is_for_asgi(given: Given) -> bool:
    """Without write(), which only WSGI has."""
    return "write" not in given.asked


@pytest.mark.parametrize("given", list(filter(is_for_asgi, ANSWERS)), ids=lambda given: given.name)
def test_what_is_on_the_wire(shared: Shared, given: Given) -> None:
    test_responses.test_what_is_on_the_wire(shared, "native", 1, given)


@pytest.mark.parametrize("name", [n for n, asked in REFUSED.items() if "headers" in asked])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_may_not_be(shared: Shared, name: str, method: str) -> None:
    asked = REFUSED[name]
    if asked["headers"][0][0] in IGNORED:
        server: WireServer = shared.get("native")
        with server.connect() as wire:
            response = test_responses.ask(wire, Given("", asked, b"", NO_FRAMING))
            assert (response.status, response.get("connection")) == (200, "")
    elif name != "beyond Latin-1":  # which no bytes are
        test_responses.test_what_may_not_be(shared, "native", 1, asked, method)


@pytest.mark.parametrize("where", ["call", "started"])
def test_errors_before_the_head_are_500(shared: Shared, where: str) -> None:
    server = shared.get("native")
    for method in ("GET", "HEAD"):
        with server.connect() as wire:
            wire.ask(f"/fail?{where}", method)
            response = wire.read(method)
            assert (response.status, response.closes) == (500, True)
            assert b"RuntimeError" not in response.body and wire.is_at_end()
    assert "Traceback" in server.log() and "RuntimeError" in server.log()


@pytest.mark.parametrize("where", ["later", "length"])
def test_errors_behind_the_head_cut_the_body_off(shared: Shared, where: str) -> None:
    server = shared.get("native")
    with server.connect() as wire:
        wire.ask(f"/fail?{where}")
        response = wire.read()
        assert (response.status, response.body, response.complete) == (200, b"half", False)
        assert wire.is_at_end()
    with server.connect() as wire:
        wire.send(b"GET /fail?later HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while wire.socket.recv(100):
                pass
    assert server.is_well()
