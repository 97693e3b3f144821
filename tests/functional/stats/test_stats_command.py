"""The command `stats`: what the hook extended_stats may add, and what it cannot hold up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from arbiter_under_test import ROOT, SLEEP, Arbiters, watcher

HOOKS = """
import threading

def add(watcher, arbiter, hook_name, pid, stats, **kw):
    assert stats["pid"] == pid, (stats, pid)
    stats["shop"] = {"orders": pid, "hook": hook_name, "children": len(stats["children"])}

def fail(watcher, arbiter, hook_name, pid, stats, **kw):
    raise ValueError("out of order")

def hang(watcher, arbiter, hook_name, pid, stats, **kw):
    print("HANGS", flush=True)
    threading.Event().wait()
"""


def hooked(folder: Path, name: str, function: str, **options: object) -> str:
    (folder / "shophooks.py").write_text(HOOKS)
    options = {"hooks__extended_stats": f"shophooks.{function}", **options}
    return watcher(name, SLEEP, **options)


def test_a_hook_adds_to_what_was_asked_for(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(hooked(folder, "web", "add", numprocesses=2), watcher("job", SLEEP))
    first, second = arbiter.settled("web", "job")
    plain = arbiter.must("stats", name="web")["info"]
    assert "shop" not in plain[str(first)]
    info = arbiter.must("stats", name="web", extended=True)["info"]
    for pid in (first, second):
        assert info[str(pid)]["shop"] == {"orders": pid, "hook": "extended_stats", "children": 0}
    one = arbiter.must("stats", name="web", process=second, extended=True)
    assert (one["process"], one["info"]["shop"]["orders"]) == (second, second)
    assert 0 < one["info"]["pss"] <= one["info"]["rss"] + 4096 * 64
    assert "pss" not in info[str(second)]
    infos = arbiter.must("stats", extended=True)["infos"]
    assert infos["web"][str(first)]["shop"]["orders"] == first
    assert [one["cmdline"] for one in infos["job"].values()] == ["sleep"]
    assert info[str(first)]["rss"] > 0 and info[str(first)]["threads"] == 1


def test_a_hook_that_raises_changes_nothing(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(hooked(folder, "web", "fail", numprocesses=3))
    pids = arbiter.settled("web")
    info = arbiter.must("stats", name="web", extended=True)["info"]
    assert sorted(info) == sorted(str(pid) for pid in pids)
    arbiter.must("quit")
    arbiter.wait_end()
    # It was asked once, and not for each of the processes.
    assert arbiter.log.count("web: hook extended_stats: ValueError: out of order") == 1


def test_a_hook_that_hangs_holds_nobody_else_up(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(
        hooked(folder, "bad", "hang", numprocesses=2), hooked(folder, "good", "add")
    )
    pids = arbiter.settled("bad", "good")
    script = [sys.executable, "-m", "chaussette.cli.circusctl", "--endpoint", arbiter.endpoint]
    waiting = subprocess.Popen(
        [*script, "stats", "--extended"],
        stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
    )  # fmt: skip
    try:
        arbiter.wait("^HANGS")
        began = time.monotonic()
        assert set(arbiter.must("stats", name="bad")["info"]) == {str(pid) for pid in pids}
        info = arbiter.must("stats", name="good", extended=True)["info"]
        assert all("shop" in one for one in info.values())
        assert arbiter.status("bad") == "active"
        # All of it while the other one waits, which it does for two seconds.
        assert time.monotonic() - began < 1.9
        assert waiting.poll() is None
        output = waiting.communicate(timeout=20)[0]
        assert waiting.returncode == 0
        assert all(f"{pid}: {pid}  sleep" in output for pid in pids)
    finally:
        waiting.kill()
        waiting.wait()


def test_the_name_of_the_node(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(circus="fqdn_prefix = blue")
    options = arbiter.must("globaloptions")["options"]
    assert options["fqdn"].startswith("blue@")
    assert arbiter.must("dstats")["info"]["fqdn"] == options["fqdn"]
