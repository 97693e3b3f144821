"""A stack that is reloaded under load, alone or behind the example site's nginx."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# The load, and how each manager is configured, are the benchmarks'; they are no
# part of what is installed.
sys.path.insert(0, str(ROOT))


def pytest_configure(config: pytest.Config) -> None:
    """What this folder marks."""
    config.addinivalue_line("markers", "interop: needs a peer's package, installed when first used")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long versions run when they are asked for: pytest -m slow tests/functional/reload."""
    if "slow" in config.getoption("markexpr"):
        return
    long = [item for item in items if item.path.parent == HERE and item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="rl-") as name:
        yield Path(name)
