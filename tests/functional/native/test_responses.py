"""The table of responses, errors of the application, and the life of its iterable."""

from __future__ import annotations

import pytest
from backend_client import Response, Wire
from wire_answers import ANSWERS, REFUSED, Given
from wire_server import Nest, Shared


def ask(wire: Wire, given: Given) -> Response:
    """Sends it and reads the answer."""
    line = f"{given.method} {given.target} HTTP/{given.version}"
    wire.send(f"{line}\r\nHost: test\r\nConnection: keep-alive\r\n\r\n".encode())
    return wire.read(given.method)


@pytest.mark.parametrize("given", ANSWERS, ids=lambda given: given.name)
def test_what_is_on_the_wire(shared: Shared, backend: str, threads: int, given: Given) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        response = ask(wire, given)
        assert response.status == given.status
        assert response.body == given.body, len(response.body)
        assert response.complete is given.complete
        assert {name: response.get(name) for name in given.fields} == given.fields
        assert len(response.get("date").split(",")) <= 2 and response.get("server")
        if given.ends:
            assert wire.is_at_end()
        else:
            assert wire.get("/hello").body == b"hello", "nothing is left of the one before"


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_may_not_be(
    shared: Shared, backend: str, threads: int, asked: dict[str, object], method: str
) -> None:
    server = shared.get(backend, threads)
    given = Given("", asked, b"", {}, method=method)
    with server.connect() as wire:
        wire.send(f"{method} {given.target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        everything = wire.rest()
    assert everything.startswith(b"HTTP/1.1 500 ")
    assert b"owned" not in everything and b"X:" not in everything
    assert everything.endswith(b"\r\n\r\n") is (method == "HEAD")
    assert server.is_well()


@pytest.mark.parametrize("where", ["call", "started", "first"])
def test_errors_before_the_head_are_500(
    shared: Shared, backend: str, threads: int, where: str
) -> None:
    server = shared.get(backend, threads)
    for method in ("GET", "HEAD"):
        with server.connect() as wire:
            wire.ask(f"/fail?{where}", method)
            response = wire.read(method)
            assert (response.status, response.closes) == (500, True)
            assert b"RuntimeError" not in response.body and wire.is_at_end()
    assert "RuntimeError" in server.log()
    assert server.closed() == (["first", "first"] if where == "first" else [])


@pytest.mark.parametrize("where", ["later", "length"])
def test_errors_behind_the_head_cut_the_body_off(
    shared: Shared, backend: str, threads: int, where: str
) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        wire.ask(f"/fail?{where}")
        response = wire.read()
        assert (response.status, response.body, response.complete) == (200, b"half", False)
        assert wire.is_at_end()
    assert server.closed() == [where]
    assert server.is_well()


def test_where_only_the_end_of_the_connection_tells(
    shared: Shared, backend: str, threads: int
) -> None:
    """HTTP/1.0: a client can tell half a body from a whole one by a reset alone."""
    server = shared.get(backend, threads)
    with server.connect() as wire:
        wire.send(b"GET /fail?later HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while wire.socket.recv(100):
                pass
    assert server.closed() == ["later"]


def test_a_response_may_be_replaced_until_it_is_sent(
    shared: Shared, backend: str, threads: int
) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        response = wire.get("/replaced?early")
        assert (response.status, response.body) == (503, b"sorry")
        assert (response.get("x-first"), response.get("x-second")) == ("", "1")
        response = wire.get("/replaced?late")
        assert (response.status, response.body, response.complete) == (200, b"sent", False)
        assert wire.is_at_end()
    assert "found too late" in server.log()
    assert server.closed() == ["early", "late"]


@pytest.mark.parametrize("path", ["twice", "not-bytes", "not-started", "environ-gone"])
def test_breaches_of_the_contract_are_500(
    shared: Shared, backend: str, threads: int, path: str
) -> None:
    server = shared.get(backend, threads)
    with server.connect() as wire:
        assert wire.get("/" + path).status == 500
        assert wire.is_at_end()
    assert server.is_well()


def test_exc_info_of_nothing(shared: Shared, backend: str) -> None:
    server = shared.get(backend)
    with server.connect() as wire:
        response = wire.get("/no-exception")
        assert (response.body, response.complete) == (b"sent", False)
    assert server.is_well()


def test_each_block_is_on_its_way_before_the_next(nest: Nest, backend: str, threads: int) -> None:
    server = nest.serve(backend, "app", "--threads", str(threads))
    with server.connect() as wire:
        wire.ask("/stream?lazy")
        gate = nest.gate.wait("streaming")
        assert wire.read_head()[0] == 200
        assert wire.read_chunk() == b"first,"
        gate.close()
        assert [wire.read_chunk(), wire.read_chunk()] == [b"last", b""]
        wire.ask("/stream?old", "GET", b"", "Connection: close")
        nest.gate.wait("streaming").close()
        assert wire.read().body == b"first,last"
    assert server.closed() == ["lazy", "old"]


def test_close_is_called_once_whatever_the_client_does(
    nest: Nest, backend: str, threads: int
) -> None:
    server = nest.serve(backend, "app", "--threads", str(threads))
    with server.connect() as wire:
        wire.ask("/stream?head", "HEAD")
        nest.gate.wait("streaming").close() if not wire.read("HEAD").status else None
    with server.connect() as wire:
        wire.ask("/stream?gone")
        gate = nest.gate.wait("streaming")
    gate.close()
    with server.connect() as wire:
        wire.ask("/endless?1000")
        for said in ("begun",):
            nest.gate.wait(said)
        wire.read_head()
    nest.gate.wait("ended")
    assert server.closed() == ["head", "gone"]
