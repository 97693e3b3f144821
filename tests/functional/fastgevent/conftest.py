"""fastgevent in real processes: requests in greenlets that wait, leak nothing, and end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "backends"))

from greenlet_server import Nest


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    """Makes servers for one test."""
    made = Nest(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["batch", "spawn"])
def greenlet(request: pytest.FixtureRequest) -> str:
    """The value of --greenlet: both ways must do the same."""
    name: str = request.param
    return name
