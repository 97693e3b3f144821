"""Clients that are slow, rude or many: each is bounded, and the others do not notice."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time

import pytest
from backend_client import WAIT, Wire
from wire_apps import BIG
from wire_server import Nest, WireServer, wait_hangup

HEAD = b"GET /hello HTTP/1.1\r\nHost: test\r\n"
NEVER = 1000
"""Milliseconds without an event after which none is expected."""


def serve(nest: Nest, backend: str, threads: int, *args: str) -> WireServer:
    return nest.serve(backend, "app", "--threads", str(threads), *args)


def small_window(server: WireServer) -> Wire:
    """A connection of which the kernel keeps little."""
    wire = Wire.__new__(Wire)
    wire.socket = socket.socket()
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    wire.socket.settimeout(WAIT)
    wire.socket.connect(server.listeners[0].socket.getsockname())
    wire._buffer = b""
    server.listeners[0].adopt(wire)
    return wire


def slowest_hello(server: WireServer, number: int = 200) -> float:
    """Seconds of a request of a normal client, at the 99th percentile."""
    times = []
    with server.connect() as wire:
        for _ in range(number):
            began = time.perf_counter()
            assert wire.get("/hello").body == b"hello"
            times.append(time.perf_counter() - began)
    return sorted(times)[number * 99 // 100]


def test_500_slow_heads_do_not_hold_up_a_normal_client(
    nest: Nest, backend: str, threads: int
) -> None:
    server = serve(nest, backend, threads, "--header-timeout", "3")
    server.listeners[0].socket.listen(1024)
    alone = slowest_hello(server)
    began = time.monotonic()
    slow = [server.connect() for _ in range(500)]
    for wire in slow:
        wire.send(HEAD + b"A: ")
    beside = []
    while time.monotonic() - began < 2:
        for wire in slow[:: len(slow) // 50]:
            wire.send(b"b")
        beside.append(slowest_hello(server))
    assert min(beside) < 5 * alone + 0.005
    for wire in slow:  # the deadline is hard: the bytes in between did not move it
        assert wire.read().status == 408
    assert time.monotonic() - began < 3 + 5


def test_slow_bodies_do_not_either(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads, "--body-timeout", "2", "--body-rate", "0")
    slow = [server.connect() for _ in range(100)]
    for wire in slow:
        wire.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n1234")
    assert slowest_hello(server) < 0.5
    for wire in slow[:50]:
        wire.send(b"56789")
        assert wire.read().body == b"123456789"
    for wire in slow[50:]:
        assert wire.read().status == 408


@pytest.mark.parametrize("how", ["one", "file", "8192", "100000"])
def test_slow_readers_get_every_byte_and_cost_little_memory(
    nest: Nest, backend: str, threads: int, how: str
) -> None:
    if backend == "fastgevent" and how.isdigit():
        pytest.skip("its applications wait: tests/functional/fastgevent/test_slow_readers.py")
    server = serve(nest, backend, threads, "--keep-alive", "60")
    server.is_well()
    wires = [small_window(server) for _ in range(10)]
    for wire in wires:
        wire.ask(f"/big?{how}")
    # Each of them has been answered as far as the application goes.
    server.wait_slot(lambda slot: slot.requests >= 11 and slot.in_flight == 0)
    assert slowest_hello(server) < 0.5
    assert server.memory() < 60_000_000  # of 100 MB that wait for their readers
    for wire in wires:
        response = wire.read()
        assert response.complete and len(response.body) == BIG
        assert response.body[:512] == response.body[256 * 1000 :][:512] == bytes(range(256)) * 2
        assert wire.get("/hello").body == b"hello"


def test_a_stream_goes_on_when_its_reader_does(nest: Nest, backend: str, threads: int) -> None:
    """Once something waits for the peer, what comes later must still be tried at once."""
    server = serve(nest, backend, threads)
    wire = small_window(server)
    wire.ask("/endless?100000")
    nest.gate.wait("begun").close()
    assert wire.read_head()[0] == 200
    for _ in range(300):  # thirty megabytes while the application goes on
        assert len(wire.read_chunk()) == 100_000
    wire.socket.close()
    nest.gate.wait("ended").close()
    assert server.is_well()


def test_who_reads_nothing_of_an_endless_stream_is_cut(
    nest: Nest, backend: str, threads: int
) -> None:
    server = serve(nest, backend, threads, "--write-timeout", "1", "--timeout", "0")
    with small_window(server) as wire:
        wire.ask("/drip?begun")
        nest.gate.wait("begun").close()
        wait_hangup(wire, "a reader of nothing")
    nest.gate.wait("ended").close()
    assert server.is_well()


def test_without_a_temporary_file_memory_is_bounded_all_the_same(
    nest: Nest, backend: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/proc")  # where nothing can be made
    server = serve(nest, backend, threads)
    with small_window(server) as wire:
        for how in ("8192", "100000", "one"):
            wire.ask(f"/big?{how}")
            response = wire.read()
            assert response.complete and len(response.body) == BIG
            assert response.body[:512] == response.body[256 * 30_000 :][:512]
    assert server.memory() < 60_000_000


def test_pipelined_answers_come_in_order_to_a_slow_reader(
    nest: Nest, backend: str, threads: int
) -> None:
    """A body is not read on, and the processor is left alone, while answers wait."""
    server = serve(nest, backend, threads)
    with small_window(server) as wire:
        asked = b"{%22blocks%22:[[%22x%22,16000]],%22how%22:%22list%22}"
        wire.send((b"GET /answer?" + asked + b" HTTP/1.1\r\nHost: a\r\n\r\n") * 1500)
        wire.ask("/echo", "POST", b"", "Content-Length: 4", "Expect: 100-continue")
        server.wait_slot(lambda slot: slot.requests > 10)
        before = server.cpu()
        select.select([], [], [], NEVER / 1000)
        assert server.cpu() - before < 0.3
        assert all(wire.read().body == b"x" * 16_000 for _ in range(1500))
        assert wire.read_exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"body")
        assert wire.read().body == b"body"


def test_one_who_pipelines_slow_requests_does_not_hold_up_the_others(
    nest: Nest, backend: str
) -> None:
    server = serve(nest, backend, 1)
    with server.connect() as greedy, server.connect() as other:
        greedy.send(b"GET /busy?20 HTTP/1.1\r\nHost: test\r\n\r\n" * 200)  # four seconds
        assert greedy.read().status == 200
        began = time.monotonic()
        assert other.get("/hello").body == b"hello"
        assert time.monotonic() - began < 1
        assert all(greedy.read().status == 200 for _ in range(199))


def test_a_busy_server_closes_no_connection_whose_request_has_come(
    nest: Nest, backend: str
) -> None:
    """The time that a request waits for the application is not its client's delay."""
    server = serve(nest, backend, 1, "--keep-alive", "1", "--header-timeout", "1", "--timeout", "0")
    wires = [server.connect() for _ in range(8)]
    for wire in wires[:4]:
        assert wire.get("/hello").body == b"hello"
    for wire in wires:
        wire.ask("/busy?500")
    for wire in wires:  # four seconds in all
        assert wire.read().status == 200
    with server.connect() as wire:
        wire.ask("/busy?1500")
        assert wire.read().status == 200
        assert wire.get("/hello").body == b"hello"  # it was not idle while it waited


