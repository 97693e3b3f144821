"""The C parts of the native core."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones run when they are asked for: pytest -m slow DIRECTORY."""
    if "slow" in config.getoption("markexpr"):
        return
    long = [item for item in items if item.path.parent == HERE and item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
