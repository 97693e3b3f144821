"""Quart."""

from __future__ import annotations

import hashlib
import json

import pytest
from framework_server import FrameworkServer, Nest

pytest.importorskip("quart")


@pytest.fixture
def server(nest: Nest) -> FrameworkServer:
    """One worker."""
    return nest.serve_app("quart_app:app")


def test_views_bodies_and_the_end(nest: Nest, server: FrameworkServer) -> None:
    data = bytes(range(256)) * 8000
    with server.connect() as wire:
        for _ in range(3):
            found = json.loads(wire.get("/hello?q=1").body)
            assert found == {"started": "yes", "query": "1"}
            assert wire.get("/sync").body == b"sync"
        assert wire.get("/fails").status == 500
        wire.ask("/body", "POST", data)
        assert wire.read().body.decode() == hashlib.sha256(data).hexdigest()
        assert wire.get("/behind").body == b"answered"
        nest.gate.wait("behind")
    server.terminate()
    nest.gate.wait("shutdown")
    assert server.wait_exit() == 0
    assert "deliberate" in server.log()


def test_streams(nest: Nest, server: FrameworkServer) -> None:
    with server.connect() as wire:
        wire.ask("/stream")
        gate = nest.gate.wait("streaming")
        assert wire.read_head()[0] == 200
        assert wire.read_chunk() == b"first,"
        gate.close()
        assert [wire.read_chunk(), wire.read_chunk()] == [b"last", b""]
