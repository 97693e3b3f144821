"""circus-top of ours, for scripts."""

from __future__ import annotations

import json
import sys

from arbiter_under_test import SLEEP, Arbiters, listening, watcher

TOP = [sys.executable, "-m", "chaussette.cli.circustop"]


def test_once_as_a_table_and_as_json(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        listening("web"),
        watcher("my.job", SLEEP, numprocesses=2),
        watcher("burn", f"{sys.executable} -c 'while True: pass'"),
        circus="statsd = True",
    )
    jobs = arbiter.settled("my.job", "burn", "circusd-stats")
    point = arbiter.must("globaloptions")["options"]["stats_endpoint"]
    top = arbiters.run([*TOP, "--endpoint", point, "--once", "--json"])
    assert top.wait_end() == 0, top.log
    told = json.loads(top.log)
    assert {one["pid"] for one in told["watchers"]["my.job"]["processes"]} == set(jobs)
    assert told["watchers"]["burn"]["cpu"] > 10
    assert [one["name"] for one in told["sockets"]] == ["web"]
    assert {one["name"] for one in told["watchers"]["circus"]["processes"]} == {
        "circusd", "circusd-stats"
    }  # fmt: skip
    top = arbiters.run([*TOP, "--endpoint", point])
    top.wait(r"^my\.job: 2 processes")
    top.wait(r"^sockets")
    # The next sample.
    top.wait(r"^my\.job: 2 processes")
    top.send(2)
    assert top.wait_end() == 0, top.log
    assert "Traceback" not in top.log
