"""What waits on a listening socket, counted by the kernel in every way that we ask."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaussette.arbiter.scaling.measure import cpu_ns
from chaussette.arbiter.scaling.queues import QueueReader
from chaussette.arbiter.sockets import ListeningSocket, SocketTable
from chaussette.settings.sockets import SocketSettings

PLACES = ("tcp", "tcp6", "unix", "abstract", "seqpacket")


def settings(place: str, folder: Path) -> SocketSettings:
    if place == "tcp6":
        return SocketSettings(name="s", host="::1", port=0)
    if place in ("unix", "seqpacket"):
        kind = socket.SOCK_SEQPACKET if place == "seqpacket" else socket.SOCK_STREAM
        return SocketSettings(name="s", path=str(folder / "s"), type=int(kind))
    if place == "abstract":
        return SocketSettings(name="s", path=f"@chaussette-test-{os.getpid()}")
    return SocketSettings(name="s", host="127.0.0.1", port=0)


@contextlib.contextmanager
def bound(wanted: SocketSettings) -> Iterator[ListeningSocket]:
    table = SocketTable()
    try:
        table.open([wanted], {})
        yield table.all()[0]
    finally:
        table.close()


@contextlib.contextmanager
def clients(one: ListeningSocket, count: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket(one.sock.family, one.sock.type))
            client.settimeout(5)
            client.connect(one.sock.getsockname())
        yield


@pytest.mark.parametrize("netlink", [True, False], ids=["netlink", "without netlink"])
@pytest.mark.parametrize("place", PLACES)
def test_those_who_wait_are_counted(place: str, netlink: bool, tmp_path: Path) -> None:
    reader = QueueReader(netlink)
    try:
        with bound(settings(place, tmp_path)) as one:
            one.sock.setblocking(True)
            one.sock.settimeout(5)
            assert reader.length(one) == 0
            with clients(one, 3):
                assert reader.length(one) == 3
                accepted = one.sock.accept()[0]
                assert reader.length(one) == 2
                accepted.close()
    finally:
        reader.close()


def test_sockets_that_only_the_workers_hold() -> None:
    reader = QueueReader()
    wanted = SocketSettings(name="s", host="127.0.0.1", port=0, so_reuseport=True)
    with bound(wanted) as one, one.own_copy() as first, one.own_copy():
        assert reader.length(one) == 0
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                client = stack.enter_context(socket.socket())
                client.settimeout(5)
                client.connect(first.getsockname())
            assert reader.length(one) == 6
    assert reader.length(one) == 0
    reader.close()


def test_datagrams_have_no_such_queue() -> None:
    with bound(
        SocketSettings(name="s", host="127.0.0.1", port=0, type=int(socket.SOCK_DGRAM))
    ) as one:
        assert QueueReader().length(one) == 0


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        reader = QueueReader()
        with bound(settings("unix", tmp_path)) as one:
            reader.length(one)
        reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_cpu_time_of_a_process() -> None:
    before = cpu_ns([os.getpid()])
    while cpu_ns([os.getpid()]) - before < 30_000_000:
        pass
    assert cpu_ns([2**22 + 1]) == 0