def reset(wire: Wire) -> None:
    """Closes with a reset."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


ABUSE = (
    b"",
    b"GET /hel",
    HEAD + b"\r\n",
    (HEAD + b"\r\n") * 50,
    b"GET /big?one HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /big?8192 HTTP/1.1\r\nHost: test\r\n\r\n",
    (HEAD + b"\r\n") * 20 + b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n1",
    b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na",
    b"nonsense\r\n\r\n",
)


def test_storms_of_resets(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads)
    before = descriptors(server)
    for _ in range(60):
        for abuse in ABUSE:
            wire = server.connect()
            wire.send(abuse)
            reset(wire)
    assert server.is_well()
    server.wait_slot(lambda slot: slot.in_flight == 0)
    end = time.monotonic() + WAIT
    while descriptors(server) > before:
        assert time.monotonic() < end, "descriptors are left"
        assert server.is_well()


def descriptors(server: WireServer) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def test_idle_connections_end_and_cost_nothing(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads, "--keep-alive", "1", "--header-timeout", "1")
    wires = []
    for number in range(100):
        wires.append(server.connect())
        assert number % 2 or wires[-1].get("/hello").body == b"hello"
    before = server.cpu()
    for wire in wires:
        assert wire.is_at_end()
    assert server.cpu() - before < 0.5


def test_limits_of_the_body(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads, "--limit-request-body", "1000")
    with server.connect() as wire:
        wire.ask("/echo", "POST", b"x" * 1000)
        assert wire.read().body == b"x" * 1000
        wire.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"1f4\r\n" + b"x" * 500 + b"\r\n1f4\r\n" + b"y" * 500 + b"\r\n0\r\n\r\n")
        assert wire.read().body == b"x" * 500 + b"y" * 500
    expects = (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    )
    with server.connect() as wire:
        wire.send(expects)
        assert wire.rest().startswith(b"HTTP/1.1 413 ")
    upload = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000
    many = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    chunks = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + many * 3000
    for message in (upload, chunks):
        with server.connect() as wire:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                wire.send(message)
            assert wire.read().status == 413
    assert [each["method"] for each in server.seen()] == ["POST", "POST"]


def test_limit_of_connections(nest: Nest, backend: str, threads: int) -> None:
    if backend == "fastgevent":
        pytest.skip("there --spawn limits requests: tests/functional/fastgevent/test_waiting.py")
    server = serve(nest, backend, threads, "--spawn", "5")
    wires = [server.connect() for _ in range(8)]
    for wire in wires:
        wire.ask("/hello")
    for wire in wires[:5]:
        assert wire.read().body == b"hello"
    poll = select.poll()
    for wire in wires[5:]:
        poll.register(wire.socket, select.POLLIN)
    before = server.cpu()
    assert not poll.poll(NEVER), "they wait in the backlog"
    assert server.cpu() - before < 0.2
    for wire in wires[:3]:
        wire.socket.close()
    for wire in wires[5:]:
        assert wire.read().body == b"hello"


def test_without_descriptors_it_waits(nest: Nest, backend: str, threads: int) -> None:
    server = nest.serve(backend, "few_files", "--threads", str(threads), "--keep-alive", "30")
    with server.connect() as first:
        assert first.get("/hello", "Connection: close").body == b"hello", "and the limit is set"
    wires = [server.connect() for _ in range(100)]
    for wire in wires:
        wire.ask("/hello")
    served = answered(wires, 300)
    assert 5 < len(served) < 100
    assert all(wire.read().body == b"hello" for wire in served)
    before = server.cpu()
    assert not readable(next(wire for wire in wires if wire not in served), NEVER)
    assert server.cpu() - before < 0.2, "it does not try again and again"
    assert served[0].get("/hello").body == b"hello", "those who are connected are served"
    began = time.monotonic()
    for wire in served:
        wire.socket.close()
    for wire in wires:
        if wire not in served:
            assert readable(wire, WAIT * 1000)
            assert time.monotonic() - began < 1
            break
    assert server.process.poll() is None


def answered(wires: list[Wire], milliseconds: float) -> list[Wire]:
    """Those that have an answer, once no further one gets one for a while."""
    poll = select.poll()
    waiting = {wire.socket.fileno(): wire for wire in wires}
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    found = []
    while events := poll.poll(milliseconds):
        for fd, _ in events:
            poll.unregister(fd)
            found.append(waiting[fd])
    return found


def readable(wire: Wire, milliseconds: float) -> bool:
    poll = select.poll()
    poll.register(wire.socket, select.POLLIN)
    return bool(poll.poll(milliseconds))
