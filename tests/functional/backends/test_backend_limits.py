"""What a request may measure and how long it may take, on backends that let it be set."""

from __future__ import annotations

import select
import time

import pytest
from backend_client import WAIT, Wire
from backend_server import Nursery, Server

from chaussette.backends.base import Can

pytestmark = pytest.mark.backends(Can.WSGI | Can.LIMITS)
APP = "validated"
HEAD = b"GET /hello HTTP/1.1\r\nHost: test\r\n"
SIZES = (
    *("--limit-request-line", "100"),
    *("--limit-request-fields", "6"),
    *("--limit-request-field-size", "200"),
    *("--limit-request-head", "1024"),
)
DRIP = 100
"""Milliseconds between two bytes of a slow client."""


def status(server: Server, request: bytes) -> int:
    """Of the answer to raw bytes; the server must be well afterwards."""
    with server.connect() as wire:
        wire.send(request)
        answer = wire.read()
        assert answer.status == 200 or answer.closes
    with server.connect() as wire:
        assert wire.get("/hello").status == 200
    return answer.status


def field(name: str, size: int) -> bytes:
    """A header field whose line has `size` bytes without its end."""
    return f"{name}: ".encode().ljust(size, b"v") + b"\r\n"


def test_sizes_of_the_head(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, *SIZES)
    line = b"GET /hello?%b HTTP/1.1"
    room = 100 - len(line % b"")
    rest = b"\r\nHost: test\r\n\r\n"
    assert status(server, line % (b"q" * room) + rest) == 200
    assert status(server, line % (b"q" * (room + 1)) + rest) == 414
    assert status(server, HEAD + b"A: 1\r\n" * 5 + b"\r\n") == 200
    assert status(server, HEAD + b"A: 1\r\n" * 6 + b"\r\n") == 431
    assert status(server, HEAD + field("A", 200) + b"\r\n") == 200
    assert status(server, HEAD + field("A", 201) + b"\r\n") == 431
    # As long as it may be, and one byte longer.
    head = HEAD + field("A", 198) * 4
    last = 1024 - len(head) - 4
    assert 100 < last < 200
    assert status(server, head + field("B", last) + b"\r\n") == 200
    assert status(server, head + field("B", last + 1) + b"\r\n") == 431


def test_zero_is_as_long_as_the_head_may_be(nest: Nursery, backend: str) -> None:
    zero = ("--limit-request-line", "0", "--limit-request-field-size", "0")
    server = nest.serve(backend, APP, *zero, "--limit-request-head", "50000")
    long = b"GET /hello?" + b"q" * 20_000 + b" HTTP/1.1\r\nHost: test\r\n"
    assert status(server, long + field("A", 20_000) + b"\r\n") == 200
    assert status(server, long + field("A", 40_000) + b"\r\n") == 431


def drip(wire: Wire, byte: bytes, seconds: float) -> float:
    """Sends a byte again and again until the server answers; how many seconds that took."""
    started = time.monotonic()
    poll = select.poll()
    poll.register(wire.socket, select.POLLIN)
    while not poll.poll(DRIP):
        assert time.monotonic() - started < seconds, "the server is patient"
        wire.send(byte)
    return time.monotonic() - started


def test_the_head_has_a_deadline_that_bytes_do_not_move(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--header-timeout", "1")
    with server.connect() as wire, server.connect() as silent:
        wire.send(HEAD + b"A: ")
        assert drip(wire, b"v", WAIT) >= 0.9
        assert wire.read().status == 408
        assert silent.rest().split(b" ")[1:2] in ([], [b"408"])
    with server.connect() as wire:
        assert wire.get("/hello").status == 200


def test_a_silent_body_is_given_up(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--body-timeout", "1", "--body-rate", "0")
    with server.connect() as wire:
        wire.ask("/digest", "POST", b"x" * 10)
        assert wire.read().status == 200
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n1234")
        started = time.monotonic()
        assert wire.read().status == 408
        assert time.monotonic() - started >= 0.9


def test_a_slow_body_that_is_not_silent_is_awaited(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--body-timeout", "1", "--body-rate", "0")
    with server.connect() as wire:
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\n")
        poll = select.poll()
        poll.register(wire.socket, select.POLLIN)
        for _ in range(20):  # two seconds
            assert not poll.poll(DRIP)
            wire.send(b"x")
        assert wire.read().status == 200


def test_a_body_below_the_rate_is_given_up(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--body-timeout", "1", "--body-rate", "1000")
    with server.connect() as wire:
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n")
        assert drip(wire, b"x", WAIT) >= 0.9
        assert wire.read().status == 408


def test_who_does_not_read_is_cut(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--write-timeout", "1")
    with server.connect() as wire:
        wire.ask("/large")
        poll = select.poll()
        poll.register(wire.socket, 0)  # POLLERR and POLLHUP alone: nothing is read
        assert poll.poll(WAIT * 1000), "the connection is still there"
    with server.connect() as wire:
        assert wire.get("/hello").status == 200


def test_bodies_in_memory_and_in_a_file_are_the_same(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--body-memory", "1000")
    answers = []
    for size in (999, 1000, 1001, 300_000):
        with server.connect() as wire:
            wire.ask("/digest", "POST", b"x" * size)
            answers.append(int(wire.read().body.split()[0]))
    assert answers == [999, 1000, 1001, 300_000]
