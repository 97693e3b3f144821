"""The fixtures of tests/functional/arbiter, and the benchmarks' clients."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# How many are run, watched and counted is the benchmarks'; they are no part of what is installed.
sys.path.insert(0, str(HERE.parents[2]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The full numbers run when they are asked for: pytest -m slow tests/functional/scale."""
    if "slow" in config.getoption("markexpr"):
        return
    long = [item for item in items if item.path.parent == HERE and item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="sc-") as name:
        yield Path(name)
