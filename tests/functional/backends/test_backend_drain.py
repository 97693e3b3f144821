"""How a worker leaves: nothing that was accepted is lost, and it takes no longer than allowed.

The same for both interfaces, so each test runs for each pair of a backend and
an interface that it serves.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest
from backend_choice import backends, need
from backend_client import Response, Wire
from backend_server import GRACEFUL_TIMEOUT, Listener, Nursery, Server

from chaussette.backends.base import IDLE_GRACE, Can

KEEPS = backends(Can.KEEPALIVE)
THREADED = [(name, "wsgi") for name in backends(Can.WSGI | Can.THREADS)]
MARGIN = 3.0
"""Seconds more than allowed after which a busy machine is no excuse."""


def pairs(wanted: Can) -> list[tuple[str, str]]:
    """Each backend with each application that it can serve."""
    apps = [("wsgi", Can.WSGI), ("asgi", Can.ASGI)]
    return [(name, app) for app, can in apps for name in backends(can | wanted)]


def each_pair(wanted: Can) -> pytest.MarkDecorator:
    found = pairs(wanted)
    return pytest.mark.parametrize("pair", found, ids=["-".join(each) for each in found])


def serve(
    nest: Nursery, pair: tuple[str, str], *args: str, on: list[Listener] | None = None
) -> Server:
    need(pair[0])
    return nest.serve(*pair, *args, on=on)


def last_answer(wire: Wire) -> Response:
    """The response to a request that says that its connection ends.

    One that was made in another thread while the signal was being handled may
    come before it.
    """
    response = wire.read()
    return response if response.closes else wire.get("/hello")


@each_pair(Can.GRACEFUL)
def test_what_was_begun_is_finished(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair)
    kept = [server.connect() for _ in range(3)] if pair[0] in KEEPS else []
    for wire in kept:
        assert not wire.get("/hello").closes
    slow = server.connect()
    slow.ask("/gate?slow")
    gate = nest.gate.wait("slow")
    server.terminate()
    for wire in kept:
        wire.ask("/hello")
    gate.close()
    assert slow.read().body == b"passed", server.log()
    for wire in kept:
        response = last_answer(wire)
        assert (response.body, response.closes) == (b"hello", True), server.log()
        assert wire.is_at_end()
    assert server.wait_exit() == 0, server.log()


@each_pair(Can.GRACEFUL)
def test_request_that_comes_during_the_drain_is_answered(
    nest: Nursery, pair: tuple[str, str]
) -> None:
    server = serve(nest, pair)
    early, half = server.connect(), server.connect()
    half.send(b"GET /hello HTTP/1.1\r\nHo")
    with (
        server.connect() as later
    ):  # answered after the others were accepted: the queue is in order
        assert later.get("/hello", "Connection: close").body == b"hello"
    server.terminate()
    half.send(b"st: test\r\n\r\n")
    early.ask("/hello")
    for wire in (early, half):
        response = last_answer(wire)
        assert (response.body, response.closes) == (b"hello", True), server.log()
    assert server.wait_exit() == 0, server.log()


@each_pair(Can.GRACEFUL)
def test_idle_connections_are_closed_after_a_grace(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair, "--timeout", "0")
    fresh = server.connect()
    kept = server.connect()
    kept.get("/hello")
    server.terminate()
    began = time.monotonic()
    assert fresh.is_at_end()
    elapsed = time.monotonic() - began
    assert kept.is_at_end()
    assert IDLE_GRACE - 0.5 < elapsed < IDLE_GRACE + MARGIN
    assert server.wait_exit(IDLE_GRACE + MARGIN) == 0, server.log()


@each_pair(Can.GRACEFUL)
def test_drain_ends_in_time(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair, "--graceful-timeout", "1")
    wire = server.connect()
    wire.ask("/gate?stuck")
    nest.gate.wait("stuck")
    began = time.monotonic()
    server.terminate()
    server.wait_exit()  # with which status depends: an application may hold the only thread
    assert time.monotonic() - began < 1 + 1 + MARGIN


@each_pair(Can.GRACEFUL)
def test_listener_stays_usable_after_the_end(nest: Nursery, pair: tuple[str, str]) -> None:
    first = serve(nest, pair)
    first.terminate()
    assert first.wait_exit() == 0, first.log()
    waiting = first.connect()
    waiting.ask("/hello")
    serve(nest, pair, on=first.listeners)
    assert waiting.read().body == b"hello"


@each_pair(Can.GRACEFUL)
def test_second_signal_ends_at_once(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair)
    fresh = server.connect()
    with server.connect() as later:  # answered after the other was accepted
        later.get("/hello", "Connection: close")
    server.terminate()
    began = time.monotonic()
    server.process.terminate()
    server.wait_exit()
    assert time.monotonic() - began < IDLE_GRACE  # it did not wait for the idle one
    assert fresh.is_at_end()


@each_pair(Can.GRACEFUL)
def test_max_requests(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair, "--max-requests", "5")
    for _ in range(5):
        with server.connect() as wire:
            assert wire.get("/hello", "Connection: close").body == b"hello"
    assert server.wait_exit() == 0, server.log()
    assert server.slot().requests >= 5


@dataclass
class Load:
    """A client that asks one question after the other, and counts what got no answer."""

    listener: Listener
    keeps: bool
    stop: threading.Event
    lost: list[str] = field(default_factory=list)
    answered: int = 0

    def run(self) -> None:
        """Until told to stop."""
        wire: Wire | None = None
        while not self.stop.is_set():
            wire = wire or self.listener.connect()
            try:
                response = self._ask(wire)
            except (OSError, EOFError, ValueError, IndexError) as error:
                self.lost.append(repr(error))
                wire = self._close(wire)
                continue
            if response.body != b"hello":
                self.lost.append(repr(response))
            self.answered += 1
            if response.closes or not self.keeps:
                wire = self._close(wire)
        if wire is not None:
            self._close(wire)

    def _ask(self, wire: Wire) -> Response:
        return wire.get("/hello") if self.keeps else wire.get("/hello", "Connection: close")

    @staticmethod
    def _close(wire: Wire) -> None:
        wire.socket.close()


@each_pair(Can.GRACEFUL)
def test_nothing_is_lost_when_one_worker_replaces_another(
    nest: Nursery, pair: tuple[str, str]
) -> None:
    old = serve(nest, pair)
    stop = threading.Event()
    loads = [Load(old.listeners[0], keeps, stop) for keeps in (True, True, True, False, False)]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            new = serve(nest, pair, on=old.listeners)
            old.terminate()
            assert old.wait_exit() == 0, old.log()
            old = new
    finally:
        stop.set()
        for thread in threads:
            thread.join(GRACEFUL_TIMEOUT)
    assert [load.lost for load in loads] == [[] for _ in loads], old.log()
    assert all(load.answered for load in loads)


@each_pair(Can.NOTHING)
def test_slot_counts_requests(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair)
    with server.connect() as slow:
        slow.ask("/gate?counted", "GET", b"", "Connection: close")
        gate = nest.gate.wait("counted")
        server.wait_slot(lambda slot: slot.in_flight == 1)
        gate.close()
        slow.read()
    for _ in range(3):
        with server.connect() as wire:
            wire.get("/hello", "Connection: close")
    slot = server.wait_slot(lambda slot: slot.requests == 4)
    assert (slot.in_flight, slot.errors) == (0, 0)
    assert slot.busy_ns > 0
    assert slot.bytes_sent == 3 * len(b"hello") + len(b"passed")


@each_pair(Can.NOTHING)
def test_heart_beats_while_nothing_happens(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair, "--timeout", "3")
    beats = {server.slot().heartbeat_ns}
    for _ in range(2):
        beats.add(server.wait_slot(lambda slot: slot.heartbeat_ns not in beats).heartbeat_ns)
    newest, last, *_ = sorted(beats, reverse=True)
    assert newest - last < 1.5e9


@each_pair(Can.KEEPALIVE_TIMEOUT)
def test_keepalive_timeout(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair, "--keep-alive", "1")
    with server.connect() as wire:
        wire.get("/hello")
        began = time.monotonic()
        assert wire.is_at_end()
        assert 0.5 < time.monotonic() - began < 1 + MARGIN


@each_pair(Can.KEEPALIVE_TIMEOUT)
def test_keepalive_can_be_switched_off(nest: Nursery, pair: tuple[str, str]) -> None:
    server = serve(nest, pair, "--keep-alive", "0")
    with server.connect() as wire:
        assert wire.get("/hello").closes
        assert wire.is_at_end()


@each_pair(Can.SPAWN_LIMIT)
def test_spawn_limits_requests_at_a_time(nest: Nursery, pair: tuple[str, str]) -> None:
    threads = ("--threads", "4") if pair in THREADED else ()
    server = serve(nest, pair, "--spawn", "2", *threads)
    wires = [server.connect() for _ in range(3)]
    for wire in wires:
        wire.ask("/gate?in", "GET", b"", "Connection: close")
    gates = [nest.gate.wait("in") for _ in range(2)]
    server.wait_slot(lambda slot: slot.in_flight == 2)
    assert nest.gate.is_quiet()
    gates[0].close()
    nest.gate.wait("in").close()
    gates[1].close()
    assert [wire.read().body for wire in wires] == [b"passed"] * 3
