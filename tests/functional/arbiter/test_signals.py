"""Signals to circusd, its end, and its life as PID 1."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, SLEEP, Arbiters, Ended, alive, fifo, watcher


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ordered_end_waits_for_what_is_under_way(
    arbiters: Arbiters, folder: Path, number: int
) -> None:
    with fifo(folder / "gate") as gate:
        slow = arbiters.shell(
            "slow",
            f"trap 'echo draining; read x < {folder}/gate; echo finished; exit 0' TERM\n"
            "echo armed; sleep 1000 & wait",
        )
        arbiter = arbiters.ready(watcher("w", slow), watcher("other", SLEEP))
        arbiter.wait("^armed")
        arbiter.settled("w", "other")
        arbiter.send(number)
        arbiter.wait("^draining")
        assert not arbiter.ask("start", name="other").ok
        os.write(gate, b"\n")
        assert arbiter.wait_end() == 0
    arbiter.wait("^finished")
    assert not (folder / "run" / "control.sock").exists()
    _kill_sleepers(arbiter.log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_hurries(arbiters: Arbiters, number: int) -> None:
    deaf = arbiters.shell("deaf", "trap '' TERM; echo armed; while :; do sleep 1000; done")
    arbiter = arbiters.ready(watcher("w", deaf))
    arbiter.wait("^armed")
    arbiter.settled("w")
    arbiter.send(signal.SIGTERM)
    arbiter.wait("stopping process")
    arbiter.send(number)
    assert arbiter.wait_end() == 0
    assert "internal error" not in arbiter.log


def test_quit_ends_at_once(arbiters: Arbiters) -> None:
    deaf = arbiters.shell("deaf", "trap '' TERM; echo armed; while :; do sleep 1000; done")
    arbiter = arbiters.ready(watcher("w", deaf, numprocesses=2))
    arbiter.wait("^armed")
    arbiter.send(signal.SIGQUIT)
    assert arbiter.wait_end() == 0


@pytest.mark.parametrize("where", ["warmup", "boot"])
def test_an_end_during_a_slow_start(arbiters: Arbiters, where: str) -> None:
    sections = [
        watcher("first", SLEEP, readiness="notify", numprocesses=3, warmup_delay=100)
        if where == "boot"
        else watcher("first", SLEEP),
        watcher("second", SLEEP),
    ]
    arbiter = arbiters.ready(*sections, circus="warmup_delay = 100" if where == "warmup" else "")
    arbiter.started("first")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0


def test_stop_timeout_bounds_the_end(arbiters: Arbiters) -> None:
    deaf = arbiters.shell("deaf", "trap '' TERM; echo armed; while :; do sleep 1000; done")
    arbiter = arbiters.ready(watcher("w", deaf), circus="stop_timeout = 0.2")
    arbiter.wait("^armed")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0


def test_hup_reloads_and_usr2_and_winch_do_nothing(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=2), watcher("v", SLEEP))
    old = arbiter.settled("w", "v")
    arbiter.send(signal.SIGUSR2)
    arbiter.send(signal.SIGWINCH)
    arbiter.wait("SIGUSR2")
    arbiter.send(signal.SIGHUP)
    for _ in range(2):
        arbiter.wait("generation 2 serves now")
    assert not set(arbiter.pids("w")) & set(old)


def test_hup_and_usr1_while_workers_boot(arbiters: Arbiters, folder: Path) -> None:
    """A signal that a worker does not know yet would end it."""
    with fifo(folder / "gate") as gate:
        slow = arbiters.shell("slow", f"echo booting; read x < {folder}/gate; exec {SLEEP}")
        arbiter = arbiters.ready(watcher("w", slow, readiness="notify"))
        pid = arbiter.started("w")
        arbiter.wait("^booting")
        arbiter.send(signal.SIGUSR1)
        arbiter.must("list")
        assert alive(pid)
        os.write(gate, b"\n")


def test_quit_is_answered_when_all_is_over(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=3))
    pids = arbiter.settled("w")
    assert arbiter.ask("quit", waiting=True).ok
    assert not any(alive(pid) for pid in pids)
    assert arbiter.wait_end() == 0


def test_quit_of_an_empty_stack_is_answered(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready("")
    assert arbiter.ask("quit", waiting=True).ok
    assert arbiter.wait_end() == 0


def test_processes_outlive_a_killed_arbiter_with_their_pipes(
    arbiters: Arbiters, folder: Path
) -> None:
    """Writing into a pipe that nobody reads any more must not end them (EPIPE)."""
    with fifo(folder / "gate") as gate, fifo(folder / "answer") as answer:
        talker = arbiters.shell(
            "talker",
            f"echo armed; read x < {folder}/gate; echo still here; echo $? > {folder}/answer\n"
            f"exec {SLEEP}",
        )
        arbiter = arbiters.ready(watcher("w", talker))
        arbiter.wait("^armed")
        (pid,) = arbiter.settled("w")
        arbiter.send(signal.SIGKILL)
        arbiter.wait_end()
        assert alive(pid)
        os.write(gate, b"\n")
        assert select.select([answer], [], [], BOUND)[0]
        assert os.read(answer, 10) == b"0\n"
        end = Ended(pid)
        os.kill(pid, signal.SIGKILL)
        end.wait()


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="making a PID namespace needs root and unshare(1)",
)


@needs_namespaces
def test_as_pid_one_it_reaps_strangers(arbiters: Arbiters) -> None:
    orphans = arbiters.script(
        "orphans.py",
        "import os, signal\n"
        "for _ in range(20):\n"
        "    if os.fork() == 0:\n"
        "        if os.fork():\n"
        "            os._exit(0)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "print('orphaned', flush=True)\n"
        "signal.pause()\n",
    )
    count = arbiters.script(
        "count.py",
        "import os\n"
        "states = []\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try:\n"
        "        states.append(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0])\n"
        "    except OSError:\n"
        "        pass\n"
        "print('zombies', states.count('Z'), flush=True)\n",
    )
    arbiter = arbiters(
        watcher("w", orphans),
        watcher("crash", "true", respawn=False, numprocesses=5, ready_after=0),
        watcher("count", count, autostart=False, respawn=False),
        prefix=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"],
    )
    arbiter.wait(r"circusd \S+, pid 1$")
    arbiter.wait("^orphaned")
    for _ in range(5):
        if "crash: process" in arbiter.log and arbiter.status("crash") == "stopped":
            break
        arbiter.wait("crash: process")
    arbiter.must("start", name="count")
    assert arbiter.wait(r"^zombies (\d+)")[1] == "0"
    arbiter.must("quit")
    assert arbiter.wait_end() == 0
    assert "internal error" not in arbiter.log


def _kill_sleepers(log: str) -> None:
    """Sleepers that a shell of a test left behind are in its session: end them."""
    for leader in re.findall(r": started process (\d+)", log):
        subprocess.run(["pkill", "-KILL", "-s", leader], check=False)
