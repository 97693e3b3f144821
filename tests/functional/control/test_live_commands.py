"""Commands that change and look at a running arbiter."""

from __future__ import annotations

import os
import select
import signal

import pytest
from arbiter_under_test import (
    BOUND,
    SLEEP,
    Arbiters,
    Ended,
    alive,
    fifo,
    watcher,
)

from chaussette.control.client import Client

STUBBORN = "trap '' TERM; echo up > {fifo}; exec sleep 1000"


def test_a_watcher_is_added_and_removed(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    arbiter.must(
        "add",
        name="new_one",
        cmd="sleep",
        args=["1000"],
        start=True,
        waiting=True,
        options={"numprocesses": 2, "ready_after": 0.5, "env": {"A": "b"}, "rlimit_nofile": 99},
    )
    pids = arbiter.pids("NEW_ONE")
    assert len(pids) == 2
    with open(f"/proc/{pids[0]}/environ", encoding="utf-8") as environ:  # noqa: PTH123
        assert "A=b" in environ.read().split("\0")
    with open(f"/proc/{pids[0]}/limits", encoding="utf-8") as limits:  # noqa: PTH123
        assert any(line.split()[:4] == ["Max", "open", "files", "99"] for line in limits)
    assert not arbiter.ask("add", name="New_One", cmd="x").ok
    ended = Ended(*pids)
    arbiter.must("rm", name="new_one", waiting=True)
    ended.wait()
    assert arbiter.must("list")["watchers"] == ["w"]
    assert not arbiter.ask("list", name="new_one").ok


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"name": "a/b", "cmd": "x"}, "letters, digits"),
        ({"name": "", "cmd": "x"}, "letters, digits"),
        ({"name": "x", "cmd": " "}, "cmd is empty"),
        ({"name": "x", "cmd": "a 'b"}, "No closing quotation"),
        ({"name": "x", "cmd": "y", "options": {"numproceses": 1}}, "'numprocesses'"),
        ({"name": "x", "cmd": "y", "options": {"numprocesses": "many"}}, "whole number"),
        ({"name": "x", "cmd": "y", "options": {"uid": "no-such-user"}}, "no-such-user"),
        ({"name": "x", "cmd": "y", "options": {"rlimit_nofiles": 1}}, "rlimit_nofile"),
        ({"name": "x", "cmd": "y $(circus.sockets.web)"}, "no socket 'web'"),
        ({"name": "x", "cmd": "y", "options": {"working_dir": "/nowhere"}}, "no such directory"),
        ({"name": "x", "cmd": "y", "options": {"singleton": True, "numprocesses": 2}}, "singleton"),
    ],
)
def test_what_cannot_be_meant_is_not_added(
    arbiters: Arbiters, properties: dict[str, object], says: str
) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    reply = arbiter.ask("add", **properties)
    assert not reply.ok
    assert says in reply.reason
    assert arbiter.must("numwatchers")["numwatchers"] == 1


def test_processes_may_run_on_by_themselves(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=2))
    first, second = arbiter.settled("w")
    arbiter.must("rm", name="w", nostop=True, waiting=True)
    assert alive(first)
    assert alive(second)
    ended = Ended(first)
    os.kill(first, signal.SIGKILL)
    ended.wait()
    assert arbiter.must("list")["watchers"] == []
    ended = Ended(second)
    arbiter.must("quit", waiting=True)
    arbiter.wait_end()
    assert alive(second)
    os.kill(second, signal.SIGKILL)
    ended.wait()
    assert "internal error" not in arbiter.log


