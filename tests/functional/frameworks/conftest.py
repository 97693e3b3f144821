"""Real frameworks on the native backend, in real processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "backends"))

from framework_server import Nest


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    """Makes servers for one test."""
    made = Nest(tmp_path)
    yield made
    made.close()
