"""Workers that hand waiting connections to each other: none is lost on the way."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_client import WAIT, Wire
from wire_server import Nest, WireServer

from chaussette.handover import Queue

WORKERS = 4


@pytest.fixture
def backend() -> str:
    """Greenlets of one thread let each other go on; there nothing is handed over."""
    return "native"


@pytest.fixture
def queue(nest: Nest) -> Iterator[Queue]:
    """The queue of all workers of this test, in which it has an end as an arbiter would."""
    made = Queue()
    nest.queue = made
    yield made
    made.close()


def sockets(server: WireServer) -> int:
    """How many sockets the worker has."""
    number = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            number += "socket:" in os.readlink(link)
    return number


def wait_until(holds: object, what: str) -> None:
    """Looks time and again: another process's descriptors have no event."""
    end = time.monotonic() + WAIT
    assert callable(holds)
    while not holds():
        assert time.monotonic() < end, what
        select.select([], [], [], 0.005)


class Crew:
    """Workers on one socket, and clients of each of them."""

    def __init__(self, nest: Nest, backend: str, workers: int = WORKERS) -> None:
        self.nest = nest
        self.listener = nest.listen()
        args = ("--keep-alive", "60", "--timeout", "0")
        serve = nest.serve
        self.servers = [serve(backend, "app", *args, on=[self.listener]) for _ in range(workers)]
        self.clients: dict[int, list[Wire]] = {each.process.pid: [] for each in self.servers}
        for _ in range(200):
            wire = self.listener.connect()
            self.clients[int(wire.get("/pid").body)].append(wire)
            if min(map(len, self.clients.values())) >= 4:
                break
        assert min(map(len, self.clients.values())) >= 4, "shared fairly"
        self.own = {
            each.process.pid: sockets(each) - len(self.clients[each.process.pid])
            for each in self.servers
        }

    def occupy(self, server: WireServer) -> tuple[Wire, socket.socket]:
        """Its application waits for the test."""
        wire = self.clients[server.process.pid].pop()
        wire.ask("/gate?busy")
        return wire, self.nest.gate.wait("busy")

    def has_let_go(self, server: WireServer) -> bool:
        """Whether of all its clients it has only the one that it is busy with, and the gate."""
        return sockets(server) == self.own[server.process.pid] + 2


def test_an_idle_sibling_takes_what_waits_for_a_busy_one(
    nest: Nest, backend: str, queue: Queue
) -> None:
    assert queue.descriptors
    crew = Crew(nest, backend)
    busy = crew.servers[0]
    wire, gate = crew.occupy(busy)
    for client in crew.clients[busy.process.pid]:
        assert int(client.get("/pid").body) != busy.process.pid
    gate.close()
    assert wire.read().body == b"passed"
    assert all(each.process.poll() is None for each in crew.servers)


def test_a_killed_worker_costs_only_what_it_was_busy_with(
    nest: Nest, backend: str, queue: Queue
) -> None:
    """All are busy: what waits for the killed one is in the queue, which outlives it."""
    assert queue.descriptors
    crew = Crew(nest, backend)
    occupied = [crew.occupy(server) for server in crew.servers]
    waiting = [wire for wires in crew.clients.values() for wire in wires]
    for wire in waiting:
        wire.ask("/pid")
    for server in crew.servers:
        wait_until(lambda each=server: crew.has_let_go(each), "it hands nothing over")
    killed = crew.servers[0]
    signal.pidfd_send_signal(killed.pidfd, signal.SIGKILL)
    assert killed.wait_exit() == -signal.SIGKILL
    assert occupied[0][0].rest() == b""
    for wire, gate in occupied[1:]:
        gate.close()
        assert wire.read().body == b"passed"
    left = {each.process.pid for each in crew.servers[1:]}
    assert {int(wire.read().body) for wire in waiting} <= left


def test_a_reload_loses_nothing_of_the_queue(nest: Nest, backend: str, queue: Queue) -> None:
    """The last worker takes what is in there before it leaves; a new one takes it likewise."""
    assert queue.descriptors
    crew = Crew(nest, backend, workers=2)
    occupied = [crew.occupy(server) for server in crew.servers]
    waiting = [wire for wires in crew.clients.values() for wire in wires]
    for wire in waiting:
        wire.ask("/pid")
    for server in crew.servers:
        wait_until(lambda each=server: crew.has_let_go(each), "it hands nothing over")
        signal.pidfd_send_signal(server.pidfd, signal.SIGTERM)
    for wire, gate in occupied:
        gate.close()
        assert wire.read().body == b"passed"
    answers = [wire.read() for wire in waiting]
    assert all(answer.status == 200 for answer in answers)
    assert [server.wait_exit() for server in crew.servers] == [0, 0]


def test_connections_wait_in_the_queue_while_there_is_no_worker(
    nest: Nest, backend: str, queue: Queue
) -> None:
    assert queue.descriptors
    crew = Crew(nest, backend, workers=1)
    server = crew.servers[0]
    crew.occupy(server)
    waiting = crew.clients[server.process.pid]
    for wire in waiting:
        wire.ask("/pid")
    wait_until(lambda: crew.has_let_go(server), "it hands nothing over")
    signal.pidfd_send_signal(server.pidfd, signal.SIGKILL)
    server.wait_exit()
    new = nest.serve(backend, "app", on=[crew.listener])
    assert [int(wire.read().body) for wire in waiting] == [new.process.pid] * len(waiting)
