"""The groups of this very process: pressure, and the order of the end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaussette.arbiter.containment.group import Group, remove_tree, sweep
from chaussette.arbiter.containment.layout import Layout
from chaussette.arbiter.containment.table import GroupTable
from chaussette.arbiter.loop import Loop
from chaussette.settings.watcher import WatcherSettings

SETTINGS = WatcherSettings(name="t", cmd="sleep 1000", containment="strict")


@pytest.fixture
def table(layout: Layout) -> Iterator[GroupTable]:
    assert layout.base is not None
    loop = Loop()
    made = GroupTable(loop)
    yield made
    made.close()
    loop.close()
    assert not list(layout.base.glob(f"chaussette-{os.getpid()}-*"))


def in_group(group: Group) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    for door in group.doors():
        Path(door).write_text(str(process.pid), "ascii")
    return process


def test_pressure_of_a_watcher(table: GroupTable) -> None:
    group = table.enter(SETTINGS)
    assert group is not None and group.path is not None
    pressure = table.pressure("t")
    if not (group.path.parent / "memory.pressure").exists():
        pytest.skip("this kernel tells no pressure (psi=1)")
    assert pressure["memory"]["some"]["total"] >= 0
    assert "avg10" in pressure["cpu"]["some"]
    assert table.pressure("nobody") == {}
    table.leave(group)


def test_a_signal_for_all_but_one(table: GroupTable) -> None:
    group = table.enter(SETTINGS)
    assert group is not None
    first, second = in_group(group), in_group(group)
    assert group.members() == {first.pid, second.pid}
    assert group.send(signal.SIGTERM, besides=first.pid) == 1
    assert second.wait(10) == -signal.SIGTERM
    group.kill()
    assert first.wait(10) == -signal.SIGKILL
    table.leave(group)


def test_the_group_of_one_that_has_not_joined_yet_stays(table: GroupTable) -> None:
    early, late = table.enter(SETTINGS), table.enter(SETTINGS)
    assert early is not None and late is not None and late.path is not None
    table.leave(early)
    process = in_group(late)
    assert late.members() == {process.pid}
    late.kill()
    process.wait(10)
    table.leave(late)
    assert not late.path.parent.exists()


def test_nothing_of_a_living_arbiter_or_of_others_is_swept(layout: Layout) -> None:
    assert layout.base is not None
    base = layout.base / "box-of-a-sweep"  # arbiters of other tests sweep the real one
    ours, other = base / "chaussette-1-1", base / "chaussette-of-somebody"
    for path in (base, ours, other):
        path.mkdir()
    lock = os.open(ours, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(base)
        assert ours.exists() and other.exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        sweep(base)
        assert not ours.exists() and other.exists()
    finally:
        os.close(lock)
        remove_tree(base)
    assert not base.exists()
