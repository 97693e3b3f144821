"""PyPI's circusctl drives our circusd: what it shows, and that it never hangs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from arbiter_under_test import ROOT, SLEEP, Arbiters, alive, watcher

VERSION = "0.19.0"
BUILD_BOUND = 100


@pytest.fixture(scope="module")
def client() -> str:
    """Their command, installed once into the checkout's cache."""
    place = ROOT / ".cache" / "peers" / f"circus-{sys.version_info[0]}.{sys.version_info[1]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    command = place / "bin" / "circusctl"
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            _build(place)
    return str(command)


def _build(place: Path) -> None:
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        # Its command imports pkg_resources, which newer setuptools have no more.
        [str(place / "bin" / "pip"), "install", "-q", f"circus=={VERSION}", "setuptools < 80"],
    )
    for step in steps:
        try:
            done = subprocess.run(
                step, capture_output=True, text=True, timeout=BUILD_BOUND, check=False
            )
            reason = done.stderr.strip() if done.returncode else ""
        except subprocess.TimeoutExpired:
            reason = f"{step[0]} took longer than {BUILD_BOUND}s"
        if reason:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no circus: {reason}")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_their_client_drives_our_arbiter(arbiters: Arbiters, client: str) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP, numprocesses=2), watcher("job", SLEEP))
    pids = arbiter.settled("web", "job")

    def say(*words: str) -> str:
        command = arbiters.run([client, "--endpoint", arbiter.endpoint, *words])
        assert command.wait_end() == 0, command.log
        return command.log.strip()

    assert say("list") == "job,web"
    assert say("list", "web") == ",".join(map(str, pids))
    assert say("numprocesses", "web") == "2"
    assert say("numwatchers") == "2"
    assert say("status").splitlines() == ["job: active", "web: active"]
    assert say("status", "web") == "active"
    assert say("incr", "web", "--waiting") == "3"
    assert say("decr", "web", "2", "--waiting") == "1"
    assert arbiter.pids("web")[0] not in pids
    assert say("stop", "web", "--waiting") == "ok"
    assert say("status", "web") == "stopped"
    assert say("start", "web", "--waiting") == "ok"
    before = arbiter.pids("web")
    assert say("reload", "web", "--waiting") == "ok"
    assert not set(arbiter.pids("web")) & set(before)
    assert say("restart", "job", "--waiting") == "ok"
    everyone = arbiter.pids("web") + arbiter.pids("job")
    assert say("quit", "--waiting") == "ok"
    assert arbiter.wait_end() == 0
    assert not any(alive(pid) for pid in everyone)