def test_options_are_set(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("w", SLEEP, numprocesses=2), "[env:w]\nTOKEN = s3cret\nPLAIN = x"
    )
    pids = arbiter.settled("w")
    options = arbiter.must("options", name="w")["options"]
    assert options["env"] == {"TOKEN": "********", "PLAIN": "********"}
    assert "s3cret" not in str(options)
    arbiter.must("set", name="w", options={"graceful_timeout": 3, "max_retry": 9}, waiting=True)
    assert arbiter.pids("w") == pids
    arbiter.must("set", name="w", options={"numprocesses": 3}, waiting=True)
    assert arbiter.pids("w")[:2] == pids
    assert len(arbiter.pids("w")) == 3
    masked = {"TOKEN": "********", "NEW": "1"}
    arbiter.must("set", name="w", options={"env": masked}, waiting=True)
    pid = arbiter.settled("w")[0]
    assert pid not in pids
    with open(f"/proc/{pid}/environ", encoding="utf-8") as environ:  # noqa: PTH123
        assert sorted(environ.read().split("\0"))[-2:] == ["NEW=1", "TOKEN=s3cret"]
    keys = ["graceful_timeout", "max_retry", "numprocesses"]
    assert arbiter.must("get", name="w", keys=keys)["options"] == {
        "graceful_timeout": 3,
        "max_retry": 9,
        "numprocesses": 3,
    }
    reply = arbiter.ask("set", name="w", options={"cmd": "sleep 7", "retry_in": 3, "respwan": 1})
    assert "max_retry limits" in reply.reason
    assert "did you mean 'respawn'" in reply.reason
    assert arbiter.must("get", name="w", keys=["cmd"])["options"] == {"cmd": SLEEP}


def test_a_setting_that_does_not_work_is_taken_back(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, ready_after=0.3))
    pids = arbiter.settled("w")
    reply = arbiter.ask("set", name="w", options={"cmd": "sh -c 'exit 9'"}, waiting=True)
    assert "exit code 9" in reply.reason
    assert arbiter.pids("w") == pids
    assert arbiter.must("options", name="w")["options"]["cmd"] == SLEEP


def test_stats(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("w", "sh -c 'sleep 1000 & wait'", numprocesses=2), watcher("v", SLEEP)
    )
    pids = arbiter.settled("w", "v")
    infos = arbiter.must("stats")["infos"]
    assert set(infos) == {"w", "v"}
    info = infos["w"][str(pids[0])]
    assert info["children"] == []
    assert (info["pid"], info["cmdline"], info["wid"], info["nice"]) == (pids[0], "sh", 1, 0)
    assert info["mem_info1"].endswith(("K", "M"))
    assert 0 <= info["age"] < BOUND
    assert abs(info["started"] - info["create_time"]) < 1
    reply = arbiter.must("stats", name="W", process=pids[1], extended=True)
    assert reply["process"] == pids[1]
    assert [child["cmdline"] for child in reply["info"]["children"]] == ["sleep"]
    assert not arbiter.ask("stats", name="w", process=1).ok
    assert arbiter.must("dstats")["info"]["pid"] == arbiter.pid


def test_signals_reach_whom_they_are_meant_for(arbiters: Arbiters) -> None:
    with fifo(arbiters.folder / "heard") as heard:
        echo = "trap 'echo {0} > {1}/heard' USR1\n"
        loop = "echo up > {1}/heard\nwhile :; do sleep 1000 & wait; done"
        child = arbiters.shell("child", (echo + loop).format("child", arbiters.folder))
        script = arbiters.shell(
            "both",
            f"trap 'echo parent > {arbiters.folder}/heard' USR1\n{child} &\nwhile :; do wait; done",
        )
        arbiter = arbiters.ready(watcher("w", script, stop_children=True))
        pid = arbiter.settled("w")[0]
        assert hear(heard, 1) == ["up"]
        arbiter.must("signal", name="w", signum="USR1", children=True)
        assert hear(heard, 1) == ["child"]
        arbiter.must("signal", name="w", signum="usr1", pid=pid)
        assert hear(heard, 1) == ["parent"]
        assert not arbiter.ask("signal", name="w", signum="USR1", pid=pid, childpid=1).ok
        arbiter.must("stop", name="w", waiting=True)


