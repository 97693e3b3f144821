"""Nothing that one request leaves in its greenlet is there for another one."""

from __future__ import annotations

import pytest
from greenlet_server import Nest


@pytest.mark.parametrize("what", ["thread", "local", "context", "attribute", "watched"])
def test_next_request_finds_nothing(nest: Nest, greenlet: str, what: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        for _ in range(20):
            assert wire.get(f"/leave?{what}").body == b"", server.log()


def test_uncancelled_timeout_hits_nobody_else(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        for _ in range(5):
            assert wire.get("/leave?timeout").status == 200
        for _ in range(5):  # while those run out
            assert wire.get("/sleep?0.03").status == 200, server.log()


def test_what_leaves_no_trace_shares_one_greenlet(nest: Nest) -> None:
    server = nest.serve_greenlets("app")
    with server.connect() as wire:
        first = wire.get("/who").body
        assert first.startswith(b"greenlet ")
        assert {wire.get("/who").body for _ in range(100)} == {first}


def test_strict_way_gives_each_request_a_real_greenlet(nest: Nest) -> None:
    server = nest.serve_greenlets("app", "--greenlet", "spawn")
    with server.connect() as wire:
        assert wire.get("/who").body.startswith(b"Greenlet ")


def test_pipelined_requests_leak_nothing_either(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        wire.send(b"GET /leave?context HTTP/1.1\r\nHost: test\r\n\r\n" * 50)
        assert [wire.read().body for _ in range(50)] == [b""] * 50
