"""Django's ASGI handler."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from framework_server import FrameworkServer, Nest

pytest.importorskip("django")
DATA = bytes(range(256)) * 8000


@pytest.fixture
def server(nest: Nest) -> Iterator[FrameworkServer]:
    """One worker; nothing may be in its log that is not meant to be."""
    made = nest.serve_app("django_app:app")
    yield made
    assert "Traceback" not in made.log() or "deliberate" in made.log(), made.log()


def test_views(server: FrameworkServer) -> None:
    with server.connect() as wire:
        for _ in range(3):
            response = wire.get("/asynchronous?a=1")
            assert json.loads(response.body) == {"path": "/asynchronous", "query": {"a": "1"}}
            assert response.get("x-measured") == "yes"
            assert wire.get("/synchronous").body == b"hello 127.0.0.1"
        assert wire.get("/nowhere").status == 404
        wire.ask("/synchronous", "HEAD")
        assert wire.read("HEAD").get("content-length") == "15"


def test_bodies(server: FrameworkServer) -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nBlob\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        + DATA
        + b"\r\n--b--\r\n"
    )
    digest = hashlib.sha256(DATA).hexdigest()
    with server.connect() as wire:
        wire.ask("/upload", "POST", form, "Content-Type: multipart/form-data; boundary=b")
        assert wire.read().body.decode() == f"Blob {len(DATA)} {digest}"
        wire.ask("/body", "POST", DATA)
        assert wire.read().body.decode() == digest


def test_streams(nest: Nest, server: FrameworkServer) -> None:
    with server.connect() as wire:
        wire.ask("/stream")
        gate = nest.gate.wait("streaming")
        assert wire.read_head()[0] == 200
        assert wire.read_chunk() == b"first,"
        gate.close()
        assert [wire.read_chunk(), wire.read_chunk()] == [b"last", b""]
        assert wire.get("/file").body == (Path(__file__).parent / "django_app.py").read_bytes()


def test_clients_that_leave(nest: Nest, server: FrameworkServer) -> None:
    with server.connect() as wire:
        wire.ask("/endless")
        assert wire.read_head()[0] == 200
        wire.read_chunk()
    server.wait_slot(lambda slot: slot.requests == 1 and slot.in_flight == 0)
    with server.connect() as wire:
        wire.ask("/cancelled")
        nest.gate.wait("waiting")
    nest.gate.wait("cancelled")
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_errors(server: FrameworkServer) -> None:
    with server.connect() as wire:
        assert wire.get("/fails").status == 500
        assert wire.get("/synchronous").status == 200
