"""The keys of [circus] that have to do with statistics, and who is there when nobody reads."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import zmq
from arbiter_under_test import SLEEP, Arbiters, watcher
from subscriber import Subscriber

from chaussette.control.doors import Doors
from chaussette.stats.publisher import StatsPublisher

Subscribe = Callable[..., Subscriber]


def test_reloadconfig_turns_them_on_and_off(arbiters: Arbiters, subscribe: Subscribe) -> None:
    arbiter = arbiters.ready(watcher("job", SLEEP))
    before = arbiter.settled("job")
    text = arbiter.ini.read_text()
    arbiter.ini.write_text(text.replace("[circus]", "[circus]\nstatsd = True"))
    info = arbiter.must("reloadconfig", waiting=True)["info"]
    assert info["watchers"]["added"] == ["circusd-stats"]
    assert info["needs_restart"] == []
    stats = subscribe(arbiter.must("globaloptions")["options"]["stats_endpoint"])
    assert stats.wait("stat.job")["pid"] == before
    arbiter.ini.write_text(text)
    assert arbiter.must("reloadconfig", waiting=True)["info"]["watchers"]["removed"] == [
        "circusd-stats"
    ]
    assert arbiter.must("list")["watchers"] == ["job"]
    assert arbiter.pids("job") == before


def test_an_endpoint_implies_them(arbiters: Arbiters, folder: Path, subscribe: Subscribe) -> None:
    point = f"ipc://{folder}/elsewhere.sock"
    arbiter = arbiters.ready(watcher("job", SLEEP), circus=f"stats_endpoint = {point}")
    arbiter.wait("stats_endpoint is set, so that statsd = True is meant")
    assert subscribe(point).wait("stat.job")["pid"] == arbiter.settled("job")
    assert (folder / "elsewhere.sock").stat().st_mode & 0o077 == 0


def test_debug_and_closed_outputs(arbiters: Arbiters, tmp_path: Path) -> None:
    loud = arbiters.ready(watcher("job", SLEEP), circus="statsd = True\ndebug = True")
    # The log line of circusd-stats comes through its stderr.
    loud.wait(r"\[DEBUG\] 1 watchers")
    folder = tmp_path / "quiet"
    folder.mkdir()
    quiet = arbiters.ready(
        watcher("job", SLEEP), circus="statsd = True\nstatsd_close_outputs = True", folder=folder
    )
    (pid,) = quiet.settled("circusd-stats")
    for fd in (1, 2):
        assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"


def test_a_taken_name_and_a_taken_address(arbiters: Arbiters, folder: Path) -> None:
    refused = arbiters(watcher("circusd-stats", SLEEP), circus="statsd = True")
    assert refused.wait_end() != 0
    assert "the name is taken by the process that statsd = True runs" in refused.log
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        point = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        argv = [sys.executable, "-m", "chaussette.cli.circusdstats", "--statspoint", point]
        run = arbiters.run([*argv, "--endpoint", f"ipc://{folder}/nobody"])
        assert run.wait_end() != 0
        assert f"stats_endpoint {point}: Address already in use" in run.log


def test_nobody_reads_and_nothing_is_looked_at(folder: Path) -> None:
    doors = Doors(zmq.Context())
    publisher = StatsPublisher(doors, f"ipc://{folder}/s.sock")
    readers = []
    try:
        assert not publisher.is_wanted
        for topic in (b"stat.", b"stat.web"):
            reader = doors.context.socket(zmq.SUB)
            readers.append(reader)
            reader.setsockopt(zmq.SUBSCRIBE, topic)
            reader.connect(publisher.address)
            assert publisher.socket.poll(5000)
            publisher.read()
            assert publisher.is_wanted
        publisher.publish([("stat.web", {"pid": [1]}), ("stat.job", {"pid": [2]})])
        assert readers[1].poll(5000)
        assert readers[1].recv_multipart() == [b"stat.web", b'{"pid":[1]}']
        for reader, left in ((readers[0], True), (readers[1], False)):
            reader.close(0)
            assert publisher.socket.poll(5000)
            publisher.read()
            assert publisher.is_wanted is left
    finally:
        for reader in readers:
            reader.close(0)
        publisher.close()
        doors.close()
