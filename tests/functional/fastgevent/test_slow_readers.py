"""A client that reads slowly holds its own greenlet, and neither memory nor anybody else."""

from __future__ import annotations

import socket
import time

import pytest
from backend_client import Wire
from greenlet_server import GreenletServer, Nest

FLOOD = 16 << 20
"""Bytes of one response, as in greenlet_apps."""
LITTLE = 20_000_000
"""Bytes for ten of them."""


def small_window(server: GreenletServer) -> Wire:
    """A client whose kernel holds little for it."""
    wire = Wire.__new__(Wire)
    wire.socket = socket.socket()
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.socket.settimeout(15)
    wire.socket.connect(server.listeners[0].socket.getsockname())
    wire._buffer = b""
    server.listeners[0].adopt(wire)
    return wire


def read_body(wire: Wire) -> int:
    """Reads a chunked body; how many bytes it had."""
    total = 0
    while chunk := wire.read_chunk():
        total += len(chunk)
    return total


@pytest.mark.parametrize("size", [4096, 65536])
def test_the_application_waits_and_others_do_not(nest: Nest, greenlet: str, size: int) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    server.connect().get("/who")
    before = server.memory()
    wires = [small_window(server) for _ in range(10)]
    for wire in wires:
        wire.ask(f"/flood?{size}")
    for _ in wires:
        nest.gate.wait("begun").close()
    with server.connect() as other:
        for _ in range(20):
            began = time.monotonic()
            assert other.get("/who").status == 200
            assert time.monotonic() - began < 1
    assert nest.gate.is_quiet()  # none has come to its end
    assert server.memory() - before < LITTLE
    for wire in wires[1:]:
        wire.socket.close()
    for _ in wires[1:]:
        nest.gate.wait("ended early").close()
    assert wires[0].read_head()[0] == 200
    assert read_body(wires[0]) == FLOOD
    nest.gate.wait("ended whole").close()
    assert server.connect().get("/who").status == 200


def test_write_waits_too(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    server.connect().get("/who")
    before = server.memory()
    slow = small_window(server)
    slow.ask("/flood-write")
    assert slow.read_head()[0] == 200
    with server.connect() as other:
        assert other.get("/sleep?0.2").body == b"slept"
    assert server.slot().in_flight == 1
    assert server.memory() - before < LITTLE
    assert read_body(slow) == FLOOD


def test_one_who_never_reads_is_cut(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet, "--write-timeout", "1")
    with small_window(server) as wire:
        wire.ask("/flood?65536")
        nest.gate.wait("begun").close()
        nest.gate.wait("ended early").close()
        server.wait_slot(lambda slot: slot.in_flight == 0)
