"""What an ASGI application may rely on, whatever serves it (ASGI 3, RFC 9112, RFC 6455)."""

from __future__ import annotations

import hashlib
import json
import socket
import time

import pytest
from backend_choice import Shared
from backend_client import WebSocket
from backend_server import Nursery, Server

from chaussette.backends.base import IDLE_GRACE, Can

pytestmark = pytest.mark.backends(Can.ASGI)


@pytest.fixture
def nest_and_server(shared: Shared, backend: str) -> tuple[Nursery, Server]:
    return shared.get(backend, "asgi")


@pytest.fixture
def server(nest_and_server: tuple[Nursery, Server]) -> Server:
    return nest_and_server[1]


def digest(body: bytes) -> bytes:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def test_scope_is_complete_and_decoded(server: Server) -> None:
    with server.connect() as wire:
        response = wire.get("/scope/caf%C3%A9?q=1%202", "X-Thing: one", "X-Thing: two")
        port = wire.socket.getsockname()[1]
    scope = json.loads(response.body)
    assert scope["type"] == "http"
    assert scope["asgi"]["version"] == "3.0"
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/scope/café"
    assert scope["raw_path"] == "/scope/caf%C3%A9"
    assert scope["query_string"] == "q=1%202"
    assert scope["root_path"] == ""
    assert scope["client"] == ["127.0.0.1", port]
    assert scope["server"] == ["127.0.0.1", server.listeners[0].socket.getsockname()[1]]
    assert [value for name, value in scope["headers"] if name == "x-thing"] == ["one", "two"]
    assert ["host", "test"] in scope["headers"]


@pytest.mark.backends(Can.ASGI | Can.LIFESPAN)
def test_lifespan_runs_and_its_state_is_in_the_scope(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, "asgi")
    with server.connect() as wire:
        assert json.loads(wire.get("/scope").body)["state"] == {"started": "yes"}
    server.terminate()
    nest.gate.wait("lifespan shutdown").close()
    assert server.wait_exit() == 0, server.log()


@pytest.mark.backends(Can.ASGI | Can.LIFESPAN)
def test_startup_that_fails_ends_the_worker_as_an_application_that_cannot_load(
    nest: Nursery, backend: str
) -> None:
    server = nest.start(backend, "asgi_that_does_not_start")
    assert server.wait_exit() == 3, server.log()
    assert "startup" in server.log()


def test_application_without_lifespan(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, "asgi_without_lifespan")
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"
    server.terminate()
    assert server.wait_exit() == 0, server.log()


def test_head_has_no_body(server: Server) -> None:
    with server.connect() as wire:
        wire.ask("/hello", "HEAD", b"", "Connection: close")
        response = wire.read("HEAD")
        assert (response.status, response.get("content-length")) == (200, "5")
        assert wire.rest() == b""


@pytest.mark.parametrize("size", [1, 70_000, 2_000_000])
def test_post_with_content_length(server: Server, size: int) -> None:
    body = b"p" * size
    with server.connect() as wire:
        wire.ask("/digest", "POST", body)
        assert wire.read().body == digest(body)


def test_chunked_upload(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"5\r\nhello\r\n")
        wire.send(b"6\r\n world\r\n0\r\n\r\n")
        assert wire.read().body == digest(b"hello world")


@pytest.mark.backends(Can.ASGI | Can.STREAMING)
def test_first_block_arrives_before_the_last_is_made(
    nest_and_server: tuple[Nursery, Server],
) -> None:
    nest, server = nest_and_server
    with server.connect() as wire:
        wire.ask("/stream")
        gate = nest.gate.wait("streaming")
        status, headers = wire.read_head()
        assert (status, dict(headers)["transfer-encoding"]) == (200, "chunked")
        assert wire.read_chunk() == b"first,"
        gate.close()
        assert (wire.read_chunk(), wire.read_chunk()) == (b"last", b"")


def test_requests_wait_for_each_other_in_no_way(nest_and_server: tuple[Nursery, Server]) -> None:
    nest, server = nest_and_server
    with server.connect() as slow, server.connect() as fast:
        slow.ask("/gate?in")
        gate = nest.gate.wait("in")
        assert fast.get("/hello").body == b"hello"
        gate.close()
        assert slow.read().body == b"passed"


def test_disconnect_is_told(nest_and_server: tuple[Nursery, Server]) -> None:
    nest, server = nest_and_server
    with server.connect() as wire:
        wire.ask("/disconnect")
        nest.gate.wait("waiting").close()
    nest.gate.wait("http.disconnect").close()


def test_exception_is_a_500(server: Server) -> None:
    with server.connect() as wire:
        assert wire.get("/fail").status == 500
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"


def test_keep_alive(server: Server) -> None:
    with server.connect() as wire:
        for _ in range(3):
            response = wire.get("/hello")
            assert (response.body, response.closes) == (b"hello", False)
        assert wire.get("/hello", "Connection: close").body == b"hello"
        assert wire.is_at_end()


@pytest.mark.parametrize("path", ["/app/scope", "/scope"])
def test_root_path(nest: Nursery, backend: str, path: str) -> None:
    server = nest.serve(backend, "asgi_below_app", "--root-path", "/app")
    with server.connect() as wire:
        scope = json.loads(wire.get(path).body)
    assert (scope["root_path"], scope["path"]) == ("/app", "/app/scope")


@pytest.mark.backends(Can.ASGI | Can.UNIX_SOCKET)
def test_unix_socket(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, "asgi", on=[nest.listen(socket.AF_UNIX)])
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"
        assert wire.get("/scope").status == 200


@pytest.mark.backends(Can.ASGI | Can.MANY_SOCKETS)
def test_many_sockets(nest: Nursery, backend: str) -> None:
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    server = nest.serve(backend, "asgi", on=[nest.listen(each) for each in families])
    for listener in server.listeners:
        with listener.connect() as wire:
            assert wire.get("/hello").body == b"hello"


@pytest.mark.backends(Can.ASGI | Can.WEBSOCKET)
def test_websocket(nest_and_server: tuple[Nursery, Server], backend: str) -> None:
    nest, server = nest_and_server
    with server.connect() as wire:
        talk = WebSocket(wire)
        assert talk.status == 101, server.log()
        for word in ("one", "two"):
            talk.send(word)
            assert talk.receive() == (1, f"echo {word}".encode())
        talk.close(1000)
        code = 1006 if backend == "hypercorn" else 1000  # see the notes in its declaration
        nest.gate.wait(f"websocket closed {code}").close()


@pytest.mark.backends(Can.ASGI | Can.WEBSOCKET)
def test_drain_closes_websockets(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, "asgi")
    with server.connect() as wire:
        talk = WebSocket(wire)
        talk.send("hi")
        assert talk.receive() == (1, b"echo hi")
        server.terminate()
        talk.send("still here")
        assert talk.receive() == (1, b"echo still here")
        began = time.monotonic()
        frame = wire.read_exactly(2)
        assert time.monotonic() - began < IDLE_GRACE + 3
    assert frame == b"" or frame[0] & 0x0F == 8  # a close frame, or the end of the stream
    assert server.wait_exit() == 0, server.log()
