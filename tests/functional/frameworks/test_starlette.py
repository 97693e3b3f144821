"""Starlette, bare and behind its own middleware."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from framework_server import FrameworkServer, Nest

pytest.importorskip("starlette")
DATA = bytes(range(256)) * 8000


@pytest.fixture(params=["bare", "marked"])
def server(request: pytest.FixtureRequest, nest: Nest) -> FrameworkServer:
    """One worker."""
    return nest.serve_app(f"starlette_app:{request.param}")


def test_views(nest: Nest, server: FrameworkServer) -> None:
    with server.connect() as wire:
        for _ in range(3):
            found = json.loads(wire.get("/asynchronous?a=1").body)
            assert found == {"query": {"a": "1"}, "state": True}
            assert wire.get("/synchronous").body == b"hello 127.0.0.1"
            assert wire.get("/old_stream").body == b"one,two"
        assert wire.get("/nowhere").status == 404
        wire.ask("/synchronous", "HEAD")
        assert wire.read("HEAD").get("content-length") == "15"
        assert wire.get("/fails").status == 500
    server.terminate()
    nest.gate.wait("shutdown")
    assert server.wait_exit() == 0
    assert "deliberate" in server.log()


def test_bodies(server: FrameworkServer) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    with server.connect() as wire:
        wire.ask("/body", "POST", DATA)
        assert wire.read().body.decode() == digest
        wire.ask("/synchronous", "POST", DATA)  # which does not read it
        assert wire.read().body == b"hello 127.0.0.1"


def test_uploads(server: FrameworkServer) -> None:
    pytest.importorskip("python_multipart")
    form = (
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nBlob\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        + DATA
        + b"\r\n--b--\r\n"
    )
    with server.connect() as wire:
        wire.ask("/upload", "POST", form, "Content-Type: multipart/form-data; boundary=b")
        assert wire.read().body.decode() == f"Blob {hashlib.sha256(DATA).hexdigest()}"


def test_streams(nest: Nest, server: FrameworkServer) -> None:
    with server.connect() as wire:
        wire.ask("/stream")
        gate = nest.gate.wait("streaming")
        assert wire.read_head()[0] == 200
        assert wire.read_chunk() == b"first,"
        gate.close()
        assert [wire.read_chunk(), wire.read_chunk()] == [b"last", b""]
        assert wire.get("/file").body == (Path(__file__).parent / "starlette_app.py").read_bytes()


def test_clients_that_leave(server: FrameworkServer) -> None:
    with server.connect() as wire:
        wire.ask("/endless")
        assert wire.read_head()[0] == 200
        wire.read_chunk()
    server.wait_slot(lambda slot: slot.requests == 1 and slot.in_flight == 0)
    assert "Traceback" not in server.log(), server.log()


def test_a_client_may_be_asked_after(nest: Nest) -> None:
    """Bare: behind BaseHTTPMiddleware is_disconnected() never says so, whatever the server."""
    server = nest.serve_app("starlette_app:bare")
    with server.connect() as wire:
        wire.ask("/disconnected")
    nest.gate.wait("disconnected")
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_background_and_the_end(nest: Nest, server: FrameworkServer) -> None:
    with server.connect() as wire:
        assert wire.get("/background").body == b"answered"
        gate = nest.gate.wait("background")
        assert wire.get("/synchronous").status == 200
    server.terminate()
    gate.close()
    nest.gate.wait("shutdown")
    assert server.wait_exit() == 0
