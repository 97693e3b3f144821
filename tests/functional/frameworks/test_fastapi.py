"""FastAPI."""

from __future__ import annotations

import json

import pytest
from framework_server import FrameworkServer, Nest

pytest.importorskip("fastapi")


@pytest.fixture
def server(nest: Nest) -> FrameworkServer:
    """One worker."""
    return nest.serve_app("fastapi_app:app")


def test_dependencies_and_validation(nest: Nest, server: FrameworkServer) -> None:
    kind = "Content-Type: application/json"
    with server.connect() as wire:
        for number in range(5):
            found = json.loads(wire.get(f"/items/{number}?wait=true").body)
            assert found == {"number": number, "open": 1}
        assert wire.get("/items/404").status == 404
        assert wire.get("/items/none").status == 422
        assert json.loads(wire.get("/thread").body) == {"main": False}
        wire.ask("/items", "POST", b'{"name": "a", "price": "1.5"}', kind)
        assert json.loads(wire.read().body) == {"name": "a", "price": 1.5}
        nest.gate.wait("made a")
        wire.ask("/items", "POST", b'{"name": "a", "price": "x"}', kind)
        assert wire.read().status == 422
        assert wire.get("/stream").body == b"01234"
        assert "openapi" in json.loads(wire.get("/openapi.json").body)


def test_uploads(server: FrameworkServer) -> None:
    pytest.importorskip("python_multipart")
    data = b"x" * 3_000_000
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    with server.connect() as wire:
        wire.ask("/upload", "POST", form, "Content-Type: multipart/form-data; boundary=b")
        assert json.loads(wire.read().body) == {"size": len(data)}
