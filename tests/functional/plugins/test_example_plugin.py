"""examples/plugins/: a plugin in the way of Circus's users, under our arbiter."""

from __future__ import annotations

import json

from arbiter_under_test import ROOT, SLEEP, Arbiters, watcher
from test_plugin_runner import section


def test_event_log(arbiters: Arbiters) -> None:
    path = arbiters.folder / "events.log"
    arbiter = arbiters.ready(
        watcher("my job", SLEEP),
        section(
            "events", "event_log.EventLog", filename=path, max_bytes=200, backup_count=9,
            say_status="yes",
        ),
        f"[env:plugin:events]\nPYTHONPATH = {ROOT}/examples/plugins:{ROOT}\n",
    )  # fmt: skip
    (pid,) = arbiter.settled("plugin:events", "my job") and arbiter.pids("my job")
    arbiter.must("restart", name="my job", waiting=True)
    arbiter.must("stop", name="plugin:events", waiting=True)  # it has written all by then
    paths = sorted(arbiters.folder.glob("events.log*"))
    assert len(paths) > 2
    lines = [json.loads(line) for one in paths for line in one.read_text().splitlines()]
    assert ("my_job", "reap", pid) in [
        (line["watcher"], line.get("event"), line.get("process_pid")) for line in lines
    ]
    assert all(one.stat().st_size < 400 for one in paths)
