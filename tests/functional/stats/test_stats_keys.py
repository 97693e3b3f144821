"""Who may read statistics at an address that others can reach."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from arbiter_under_test import SLEEP, Arbiters, Running, watcher

from chaussette.control.keys import KeyStore
from chaussette.control.levels import Level

TOP = [sys.executable, "-m", "chaussette.cli.circustop", "--once", "--json"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_without_a_key_nobody_reads(arbiters: Arbiters, folder: Path) -> None:
    store = KeyStore.create(folder / "keys")
    key = store.add("reader", Level.READ)
    other = KeyStore.create(folder / "others").add("reader", Level.READ)
    point = f"tcp://127.0.0.1:{free_port()}"
    arbiter = arbiters.ready(
        watcher("job", SLEEP),
        circus=f"keys_dir = {folder}/keys\nstats_endpoint = {point}",
    )
    pids = arbiter.settled("job", "circusd-stats")

    def top(*words: str) -> Running:
        one = arbiters.run([*TOP, "--endpoint", point, *words], {"HOME": str(folder)})
        one.wait_end()
        return one

    read = top("--client-key", str(key))
    assert read.process.returncode == 0, read.log
    told = json.loads(read.log)
    assert [one["pid"] for one in told["watchers"]["job"]["processes"]] == pids
    for refused in (top(), top("--client-key", str(other), "--timeout", "1")):
        assert refused.process.returncode != 0
        assert "circus-top: error:" in refused.log
    # A key that is taken away ends what it has been let in to.
    reading = arbiters.run(
        [sys.executable, "-m", "chaussette.cli.circustop", "--endpoint", point,
         "--client-key", str(key), "--timeout", "3"],
    )  # fmt: skip
    reading.wait(r"^job: 1 processes")
    store.revoke("reader")
    assert reading.wait_end(40) != 0
    arbiter.wait("a key has been revoked")


def test_a_public_address_needs_keys(arbiters: Arbiters) -> None:
    refused = arbiters(watcher("job", SLEEP), circus="stats_endpoint = tcp://0.0.0.0:5557")
    assert refused.wait_end() != 0
    assert "stats_endpoint tcp://0.0.0.0:5557 is open to other machines" in refused.log
    assert not [pid for pid in refused.children() if os.path.exists(f"/proc/{pid}")]
