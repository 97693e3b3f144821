"""Load comes, and there are more processes; it goes, and there are fewer; nobody notices."""

from __future__ import annotations

import json
import sys

import pytest
import zmq
from arbiter_under_test import BOUND, ROOT, Arbiters, ArbiterUnderTest, listening, watcher
from visitors import Visitors

APP = """
import time
def application(environ, start_response):
    time.sleep({pause})
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
QUICK = {"scale_interval": 0.1, "scale_up_after": 0.4, "scale_down_after": 0.8}


def site(
    arbiters: Arbiters, *, pause: float = 0.03, backend: str = "waitress", **options: object
) -> ArbiterUnderTest:
    (arbiters.folder / "slow.py").write_text(APP.format(pause=pause), "utf-8")
    cmd = (
        f"{sys.executable} -m chaussette --fd $(circus.sockets.web) --backend {backend} "
        "--log-level error slow.application"
    )
    asked = {"use_sockets": True, "copy_env": True, **QUICK, **options}
    path = {"PYTHONPATH": f"{arbiters.folder}:{ROOT}"}
    arbiter = arbiters.ready(listening("web"), watcher("web", cmd, **asked), environ=path)
    arbiter.settled("web")
    return arbiter


def wanted(arbiter: ArbiterUnderTest) -> int:
    return int(arbiter.must("get", name="web", keys=["numprocesses"])["options"]["numprocesses"])


class Events:
    """What is published of one kind."""

    def __init__(self, arbiter: ArbiterUnderTest, *topics: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(f"ipc://{arbiter.folder}/run/events.sock")
        assert monitor.poll(BOUND * 1000)
        self._socket.disable_monitor()
        monitor.close(0)

    def next(self) -> tuple[str, dict[str, object]]:
        assert self._socket.poll(BOUND * 1000), "no event"
        topic, message = self._socket.recv_multipart()
        return topic.decode(), json.loads(message)

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


@pytest.mark.parametrize("backend", ["waitress", "gevent"])
def test_load_comes_and_goes_and_nothing_is_lost(arbiters: Arbiters, backend: str) -> None:
    arbiter = site(arbiters, max_processes=3, backend=backend)
    with Visitors(arbiter.port("web"), 8) as visitors:
        arbiter.wait(r"web: grow from 1 to 2 processes: busy \d+% of the last 0.4s \(limit 80%\)")
        arbiter.wait("web: grow from 2 to 3")
        arbiter.wait("process .* is ready")
        visitors.wait_answers(40)
        assert wanted(arbiter) == 3
    assert not visitors.lost
    arbiter.wait(r"web: shrink from 3 to 2 processes: busy \d+% of the last 0.8s \(limit 30%\)")
    arbiter.wait("web: process .* has ended: exit code 0")
    arbiter.wait("web: shrink from 2 to 1")
    arbiter.wait("web: process .* has ended: exit code 0")
    assert wanted(arbiter) == len(arbiter.pids("web")) == 1


def test_nothing_is_lost_by_a_shrink_under_load(arbiters: Arbiters) -> None:
    """Two visitors are too few for four processes: they are there while those end."""
    arbiter = site(arbiters, numprocesses=4, max_processes=4, scale_up_at=0.95, scale_down_at=0.7)
    with Visitors(arbiter.port("web"), 2) as visitors:
        arbiter.wait("web: shrink from 4 to 3")
        arbiter.wait("web: process .* has ended: exit code 0")
        visitors.wait_answers(10)
    assert not visitors.lost


def test_a_queue_brings_more_than_one_at_once(arbiters: Arbiters) -> None:
    """wsgiref accepts one connection at a time; the span for busyness would never be over."""
    options = {"max_processes": 4, "scale_up_after": 600, "pause": 0.3, "backend": "wsgiref"}
    arbiter = site(arbiters, **options)  # type: ignore[arg-type]
    with Visitors(arbiter.port("web"), 12) as visitors:
        arbiter.wait(r"web: grow from 1 to 2 processes: \d+ or more connections wait")
        arbiter.wait(r"web: grow from 2 to 4 processes: \d+ or more connections wait")
    assert not visitors.lost


def test_decisions_are_events_with_reason_and_figures(arbiters: Arbiters) -> None:
    arbiter = site(arbiters, max_processes=2)
    events = Events(arbiter, "watcher.web.grow", "watcher.web.shrink")
    try:
        with Visitors(arbiter.port("web"), 4):
            topic, grown = events.next()
        assert topic == "watcher.web.grow"
        assert (grown["before"], grown["numprocesses"]) == (1, 2)
        assert str(grown["reason"]).startswith("busy ")
        assert 0.8 <= float(str(grown["busy"])) <= 1
        assert grown["queue"] == 0
        topic, shrunk = events.next()
        assert topic == "watcher.web.shrink"
        assert (shrunk["before"], shrunk["numprocesses"]) == (2, 1)
    finally:
        events.close()


def test_incr_and_decr_move_within_the_limits(arbiters: Arbiters) -> None:
    arbiter = site(arbiters, numprocesses=2, min_processes=2, max_processes=3, scale_down_after=60)
    assert arbiter.must("incr", name="web", nb=5, waiting=True)["numprocesses"] == 3
    assert len(arbiter.pids("web")) == 3
    assert arbiter.must("decr", name="web", nb=5, waiting=True)["numprocesses"] == 2
    refused = arbiter.ask("set", name="web", options={"numprocesses": 7})
    assert not refused.ok
    assert "numprocesses = 7: expected 2 to 3" in refused.reason


def test_limits_can_be_given_and_taken_while_it_runs(arbiters: Arbiters) -> None:
    arbiter = site(arbiters)
    arbiter.must("set", name="web", options={"max_processes": 2})
    with Visitors(arbiter.port("web"), 4):
        arbiter.wait("web: grow from 1 to 2")
    text = arbiter.ini.read_text("utf-8")
    arbiter.must("incr", name="web", waiting=True)
    arbiter.must("set", name="web", options={"max_processes": 0})
    assert arbiter.must("incr", name="web", nb=2, waiting=True)["numprocesses"] > 2
    arbiter.ini.write_text(text.replace("copy_env", "max_processes = 1\ncopy_env"), "utf-8")
    arbiter.must("reloadconfig", waiting=True)
    arbiter.wait(r"web: shrink from \d to 1 processes: at most 1 are allowed")


def test_a_reload_keeps_what_load_has_made_of_it(arbiters: Arbiters) -> None:
    arbiter = site(arbiters, max_processes=3, scale_down_after=60)
    with Visitors(arbiter.port("web"), 8) as visitors:
        arbiter.wait("web: grow from 2 to 3")
        arbiter.settled("web")
        before = set(arbiter.pids("web"))
        arbiter.must("reload", name="web", waiting=True)
        after = set(arbiter.pids("web"))
    assert len(after) == 3
    assert not before & after
    assert not visitors.lost
    arbiter.must("stop", name="web", waiting=True)
    arbiter.must("start", name="web", waiting=True)
    assert len(arbiter.pids("web")) == 3


def test_cpu_time_counts_for_what_is_not_ours(arbiters: Arbiters) -> None:
    burner = arbiters.script("burn.py", "while True: pass\n")
    limits = {**QUICK, "max_processes": 2, "scale_up_at": 0.3, "scale_down_at": 0.1}
    arbiter = arbiters.ready(watcher("burn", burner, **limits, stop_signal="KILL"))
    arbiter.wait(r"burn: grow from 1 to 2 processes: busy \d+% of the last")


def test_one_that_only_waits_is_not_busy(arbiters: Arbiters) -> None:
    limits = {**QUICK, "max_processes": 3, "numprocesses": 2}
    arbiter = arbiters.ready(watcher("idle", "sleep 1000", **limits))
    arbiter.wait(r"idle: shrink from 2 to 1 processes: busy 0% of the last")


def test_limits_that_make_no_sense_are_told_before_anything_starts(arbiters: Arbiters) -> None:
    arbiter = arbiters(watcher("w", "sleep 1000", numprocesses=5, max_processes=4))
    arbiter.wait(r"\[watcher:w\] numprocesses = 5: expected 1 to 4")
    assert arbiter.wait_end() != 0
