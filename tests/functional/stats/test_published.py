"""What circusd-stats publishes of a running stack, and when it stops to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from arbiter_under_test import (
    SLEEP,
    Arbiters,
    ArbiterUnderTest,
    Running,
    http_get,
    listening,
    watcher,
)
from subscriber import Subscriber

FAMILIES = {"tcp": socket.AF_INET, "tcp6": socket.AF_INET6, "unix": socket.AF_UNIX}
Subscribe = Callable[..., Subscriber]
CIRCUS_KEYS = set(
    "mem_info1 mem_info2 cpu mem ctime pid username nice create_time age cmdline children "
    "subtopic name".split()
)
OURS = set("rss vms threads cpu_time fds ctx_voluntary ctx_involuntary".split())
SERVE = f"{sys.executable} -m chaussette --fd $(circus.sockets.web) --backend wsgiref"


def web(**options: object) -> str:
    return watcher(
        "web", f"{SERVE} chaussette.hello", use_sockets=True, copy_env=True, **options
    ).replace("ready_after = 0.05\n", "")


def statspoint(arbiter: ArbiterUnderTest) -> str:
    return str(arbiter.must("globaloptions")["options"]["stats_endpoint"])


def by_hand(arbiters: Arbiters, arbiter: ArbiterUnderTest, point: str, *more: str) -> Running:
    argv = [sys.executable, "-m", "chaussette.cli.circusdstats", "--endpoint", arbiter.endpoint]
    argv += ["--pubsub", f"ipc://{arbiter.folder}/run/events.sock", "--statspoint", point, *more]
    return arbiters.run(argv)


def test_processes_watchers_and_the_arbiter(arbiters: Arbiters, subscribe: Subscribe) -> None:
    arbiter = arbiters.ready(
        watcher("My Web.App", SLEEP, numprocesses=2), watcher("job", SLEEP), circus="statsd = True"
    )
    pids = arbiter.settled("My Web.App", "job", "circusd-stats")
    stats = subscribe(statspoint(arbiter))
    for pid in pids:
        one = stats.wait(f"stat.my_web-app.{pid}")
        assert set(one) >= CIRCUS_KEYS | OURS
        assert (one["pid"], one["subtopic"], one["name"], one["children"]) == (pid, pid, None, [])
        assert (one["cmdline"], one["threads"]) == ("sleep", 1)
        assert one["rss"] > 0
    both = stats.wait("stat.my_web-app")
    assert (both["pid"], both["processes"], both["watcher"]) == (pids, 2, "my web.app")
    assert both["rss"] > one["rss"]
    assert both["age"] >= one["age"]
    own = arbiter.pids("circusd-stats")[0]
    assert stats.wait(f"stat.circus.{arbiter.pid}")["name"] == "circusd"
    assert stats.wait(f"stat.circus.{own}")["name"] == "circusd-stats"
    assert set(stats.wait("stat.circus")["pid"]) == {arbiter.pid, own}
    assert "stat.circusd-stats" not in stats.last
    # Nobody has a socket, so nothing is said of any.
    assert not [topic for topic in stats.last if topic.startswith("stat.sockets")]


def test_who_comes_and_who_goes(arbiters: Arbiters, subscribe: Subscribe) -> None:
    arbiter = arbiters.ready(watcher("job", SLEEP), circus="statsd = True")
    (first,) = arbiter.settled("job", "circusd-stats")
    stats = subscribe(statspoint(arbiter))
    assert stats.wait("stat.job")["pid"] == [first]
    os.kill(first, signal.SIGKILL)
    (second,) = stats.wait("stat.job", lambda one: one["pid"] != [first])["pid"]
    assert second == arbiter.pids("job")[0]
    arbiter.must("incr", name="job", nb=2, waiting=True)
    assert stats.wait("stat.job", lambda one: len(one["pid"]) == 3)["pid"][0] == second
    arbiter.must("add", name="late", cmd=SLEEP, start=True, waiting=True)
    assert stats.wait("stat.late")["pid"] == arbiter.pids("late")
    arbiter.must("stop", name="job", waiting=True)
    stats.last.clear()
    for _ in range(2):
        stats.wait("stat.late")
    assert not [topic for topic in stats.last if topic.startswith("stat.job")]
    # A name given to another watcher is another's.
    arbiter.must("rm", name="late", waiting=True)
    arbiter.must("add", name="LATE", cmd=SLEEP, start=True, waiting=True)
    assert stats.wait("stat.late", lambda one: one["pid"] == arbiter.pids("late"))


def test_workers_by_the_scoreboard(arbiters: Arbiters, subscribe: Subscribe) -> None:
    arbiter = arbiters.ready(listening("web"), web(), circus="statsd = True")
    (pid,) = arbiter.settled("web", "circusd-stats")
    stats = subscribe(statspoint(arbiter))
    first = stats.wait(f"stat.web.{pid}", lambda one: "worker" in one)["worker"]
    assert (first["state"], first["requests"], first["in_flight"]) == ("serving", 0, 0)
    fd = arbiter.must("listsockets")["sockets"][0]["fd"]
    port = arbiter.port("web")
    for _ in range(20):
        assert http_get(port)[0] == 200
    seen = 0

    def counted(one: dict[str, object]) -> bool:
        nonlocal seen
        seen += int(stats.last.get(f"stat.sockets.{fd}", {}).get("reads", 0))
        stats.last.pop(f"stat.sockets.{fd}", None)
        worker = one.get("workers") or {}
        assert isinstance(worker, dict)
        return seen == 20 and worker["rate"] == 0

    both = stats.wait("stat.web", counted)
    assert both["workers"]["processes"] == both["workers"]["serving"] == 1
    worker = stats.wait(f"stat.web.{pid}")["worker"]
    assert worker["requests"] == 20
    assert worker["bytes_sent"] > 0
    assert 0 <= worker["heartbeat_age"] < 60
    total = stats.wait("stat.sockets")
    assert (total["addresses"], total["reads"]) == ([f"127.0.0.1:{port}"], 0)


@pytest.mark.parametrize("place", ["tcp", "tcp6", "unix"])
def test_connections_that_wait(
    arbiters: Arbiters, subscribe: Subscribe, folder: Path, place: str
) -> None:
    options: dict[str, object] = {
        "tcp": {}, "tcp6": {"host": "::1"}, "unix": {"path": folder / "s"}
    }[place]  # fmt: skip
    arbiter = arbiters.ready(
        listening("web", **options),
        watcher("idle", SLEEP, use_sockets=True),
        circus="statsd = True",
    )
    arbiter.settled("idle", "circusd-stats")
    one = arbiter.must("listsockets")["sockets"][0]
    stats = subscribe(statspoint(arbiter))
    nobody = stats.wait(f"stat.sockets.{one['fd']}")
    assert (nobody["queue"], nobody["reads"], nobody["name"]) == (0, 0, "web")
    with contextlib.ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.socket(FAMILIES[place]))
            client.settimeout(5)
            client.connect(one.get("path") or (one["host"].strip("[]"), one["port"]))
        waiting = stats.wait(f"stat.sockets.{one['fd']}", lambda now: now["queue"] == 3)
        assert (waiting["reads"], waiting["backlog"]) == (1, one["backlog"])


def test_one_read_for_each_process_and_sample(arbiters: Arbiters, subscribe: Subscribe) -> None:
    count, samples = 60, 8
    arbiter = arbiters.ready(watcher("job", SLEEP, numprocesses=count))
    arbiter.settled("job")
    point = f"ipc://{arbiter.folder}/own.sock"
    own = by_hand(arbiters, arbiter, point, "--interval", "0.2", "--details", "0")
    stats = subscribe(point)
    # What cannot change is read until a process has settled.
    stats.wait("stat.job", lambda one: one["age"] > 3 and len(one["pid"]) == count)
    began = reads_of(own.pid)
    for _ in range(samples):
        stats.wait("stat.job")
    per_sample = (reads_of(own.pid) - began) / samples
    # /proc/PID/stat of each, of the arbiter and of itself; the rest is ZeroMQ's wake-ups.
    assert count <= per_sample < count + 25


def reads_of(pid: int) -> int:
    """How many read system calls a process has made; see proc_pid_io(5)."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["syscr"])


def test_by_hand_it_outlives_the_arbiter(
    arbiters: Arbiters, subscribe: Subscribe, folder: Path
) -> None:
    first = arbiters.ready(watcher("job", SLEEP))
    before = first.settled("job")
    own = by_hand(arbiters, first, f"ipc://{folder}/own.sock", "--interval", "0.1")
    stats = subscribe(f"ipc://{folder}/own.sock")
    stats.wait("stat.job", lambda one: one["pid"] == before)
    first.must("quit")
    first.wait_end()
    second = arbiters.ready(watcher("job", SLEEP), watcher("new", SLEEP))
    after = second.settled("job", "new")
    stats.wait("stat.job", lambda one: one["pid"] == after)
    stats.wait("stat.new", lambda one: one["pid"] == second.pids("new"))
    stats.wait(f"stat.circus.{second.pid}", lambda one: one["name"] == "circusd")
    own.send(signal.SIGTERM)
    assert own.wait_end() == 0
