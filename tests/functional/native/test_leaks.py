"""Nothing grows: memory, objects and descriptors over very many requests of all kinds."""

from __future__ import annotations

import json
import os
import socket
import struct

import pytest
from backend_client import Wire
from wire_rows import get, post
from wire_server import Nest, WireServer

REQUESTS = int(os.environ.get("LEAK_REQUESTS", "20000"))
"""The whole promise is 200 000: LEAK_REQUESTS=200000."""
SLACK = 1_500_000
"""Bytes that an allocator may take or give back without a leak; 200 000 requests that lose
eight bytes each are more."""


def answer(blocks: bytes, how: bytes = b"generator") -> bytes:
    return get(b"/answer?{%22blocks%22:[" + blocks + b"],%22how%22:%22" + how + b"%22}")


MIX = (
    *(get(b"/hello?%d", b"X-Number: %d").replace(b"%d", b"1"),) * 20,
    post(b"body", b"Content-Length: 4"),
    post(b"x" * 70_000, b"Content-Length: 70000"),
    post(b"4\r\nbody\r\n0\r\nA: b\r\n\r\n", b"Transfer-Encoding: chunked"),
    answer(b"%22a%22,%22b%22"),
    answer(b"%22a%22,%22b%22", b"list"),
    answer(b"%22a%22,%22b%22", b"file"),
    answer(b"[%22x%22,100000]", b"list"),
    answer(b"[%22x%22,100000],[%22y%22,30000]"),
    get(b"/files?long"),
    get(b"/closed"),
    get(b"/seen"),
    *(get(b"/hello/" + b"p" * length, b"Cookie: " + b"c" * length) for length in (10, 500, 3000)),
)
LAST = (
    get(b"/fail?call"),
    get(b"/fail?first"),
    get(b"/fail?later"),
    get(b"/twice"),
    get(b"/replaced?late"),
    b"GET / HTTP/9.9\r\n\r\n",
    post(b"zz", b"Transfer-Encoding: chunked"),
    get(b"/hello", b"Connection: close"),
)


def mixed(server: WireServer, number: int) -> int:
    """One connection with all kinds of requests, and an end of one kind."""
    with server.connect() as wire:
        for message in MIX:
            wire.send(message)
            assert wire.read().status == 200
        wire.send(LAST[number % len(LAST)])
        wire.read()
    abort(server.connect(), number)
    return len(MIX) + 2


def abort(wire: Wire, number: int) -> None:
    """A client that goes away in the middle of something."""
    messages = (get(b"/big?10000"), get()[:20], post(b"bo", b"Content-Length: 4"), get() * 3)
    wire.send(messages[number % len(messages)])
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


def measure(server: WireServer) -> tuple[int, int, int, int]:
    """Bytes of memory, objects and blocks of Python, and descriptors, once all is quiet."""
    server.wait_slot(lambda slot: slot.in_flight == 0)
    with server.connect() as wire:
        objects, blocks = json.loads(wire.get("/objects").body)
    descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    return server.memory(), objects, blocks, descriptors


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_mixed_requests(nest: Nest, backend: str, threads: int) -> None:
    log = str(nest.folder / "access")
    server = nest.serve(
        backend,
        "app",
        "--threads",
        str(threads),
        "--access-logfile",
        log,
        "--log-level",
        "critical",
    )
    for number in range(max(700, REQUESTS // 80)):  # caches fill, the threads' allocators settle
        mixed(server, number)
    before = measure(server)
    done = number = 0
    while done < REQUESTS:
        done += mixed(server, number)
        number += 1
    after = measure(server)
    report = f"{done} requests: (bytes, objects, blocks, descriptors) {before} -> {after}"
    print(report)  # noqa: T201 - a figure to report
    assert after[0] - before[0] < SLACK, report
    assert after[1] - before[1] < 50, report
    assert after[2] - before[2] < done / 40, report
    assert after[3] - before[3] <= 2, report
