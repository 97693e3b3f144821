"""Nothing grows over very many ASGI requests: memory, objects, tasks, descriptors."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

import pytest
from wire_rows import get, post
from wire_server import HERE, Nest, WireServer

REQUESTS = int(os.environ.get("LEAK_REQUESTS", "20000"))
SLACK = 1_500_000
CHUNKED = b"Transfer-Encoding: chunked"


def stream(body: bytes, *lines: bytes) -> bytes:
    """A POST whose body is read and sent back as it comes."""
    return post(body, *lines).replace(b"/echo ", b"/echo-stream ", 1)


MIX = (
    *(get(b"/hello"),) * 10,
    *(get(b"/sleep?s"), get(b"/sleep?n")) * 4,
    stream(b"body", b"Content-Length: 4"),
    stream(b"4\r\nbody\r\n0\r\n\r\n", CHUNKED),
    get(b"/pathsend?" + str(Path(__file__)).encode()),
    get(b"/asyncio"),
    get(b"/raises?error-after"),
    *(get(b"/hello/" + b"p" * length, b"Cookie: " + b"c" * length) for length in (10, 500, 3000)),
)
LAST = (
    stream(b"x" * 90_000, b"Content-Length: 90000"),
    get(b"/raises?error-now"),
    get(b"/raises?error-later"),
    get(b"/raises?cancel-now"),
    get(b"/nothing"),
    get(b"/nothing?half"),
    stream(b"zz", CHUNKED),
    post(b"x" * 10, b"Content-Length: 100").replace(b"/echo", b"/ignore", 1),
)
LEFT = (
    get(b"/pour"),
    get(b"/drop"),
    get(b"/sleep?s") * 3,
    stream(b"half", b"Content-Length: 100"),
    stream(b"3\r\nhal", CHUNKED),
)


def mixed(server: WireServer, number: int) -> int:
    """One connection with all kinds of requests, and one whose client leaves."""
    with server.connect() as wire:
        for message in MIX:
            wire.send(message)
            assert wire.read().status == 200
        wire.send(LAST[number % len(LAST)])
        wire.read()
    with server.connect() as wire:
        wire.send(LEFT[number % len(LEFT)])
        if number % 2:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return len(MIX) + 2


def measure(server: WireServer) -> tuple[int, int, int, int, int]:
    """Bytes of memory, objects, blocks, tasks, and descriptors, once all is quiet."""
    server.wait_slot(lambda slot: slot.in_flight == 0)
    with server.connect() as wire:
        wire.get("/objects")
        objects, blocks, tasks = json.loads(wire.get("/objects").body)
    descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    return server.memory(), objects, blocks, tasks, descriptors


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_memory_of_many_mixed_requests(nest: Nest, loop: str) -> None:
    path = ("--python-path", str(HERE / "without_uvloop")) if loop == "asyncio" else ()
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = ("--log-level", "critical", "--access-logfile", str(nest.folder / "access"))
    server = nest.serve("native", "asgi_apps:app", *path, *options)
    for number in range(250):  # caches fill, allocators settle: 8000 requests
        mixed(server, number)
    before = measure(server)
    done = number = 0
    while done < REQUESTS:
        done += mixed(server, number)
        number += 1
    after = measure(server)
    report = f"{done} requests: (bytes, objects, blocks, tasks, descriptors) {before} -> {after}"
    print(report)  # noqa: T201 - a figure to report
    assert after[0] - before[0] < SLACK, report
    assert after[1] - before[1] < 50, report
    assert after[2] - before[2] < done / 40, report
    assert after[3] == before[3], report
    assert after[4] - before[4] <= 2, report
