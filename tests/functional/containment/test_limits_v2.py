"""Limits of cgroup v2 as the kernel carries them out: memory, cpu, pids, io, pressure.

Each circusd has a group of its own with all controllers, as from systemd with
Delegate=yes. Where this machine's controllers belong to v1, tests/guest/run.py
runs these in a virtual machine.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_under_test import SLEEP, Arbiters, ArbiterUnderTest, fifo, watcher
from test_containment import speaking, spoken

NEEDED = {"memory", "cpu", "pids", "io"}
EATER = "kept = []\nwhile True:\n    kept.append(b'x' * 2**20)\n"
FORKS = """
import os, sys
made = 0
try:
    while made < 50:
        if os.fork() == 0:
            import signal; signal.pause()
        made += 1
except OSError as error:
    print("FORKS", made, error.strerror, flush=True)
import signal; signal.pause()
"""
SPIN = "echo SPINS\nwhile :; do :; done"


@pytest.fixture
def box() -> Iterator[Path]:
    """A group like the unit's that systemd delegates: with every controller, and empty."""
    own = Path("/proc/self/cgroup").read_text("ascii").rpartition("0::")[2].strip()
    above = Path("/sys/fs/cgroup" + os.path.dirname(own))
    try:
        there = set((above / "cgroup.subtree_control").read_text("ascii").split())
    except OSError:
        there = set()
    if not there >= NEEDED:
        pytest.skip("no cgroup v2 with all controllers here; see tests/guest/run.py")
    path = above / f"box-{os.getpid()}-{time.monotonic_ns()}"
    path.mkdir()
    yield path
    left = [one.name for one in path.iterdir() if one.is_dir()]
    assert not left, f"groups left: {left}"
    path.rmdir()


@pytest.fixture
def start(arbiters: Arbiters, box: Path) -> Iterator[object]:
    """Starts a circusd in the box; it is ended before the box goes."""

    def started(*sections: str) -> ArbiterUnderTest:
        enter = ["/bin/sh", "-c", f'echo 0 > {box}/cgroup.procs && exec "$0" "$@"']
        return arbiters.ready(*sections, prefix=enter)

    yield started
    arbiters.close()
    arbiters._open.clear()


def the_group(box: Path, arbiter: ArbiterUnderTest, name: str) -> Path:
    (group,) = box.glob(f"chaussette-{arbiter.pid}-*/w-{name}")
    return group


def says(group: Path, file: str) -> str:
    return (group / file).read_text("ascii").strip()


def test_every_limit_is_in_its_file_and_follows_at_once(
    start, box: Path, arbiters: Arbiters, folder: Path
) -> None:
    limits = {"memory_max": "64M", "memory_high": "48M", "cpu_max": "150%", "cpu_weight": 200,
              "pids_max": 50, "io_weight": 300}  # fmt: skip
    with fifo(folder / "up") as fd:
        arbiter = start(watcher("a", speaking(arbiters, folder), **limits))
        (pid,) = spoken(fd)
        arbiter.settled("a")
        group = the_group(box, arbiter, "a")
        assert says(group, "memory.max") == str(64 * 2**20)
        assert says(group, "memory.high") == str(48 * 2**20)
        assert says(group, "cpu.max") == "150000 100000"
        assert says(group, "cpu.weight") == "200"
        assert says(group, "pids.max") == "50"
        if (group / "io.weight").exists():
            assert "default 300" in says(group, "io.weight")
        changed = {"memory_max": "128M", "cpu_max": 0.5, "pids_max": 60}
        arbiter.must("set", name="a", options=changed, waiting=True)
        assert says(group, "memory.max") == str(128 * 2**20)
        assert says(group, "cpu.max") == "50000 100000"
        assert says(group, "pids.max") == "60"
        text = arbiter.ini.read_text("utf-8")
        arbiter.ini.write_text(text.replace("cpu_weight = 200", "cpu_weight = 400"), "utf-8")
        arbiter.must("reloadconfig", waiting=True)
        assert says(group, "cpu.weight") == "400"
        assert arbiter.pids("a") == [pid]


def test_beyond_memory_max_the_kernel_ends_it(start, arbiters: Arbiters) -> None:
    script = arbiters.script("eat.py", EATER)
    arbiter = start(watcher("eater", script, memory_max="32M", respawn=False))
    arbiter.wait(r"eater: process \d+ has ended: SIGKILL, out of memory \(the kernel's oom_kill")


def test_beyond_pids_max_a_fork_fails_and_the_stop_ends_them_all(
    start, arbiters: Arbiters, box: Path
) -> None:
    arbiter = start(watcher("forks", arbiters.script("forks.py", FORKS), pids_max=10))
    made = int(arbiter.wait(r"FORKS (\d+) Resource temporarily unavailable")[1])
    assert made == 9
    group = the_group(box, arbiter, "forks")
    assert says(group, "pids.current") == "10"
    arbiter.must("kill", name="forks", signum="SIGKILL", waiting=True)
    arbiter.must("stop", name="forks", waiting=True)
    assert not group.exists() or "populated 0" in says(group, "cgroup.events")


def test_cpu_max_holds_two_that_spin_together(start, arbiters: Arbiters, box: Path) -> None:
    script = arbiters.shell("spin.sh", SPIN)
    arbiter = start(watcher("spin", script, cpu_max="50%", numprocesses=2))
    arbiter.wait("SPINS")
    arbiter.wait("SPINS")
    group = the_group(box, arbiter, "spin")

    def periods() -> tuple[int, int]:
        text = says(group, "cpu.stat")
        return tuple(int(re.search(rf"^{key} (\d+)", text, re.M)[1])
                     for key in ("nr_periods", "usage_usec"))  # fmt: skip

    first, used = periods()
    while (now := periods())[0] < first + 20:
        arbiter.must("status")
    # 50 ms in each of 100 ms; what was left over of one period may be used in the next.
    assert (now[1] - used) / ((now[0] - first) * 100_000) < 0.6


def test_pressure_is_told(start, arbiters: Arbiters) -> None:
    if not Path("/proc/pressure").exists():
        pytest.skip("this kernel tells no pressure (psi=1)")
    script = arbiters.shell("spin.sh", SPIN)
    arbiter = start(watcher("spin", script, cpu_max="50%", numprocesses=2))
    arbiter.wait("SPINS")
    arbiter.wait("SPINS")
    while True:
        pressure = arbiter.must("stats", name="spin")["pressure"]
        if pressure["cpu"]["some"]["total"] > 100_000:
            break


def test_the_arbiter_steps_aside_and_gives_everything_back(start, box: Path) -> None:
    arbiter = start(watcher("a", SLEEP, pids_max=5))
    arbiter.settled("a")
    own = Path(f"/proc/{arbiter.pid}/cgroup").read_text("ascii")
    assert own.strip().endswith("/arbiter")
    assert "pids" in says(box, "cgroup.subtree_control")
    arbiter.send(15)
    assert arbiter.wait_end() == 0
    assert says(box, "cgroup.subtree_control") == ""


def test_the_first_limit_comes_while_others_run(start, box: Path) -> None:
    """What the arbiter has started stands in the way of its own controllers, and is moved."""
    arbiter = start(watcher("a", SLEEP))
    arbiter.settled("a")
    arbiter.must("set", name="a", options={"memory_max": "64M"}, waiting=True)
    assert says(the_group(box, arbiter, "a"), "memory.max") == str(2**26)
    assert SLEEP.split()[0] in Path(f"/proc/{arbiter.pids('a')[0]}/cmdline").read_text()
