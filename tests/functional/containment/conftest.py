"""Real arbiters on a machine where control groups can be made; nothing may be left of them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "arbiter"), str(HERE.parents[2])]

from arbiter_under_test import Arbiters  # noqa: E402 - it is found by what stands above

from chaussette.arbiter.containment.layout import Layout, survey  # noqa: E402


@pytest.fixture(scope="session")
def layout() -> Layout:
    """What this machine offers; the test is skipped where that is no cgroup v2 of ours."""
    found = survey()
    if os.geteuid() != 0:
        pytest.skip("control groups of a test need root")
    if found.base is None:
        pytest.skip(f"no control group can be made: {found.obstacle}")
    if not (found.base / "cgroup.procs").exists():
        pytest.skip(f"no cgroup2 at {found.base}")
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="cg-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def arbiters(folder: Path, layout: Layout) -> Iterator[Arbiters]:
    """Starts arbiters; what is still running at the end is ended, and leaves no group."""
    made = Arbiters(folder)
    yield made
    made.close()
    pids = {one.pid for one in made._open}
    for place in (layout.base, *layout.legacy.values()):
        assert place is not None
        left = [one.name for pid in pids for one in place.glob(f"chaussette-{pid}-*")]
        assert not left, f"groups left in {place}: {left}"
