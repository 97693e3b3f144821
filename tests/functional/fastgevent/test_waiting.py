"""A request that waits lets the others go on, whatever it waits for."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_server import wait_readable
from greenlet_server import Nest


def test_a_hundred_wait_at_a_time(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    wires = [server.connect() for _ in range(100)]
    for number, wire in enumerate(wires):
        wire.ask(f"/gate?at-{number}")
    held = [nest.gate.wait_any() for _ in wires]
    assert sorted(name for name, _ in held) == sorted(f"at-{number}" for number in range(100))
    server.wait_slot(lambda slot: slot.in_flight == 100)
    for _, gate in held:
        gate.close()
    for number, wire in enumerate(wires):
        assert wire.read().body == f"at-{number}".encode()


def test_those_who_sleep_sleep_together(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    wires = [server.connect() for _ in range(50)]
    began = time.monotonic()
    for wire in wires:
        wire.ask("/sleep?0.2")
    assert {wire.read().body for wire in wires} == {b"slept"}
    assert time.monotonic() - began < 5  # of ten seconds one after the other


def test_pipelined_requests_wait_for_each_other(nest: Nest, greenlet: str) -> None:
    """They are answered in their order, and what came behind one that waits is kept."""
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        wire.send(
            b"POST /gate?one HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n1st"
            b"POST /gate?two HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n2nd"
            b"GET /who HTTP/1.1\r\nHost: test\r\n\r\nGET /gate?"
        )
        first = nest.gate.wait("one")
        with server.connect() as other:  # whose bytes pass through the same buffers
            assert other.get("/who").status == 200
        wire.send(b"three HTTP/1.1\r\nHost: test\r\n\r\n")
        first.close()
        nest.gate.wait("two").close()
        nest.gate.wait("three").close()
        bodies = [wire.read().body for _ in range(4)]
    assert bodies[0] == b"1st" and bodies[1] == b"2nd" and bodies[3] == b"three"


@pytest.mark.parametrize("how", ["stream", "write"])
def test_responses_that_switch_do_not_mix(nest: Nest, greenlet: str, how: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    wires = {name: server.connect() for name in "abcdefgh"}
    for name, wire in wires.items():
        wire.ask(f"/{how}?{name}")
    for name, wire in wires.items():
        expected = "".join(f"{name}{number}," for number in range(100)).encode()
        assert wire.read().body == expected


def test_a_lock_of_threading_waits_for_others(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    one, two = server.connect(), server.connect()
    one.ask("/locked")
    gate = nest.gate.wait("locked")
    two.ask("/locked")
    with server.connect() as wire:
        assert wire.get("/who").status == 200
    server.wait_slot(lambda slot: slot.in_flight == 2)
    gate.close()
    nest.gate.wait("locked").close()
    assert (one.read().body, two.read().body) == (b"locked", b"locked")


def test_a_greenlet_of_the_application_outlives_its_request(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    with server.connect() as wire:
        assert wire.get("/background").body == b"spawned"
        nest.gate.wait("background").close()
        assert wire.get("/given-away").body == b"by another,by its own"


def test_limit_of_requests(nest: Nest, greenlet: str) -> None:
    """At the limit, requests on open connections wait, and others at the door."""
    server = nest.serve_greenlets("app", "--greenlet", greenlet, "--spawn", "3")
    wires = [server.connect() for _ in range(8)]
    for wire in wires:
        wire.ask("/gate?in")
    held = [nest.gate.wait("in") for _ in range(3)]
    server.wait_slot(lambda slot: slot.in_flight == 3)
    assert nest.gate.is_quiet()
    for _ in range(5):
        held.pop(0).close()
        held.append(nest.gate.wait("in"))
        assert nest.gate.is_quiet()
    for gate in held:
        gate.close()
    assert [wire.read().body for wire in wires] == [b"in"] * 8


def test_deadlines_count_while_others_sleep(nest: Nest) -> None:
    """Connections time out though no event comes from the sockets."""
    server = nest.serve_greenlets("app", "--keep-alive", "1")
    with server.connect() as wire:
        assert wire.get("/sleep?0.1").body == b"slept"
        began = time.monotonic()
        assert wire.is_at_end()
        assert time.monotonic() - began < 4


def test_access_log_of_one_who_waited(nest: Nest, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    server = nest.serve_greenlets("app", "--access-logfile", str(path))
    with server.connect() as wire:
        assert wire.get("/sleep?0.01").body == b"slept"
        end = time.monotonic() + 10
        while "/sleep?0.01" not in path.read_text():
            assert time.monotonic() < end, "no line"
            time.sleep(0.01)  # noqa: TID251 - a file has no event


@pytest.fixture
def redis_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real one on a unix socket."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("no redis-server")
    path = tmp_path / "redis.sock"
    monkeypatch.setenv("REDIS", str(path))
    words = [
        command,
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        lines = b""
        while b"ready to accept connections" not in lines.lower():
            wait_readable(process.stdout.fileno(), f"redis: {lines!r}")
            more = os.read(process.stdout.fileno(), 65536)
            assert more, lines
            lines += more
        yield path
        process.terminate()


def test_redis_py_waits_in_its_greenlet(nest: Nest, greenlet: str, redis_server: Path) -> None:
    """Ten block in BLPOP at a time; the eleventh request of the one thread gives them values."""
    redis = pytest.importorskip("redis")
    server = nest.serve_greenlets("app", "--greenlet", greenlet)
    wires = [server.connect() for _ in range(10)]
    for number, wire in enumerate(wires):
        wire.ask(f"/redis?key-{number}")
    server.wait_slot(lambda slot: slot.in_flight == 10)
    with redis.Redis(unix_socket_path=str(redis_server)) as client:
        for number in range(10):
            client.rpush(f"key-{number}", f"value-{number}")
    for number, wire in enumerate(wires):
        assert wire.read().body == f"value-{number}".encode()