def test_kill_has_patience_and_an_end(arbiters: Arbiters) -> None:
    with fifo(arbiters.folder / "up") as up:
        script = arbiters.shell("stubborn", STUBBORN.format(fifo=f"{arbiters.folder}/up"))
        arbiter = arbiters.ready(watcher("w", script, graceful_timeout=600))
        pid = arbiter.settled("w")[0]
        assert hear(up, 1) == ["up"]
        arbiter.must("kill", name="w", pid=pid, graceful_timeout=0.1, waiting=True)
        arbiter.wait(f"process {pid} has ended: SIGKILL")
        assert hear(up, 1) == ["up"]
        pid = arbiter.settled("w")[-1]
        arbiter.must("kill", name="w", signum="KILL", waiting=True)
        arbiter.wait(f"process {pid} has ended: SIGKILL")
        assert not arbiter.ask("kill", name="w", pid=1).ok
        arbiter.send(signal.SIGQUIT)
        assert arbiter.wait_end() == 0


def test_nothing_waits_for_a_watcher_that_stops_slowly(arbiters: Arbiters) -> None:
    with fifo(arbiters.folder / "up") as up:
        script = arbiters.shell("stubborn", STUBBORN.format(fifo=f"{arbiters.folder}/up"))
        slow = watcher("slow", script, graceful_timeout=600)
        arbiter = arbiters.ready(slow, watcher("w", SLEEP))
        arbiter.settled("slow", "w")
        assert hear(up, 1) == ["up"]
        with Client(arbiter.endpoint, BOUND) as other:
            arbiter.must("rm", name="slow")
            for command, properties in (
                ("restart", {"name": "w", "waiting": True}),
                ("set", {"name": "w", "options": {"numprocesses": 2}, "waiting": True}),
                ("add", {"name": "x", "cmd": SLEEP, "start": True}),
                ("kill", {"name": "w", "waiting": True}),
                ("reloadconfig", {}),
                ("stats", {}),
                ("rm", {"name": "x", "waiting": True}),
                ("status", {}),
            ):
                assert other.call(command, properties).ok, command
        # Twice: the second one hurries what has 600 seconds to end.
        arbiter.send(signal.SIGTERM)
        arbiter.wait("stopping$")
        arbiter.send(signal.SIGTERM)
        assert arbiter.wait_end() == 0


def test_a_rolling_reload_goes_batch_by_batch_and_stops_where_it_fails(
    arbiters: Arbiters,
) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=4))
    before = arbiter.settled("w")
    arbiter.must("reload", name="w", batch="50%", pause=0.2, waiting=True)
    assert not set(arbiter.pids("w")) & set(before)
    births, most = 4, 0
    for line in arbiter.log.splitlines()[-60:]:
        births += ": started process" in line
        births -= "has ended" in line
        most = max(most, births)
    assert most <= 6
    (arbiters.folder / "sleep-or-fail").write_text("#!/bin/sh\nexec sleep 1000\n")
    (arbiters.folder / "sleep-or-fail").chmod(0o755)
    arbiter.must(
        "set",
        name="w",
        options={"cmd": f"{arbiters.folder}/sleep-or-fail", "ready_after": 0.2},
        waiting=True,
    )
    good = arbiter.settled("w")
    (arbiters.folder / "sleep-or-fail").write_text("#!/bin/sh\nexit 4\n")
    reply = arbiter.ask("reload", name="w", batch=1, waiting=True)
    assert "exit code 4" in reply.reason
    assert len(set(arbiter.pids("w")) & set(good)) >= 3


def hear(fd: int, count: int) -> list[str]:
    """So many lines from a fifo."""
    text = b""
    while text.count(b"\n") < count:
        assert select.select([fd], [], [], BOUND)[0], f"heard {text!r}"
        text += os.read(fd, 4096)
    return text.decode().splitlines()


def test_commands_and_signals_are_heard_during_a_slow_start(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("slow", SLEEP, numprocesses=50, warmup_delay=30), watcher("w", SLEEP)
    )
    arbiter.started("slow")
    with Client(arbiter.endpoint, BOUND) as waiting:
        assert waiting.call("start", {"name": "w", "waiting": True}).ok
        assert arbiter.status("slow") == "starting" or len(arbiter.pids("slow")) < 50
        assert arbiter.ask("set", name="slow", options={"graceful_timeout": 1}).ok
        assert arbiter.ask("reloadconfig", waiting=True).ok
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
