"""How greenlets end: by exceptions of every kind, by the drain, by being killed."""

from __future__ import annotations

import time

import pytest
from backend_server import GRACEFUL_TIMEOUT
from greenlet_server import Nest


@pytest.mark.parametrize("what", ["exit", "system", "keyboard", "base"])
def test_whatever_is_raised_is_a_500(nest: Nest, greenlet: str, what: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    for _ in range(3):
        with server.connect() as wire:
            assert wire.get(f"/raise?{what}").status == 500
    with server.connect() as wire:
        assert wire.get("/who").status == 200
    assert "on purpose" in server.log()


def test_timeouts(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        assert wire.get("/timed-out").body == b"in time"
        assert wire.get("/uncaught").status == 500
    assert "gevent.timeout.Timeout: 0.05 seconds" in server.log()


def test_one_that_is_killed(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        assert wire.get("/kill-self").status == 500
    with server.connect() as wire:
        assert wire.get("/who").status == 200


def test_drain_waits_for_a_hundred_that_sleep(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    wires = [server.connect() for _ in range(100)]
    for wire in wires:
        wire.ask("/sleep?0.5")
    server.wait_slot(lambda slot: slot.in_flight == 100)
    server.terminate()
    for wire in wires:
        response = wire.read()
        assert (response.body, response.closes) == (b"slept", True)
    assert server.wait_exit() == 0, server.log()
    assert "Traceback" not in server.log()


def test_those_who_outlast_the_drain_are_killed(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet, "--graceful-timeout", "1")
    wires = [server.connect() for _ in range(20)]
    for wire in wires:
        wire.ask("/sleep?60")
    server.wait_slot(lambda slot: slot.in_flight == 20)
    server.terminate()
    began = time.monotonic()
    assert server.wait_exit() == 0, server.log()
    assert time.monotonic() - began < GRACEFUL_TIMEOUT
    assert "GreenletExit" in server.log()
    for wire in wires:
        assert wire.read().status == 500


def test_one_that_cannot_be_killed_does_not_keep_the_worker(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet, "--graceful-timeout", "1")
    server.connect().ask("/stubborn")
    nest.gate.wait("stubborn").close()
    server.terminate()
    assert server.wait_exit() == 0, server.log()


def test_max_requests_of_those_who_wait(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet, "--max-requests", "3")
    wires = [server.connect() for _ in range(3)]
    for wire in wires:
        wire.ask("/sleep?0.2")
    assert [wire.read().body for wire in wires] == [b"slept"] * 3
    assert server.wait_exit() == 0, server.log()
