"""Many watchers, many processes, many commands, many restarts: quick enough, and no growth.

The bounds are far above what docs/benchmarks.md shows, since tests run side by side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.ops import proc
from benchmarks.ops.births import Births, build_ticker
from benchmarks.ops.daemon import DaemonEnded
from benchmarks.ops.managers import Circusd, ini, listens
from benchmarks.ops.scale import QUESTIONS, asking, fds
from chaussette.control.client import Client

BOUND = 100.0
LONGEST_ANSWER = 0.5
"""Seconds. Where the loop starts a thousand processes in one go, it is more than one."""
GROWTH_MIB = 1.5
SMALL, FULL = 200, 1000
SIZES = [SMALL, pytest.param(FULL, marks=pytest.mark.slow)]


@contextlib.contextmanager
def stack(
    folder: Path, watchers: int, count: int, **options: object
) -> Iterator[tuple[Circusd, Births]]:
    """That many watchers of that many processes each, p0, p1 and so on."""
    with contextlib.closing(Births()) as births:
        cmd = f"{build_ticker(folder)} {births.name}"
        sections = [
            ini(f"watcher:p{n}", cmd=cmd, numprocesses=count, ready_after=0, **options)
            for n in range(watchers)
        ]
        with Circusd(folder, *sections) as circusd:
            assert listens(circusd, BOUND)
            yield circusd, births


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", ["watchers", "processes"])
def test_many_start_and_stop_and_keep_no_client_waiting(
    folder: Path, shape: str, size: int
) -> None:
    watchers, count = (size, 1) if shape == "watchers" else (1, size)
    with stack(folder, watchers, count) as (circusd, births):
        with asking(circusd, "numwatchers", {}) as waits:
            births.wait(size, BOUND)
        assert max(waits, default=0.0) < LONGEST_ANSWER
        with Client(circusd.endpoint, BOUND) as client:
            assert len(client.call("list").fields["watchers"]) == watchers
            stats = client.call("stats").fields["infos"]
            assert sum(len(one) for one in stats.values()) == size
            with asking(circusd, "numwatchers", {}) as waits:
                assert client.call("stop", {"waiting": True}).ok
            assert max(waits, default=0.0) < LONGEST_ANSWER
            assert not proc.children(circusd.pid)
            assert client.call("start", {"waiting": True}).ok
            births.wait(size, BOUND)
            assert len(proc.children(circusd.pid)) == size


def test_term_is_heard_during_a_start(folder: Path) -> None:
    with stack(folder, FULL, 1) as (circusd, births):
        births.wait(1, BOUND)
        circusd.send(signal.SIGTERM)
        with pytest.raises(DaemonEnded):
            circusd.rest(BOUND)
        assert "p0: started process" in circusd.log()
        assert f"p{FULL - 1}: started process" not in circusd.log()


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_commands_leave_nothing_behind(folder: Path, count: int) -> None:
    with stack(folder, 10, 2) as (circusd, births):
        births.wait(20, BOUND)
        ask(circusd, 300)
        before, memory = fds(circusd.pid), proc.memory_mib(circusd.pid)[0]
        ask(circusd, count)
        assert fds(circusd.pid) <= before + 2
        assert proc.memory_mib(circusd.pid)[0] < memory + GROWTH_MIB


def ask(circusd: Circusd, count: int) -> None:
    """So many commands, on a new connection now and then."""
    for start in range(0, count, 100):
        with Client(circusd.endpoint, BOUND) as client:
            for number in range(start, min(start + 100, count)):
                reply = client.call(QUESTIONS[number % 4], {"name": f"p{number % 10}"})
                assert reply.ok, reply.reason


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["restart", "kill"])
@pytest.mark.timeout(300)
def test_restarts_leave_nothing_behind(folder: Path, how: str, count: int) -> None:
    size = 50
    with stack(folder, 1, size) as (circusd, births), Client(circusd.endpoint, BOUND) as client:
        pids = {one.pid for one in births.wait(size, BOUND)}

        def once() -> None:
            if how == "restart":
                assert client.call("restart", {"name": "p0", "waiting": True}).ok
            else:
                # Deaths are forgiven, so that their number slows no start down.
                assert client.call("start", {"name": "p0", "waiting": True}).ok
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            fresh = {one.pid for one in births.wait(size, BOUND)}
            assert not fresh & pids
            pids.clear()
            pids.update(fresh)

        once()
        assert client.call("start", {"name": "p0", "waiting": True}).ok
        before, memory = fds(circusd.pid), proc.memory_mib(circusd.pid)[0]
        began = time.monotonic()
        for _ in range(count // size):
            once()
        assert time.monotonic() - began < BOUND
        assert client.call("start", {"name": "p0", "waiting": True}).ok
        assert fds(circusd.pid) <= before + 2
        assert proc.memory_mib(circusd.pid)[0] < memory + GROWTH_MIB
