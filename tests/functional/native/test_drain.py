"""How a worker leaves: what it owes is answered, the rest is told, and it ends in time."""

from __future__ import annotations

import signal
import socket
import time

import pytest
from backend_client import Wire
from wire_rows import get
from wire_server import Nest, WireServer, wait_hangup

from chaussette.backends.base import IDLE_GRACE

MARGIN = 3.0


def serve(nest: Nest, backend: str, threads: int, *args: str) -> WireServer:
    return nest.serve(backend, "app", "--threads", str(threads), "--timeout", "0", *args)


def test_idle_ones_are_given_a_grace_and_told(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads)
    late, idle = server.connect(), server.connect()
    for wire in (late, idle):
        assert not wire.get("/hello").closes
    server.terminate()
    began = time.monotonic()
    response = late.get("/hello")
    assert (response.body, response.closes) == (b"hello", True)
    assert late.is_at_end() and idle.is_at_end()
    assert server.wait_exit() == 0
    assert time.monotonic() - began < IDLE_GRACE + MARGIN


def test_pipelined_requests_end_with_the_one_that_says_so(
    nest: Nest, backend: str, threads: int
) -> None:
    server = serve(nest, backend, threads)
    with server.connect() as wire:
        wire.send(get(b"/gate?held") + get(b"/hello?dropped") * 3)
        gate = nest.gate.wait("held")
        server.terminate()
        gate.close()
        response = wire.read()
        # The head may have been made before the signal was handled: then it says nothing, and
        # the next one does.
        if not response.closes:
            response = wire.read()
        assert response.closes and wire.is_at_end()
    assert server.wait_exit() == 0


def test_a_slow_reader_gets_all_of_it(nest: Nest, backend: str, threads: int) -> None:
    if backend == "fastgevent":
        pytest.skip("its applications wait: tests/functional/fastgevent/test_slow_readers.py")
    server = serve(nest, backend, threads, "--graceful-timeout", "60")
    wires = [server.connect() for _ in range(3)]
    for wire, how in zip(wires, ("one", "file", "10000"), strict=True):
        wire.ask(f"/big?{how}")
    server.wait_slot(lambda slot: slot.requests == 3)
    server.terminate()
    assert all(wire.read().complete for wire in wires)
    for wire in wires:
        wire.socket.close()
    assert server.wait_exit(70) == 0


def test_uploads_and_heads_under_way_are_finished(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads)
    head, body, fresh = server.connect(), server.connect(), server.connect()
    head.send(b"GET /hello HTTP/1.1\r\n")
    body.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbo")
    server.is_well()  # they have been accepted: the queue is in order
    server.terminate()
    body.send(b"dy")
    head.send(b"Host: test\r\n\r\n")
    fresh.ask("/hello")
    for wire, said in ((head, b"hello"), (body, b"body"), (fresh, b"hello")):
        response = wire.read()
        assert (response.body, response.closes) == (said, True)
    assert server.wait_exit() == 0


def test_max_requests_loses_none(nest: Nest, backend: str, threads: int) -> None:
    """Whichever request is the last says so; what comes behind it goes to the next worker."""
    listener = nest.listen()
    args = ("--threads", str(threads), "--max-requests", "100")
    servers = [nest.serve(backend, "app", *args, on=[listener])]
    answered = 0
    wire: Wire | None = None
    while answered < 350:
        if servers[-1].slot().requests >= 100:
            assert servers[-1].wait_exit() == 0
            servers.append(nest.serve(backend, "app", *args, on=[listener]))
        wire = wire or listener.connect()
        response = wire.get("/hello")
        assert response.body == b"hello"
        answered += 1
        if response.closes:
            wire.socket.close()
            wire = None
    assert len(servers) == 4


def test_a_second_signal_ends_it(nest: Nest, backend: str, threads: int) -> None:
    server = serve(nest, backend, threads)
    with server.connect() as wire:
        wire.ask("/gate?held")
        nest.gate.wait("held")
        signal.pidfd_send_signal(server.pidfd, signal.SIGTERM)
        if threads > 1:  # with one, the application has the thread that handles signals
            server.wait_notice("STOPPING")
        began = time.monotonic()
        signal.pidfd_send_signal(server.pidfd, signal.SIGQUIT)
        nest.gate.close()
        server.wait_exit()
        assert time.monotonic() - began < IDLE_GRACE


def test_one_stuck_thread_does_not_cost_the_others(nest: Nest, backend: str) -> None:
    if backend == "fastgevent":
        pytest.skip("it has one thread")
    server = serve(nest, backend, 4, "--graceful-timeout", "3")
    stuck, other = server.connect(), server.connect()
    stuck.ask("/gate?stuck")
    nest.gate.wait("stuck")
    assert other.get("/hello").body == b"hello"
    server.terminate()
    began = time.monotonic()
    assert other.get("/hello").closes
    wait_hangup(stuck, "the stuck one")
    server.wait_exit()
    assert 2 < time.monotonic() - began < 3 + 1 + MARGIN


def test_the_application_is_finished_though_its_client_has_gone(nest: Nest, backend: str) -> None:
    if backend == "fastgevent":
        pytest.skip("its applications are told: tests/functional/fastgevent")
    server = serve(nest, backend, 4)
    with server.connect() as wire:
        wire.ask("/endless?100000")
        nest.gate.wait("begun").close()
        wire.read_head()
        gated = server.connect()
        gated.ask("/stream?x")
        gate = nest.gate.wait("streaming")
        gated.socket.close()
    nest.gate.wait("ended").close()
    server.terminate()
    gate.close()
    assert server.wait_exit() == 0
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_nobody_is_left_behind_when_workers_follow_each_other(
    nest: Nest, backend: str, threads: int, family: str
) -> None:
    """Connections that wait in the backlog are the next worker's."""
    listener = nest.listen(socket.AF_UNIX if family == "unix" else socket.AF_INET)
    first = nest.serve(backend, "app", "--threads", str(threads), on=[listener])
    first.terminate()
    waiting = [listener.connect() for _ in range(20)]
    for wire in waiting:
        wire.ask("/hello", "GET", b"", "Connection: close")
    assert first.wait_exit() == 0
    nest.serve(backend, "app", "--threads", str(threads), on=[listener])
    assert [wire.read().body for wire in waiting] == [b"hello"] * 20
