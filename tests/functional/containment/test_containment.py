"""circusd and control groups: who is killed, who is refused, what is left."""

from __future__ import annotations

import os
import re
import select
import signal
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, SLEEP, Arbiters, Ended, alive, fifo, watcher

from chaussette.arbiter.containment.layout import Layout

DAEMON = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    while os.getppid() == {parent}:
        pass
    with open(sys.argv[1], "w") as out:
        out.write(str(os.getpid()))
    signal.pause()
os.wait()
while True:
    signal.pause()
""".replace("{parent}", "os.getsid(0)")
"""Ignores SIGTERM, and has a grandchild that is nobody's child and in nobody's session."""


def read_pid(fd: int) -> int:
    assert select.select([fd], [], [], BOUND)[0], "the grandchild did not report"
    return int(os.read(fd, 100))


def speaking(arbiters: Arbiters, folder: Path) -> str:
    """A command that says that it runs: its start is over then, and it is in its group."""
    return arbiters.shell("speaking.sh", f"echo $$ > {folder}/up\nexec {SLEEP}")


def spoken(fd: int, count: int = 1) -> list[int]:
    pids: list[int] = []
    while len(pids) < count:
        assert select.select([fd], [], [], BOUND)[0], "no process came up"
        pids += [int(word) for word in os.read(fd, 1000).split()]
    return pids


def group_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text("ascii").rpartition("0::")[2].strip()


def test_a_grandchild_that_became_a_daemon_is_killed_at_the_stop(
    arbiters: Arbiters, folder: Path
) -> None:
    script = arbiters.script("daemon.py", DAEMON)
    with fifo(folder / "pid") as fd:
        arbiter = arbiters.ready(
            watcher("a", f"{script} {folder}/pid", containment="strict", graceful_timeout=0.1)
        )
        grandchild = read_pid(fd)
        (main,) = arbiter.settled("a")
        assert group_of(grandchild) == group_of(main)
        ended = Ended(grandchild, main)
        arbiter.must("stop", name="a", waiting=True)
        ended.wait()


def test_a_grandchild_does_not_outlive_its_process(arbiters: Arbiters, folder: Path) -> None:
    script = arbiters.script("daemon.py", DAEMON)
    with fifo(folder / "pid") as fd:
        arbiter = arbiters.ready(watcher("a", f"{script} {folder}/pid", containment="strict"))
        first, (main,) = read_pid(fd), arbiter.settled("a")
        ended = Ended(first)
        os.kill(main, signal.SIGKILL)
        ended.wait()
        second = read_pid(fd)  # of the process that has come instead
        assert second != first
        arbiter.must("kill", name="a", waiting=True, graceful_timeout=0.1)
        arbiter.send(signal.SIGQUIT)
        assert arbiter.wait_end() == 0
        assert not alive(second)


def test_without_containment_nothing_is_different(arbiters: Arbiters, layout: Layout) -> None:
    arbiter = arbiters.ready(watcher("plain", SLEEP), watcher("off", SLEEP, containment="off"))
    for name in ("plain", "off"):
        assert group_of(arbiter.settled(name)[0]) == group_of(arbiter.pid)
    assert layout.base is not None
    assert not list(layout.base.glob(f"chaussette-{arbiter.pid}-*"))


def test_each_process_has_a_group_below_its_watchers(arbiters: Arbiters, folder: Path) -> None:
    options = {"containment": "strict", "numprocesses": 2, "uid": "nobody", "gid": 65534}
    with fifo(folder / "up") as fd:
        arbiter = arbiters.ready(watcher("My app", speaking(arbiters, folder), **options))
        groups = {group_of(pid) for pid in spoken(fd, 2)}
    assert len(groups) == 2
    for group in groups:
        assert re.fullmatch(rf".*/chaussette-{arbiter.pid}-\d+/w-My%20app/p-\d+", group)


def test_a_group_goes_with_its_process(arbiters: Arbiters, layout: Layout) -> None:
    arbiter = arbiters.ready(watcher("a", SLEEP, containment="strict"))
    arbiter.settled("a")
    arbiter.must("stop", name="a", waiting=True)
    assert layout.base is not None
    (trunk,) = layout.base.glob(f"chaussette-{arbiter.pid}-*")
    assert not list(trunk.glob("w-*"))


def test_a_limit_that_cannot_be_set_is_refused(arbiters: Arbiters, layout: Layout) -> None:
    if "memory" in layout.controllers and not layout.is_busy:
        pytest.skip("this machine has the memory controller in cgroup v2")
    arbiter = arbiters(watcher("big", SLEEP, memory_max="64M"))
    assert arbiter.wait_end() == 1
    assert "[watcher:big] memory_max = 67108864 needs the memory controller" in arbiter.log
    assert "containment = best-effort" in arbiter.log
    assert "started process" not in arbiter.log


def test_best_effort_warns_once_and_does_the_rest(
    arbiters: Arbiters, layout: Layout, folder: Path
) -> None:
    if "memory" in layout.controllers and not layout.is_busy:
        pytest.skip("this machine has the memory controller in cgroup v2")
    options = {"memory_high": "64M", "containment": "best-effort", "numprocesses": 3}
    with fifo(folder / "up") as fd:
        arbiter = arbiters.ready(watcher("big", speaking(arbiters, folder), **options))
        for pid in spoken(fd, 3):
            assert "/w-big/p-" in group_of(pid)
    assert arbiter.log.count("big: containment is best-effort: memory_high = 67108864") == 1


def test_a_limit_and_off_contradict_each_other(arbiters: Arbiters) -> None:
    arbiter = arbiters(watcher("a", SLEEP, pids_max=3, containment="off"))
    assert arbiter.wait_end() == 1
    assert "[watcher:a] pids_max = 3 needs a control group, but containment = off" in arbiter.log


def test_a_live_watcher_is_refused_as_well(arbiters: Arbiters, layout: Layout) -> None:
    if "io" in layout.controllers and not layout.is_busy:
        pytest.skip("this machine has the io controller in cgroup v2")
    arbiter = arbiters.ready(watcher("a", SLEEP))
    reply = arbiter.ask("add", name="b", cmd=SLEEP, options={"io_weight": 5})
    assert not reply.ok and "io controller" in reply.reason


@pytest.mark.parametrize("what", ["memory", "pids"])
def test_what_has_only_v1_is_limited_by_it(
    arbiters: Arbiters, layout: Layout, folder: Path, what: str
) -> None:
    if what not in layout.legacy:
        pytest.skip(f"no v1 {what} controller that we may use")
    limit = {"memory": {"memory_max": "64M"}, "pids": {"pids_max": "77"}}[what]
    with fifo(folder / "up") as fd:
        section = watcher("a", speaking(arbiters, folder), containment="best-effort", **limit)
        arbiter = arbiters.ready(section)
        (pid,) = spoken(fd)
    (group,) = layout.legacy[what].glob(f"chaussette-{arbiter.pid}-*/w-a")
    assert str(pid) in (group / "cgroup.procs").read_text("ascii").split()
    file, text = {"memory": ("memory.limit_in_bytes", 2**26), "pids": ("pids.max", 77)}[what]
    assert (group / file).read_text("ascii").strip() == str(text)


def test_a_changed_limit_holds_at_once(arbiters: Arbiters, layout: Layout, folder: Path) -> None:
    """By `set` and by reloadconfig, in the files, and with the processes that there are."""
    if "pids" not in layout.legacy:
        pytest.skip("no v1 pids controller that we may use")
    with fifo(folder / "up") as fd:
        command = speaking(arbiters, folder)
        arbiter = arbiters.ready(watcher("a", command, containment="best-effort", pids_max=77))
        (pid,) = spoken(fd)
        arbiter.settled("a")
        (group,) = layout.legacy["pids"].glob(f"chaussette-{arbiter.pid}-*/w-a")
        arbiter.must("set", name="a", options={"pids_max": 78}, waiting=True)
        assert (group / "pids.max").read_text("ascii").strip() == "78"
        text = arbiter.ini.read_text("utf-8")
        arbiter.ini.write_text(text.replace("pids_max = 77", "pids_max = 79"), "utf-8")
        arbiter.must("reloadconfig", waiting=True)
        assert (group / "pids.max").read_text("ascii").strip() == "79"
        assert arbiter.pids("a") == [pid]


def test_running_out_of_memory_is_called_so(arbiters: Arbiters, layout: Layout) -> None:
    if "memory" not in layout.legacy and ("memory" not in layout.controllers or layout.is_busy):
        pytest.skip("no memory controller that we may use")
    script = arbiters.script("eat.py", "kept = []\nwhile True:\n    kept.append(b'x' * 2**20)\n")
    arbiter = arbiters.ready(
        watcher("eater", script, containment="best-effort", memory_max="32M", respawn=False)
    )
    arbiter.wait(r"eater: process \d+ has ended: SIGKILL, out of memory")


def test_what_a_dead_arbiter_left_is_removed_when_it_is_empty(
    arbiters: Arbiters, layout: Layout, folder: Path
) -> None:
    assert layout.base is not None
    with fifo(folder / "up") as fd:
        dead = arbiters.ready(watcher("a", speaking(arbiters, folder), containment="strict"))
        (pid,) = spoken(fd)
    dead.send(signal.SIGKILL)
    dead.wait_end()
    (trunk,) = layout.base.glob(f"chaussette-{dead.pid}-*")

    second = arbiters.ready(watcher("a", SLEEP, containment="strict"))
    second.settled("a")
    assert trunk.exists(), "somebody still runs in there"
    ended = Ended(pid)
    os.kill(pid, signal.SIGKILL)
    ended.wait()
    second.send(signal.SIGTERM)
    second.wait_end()

    third = arbiters.ready(watcher("a", SLEEP, containment="strict"))
    third.settled("a")
    assert not trunk.exists()
