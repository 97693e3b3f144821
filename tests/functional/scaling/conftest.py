"""Real arbiters, as the tests of the arbiter start them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "arbiter"))

from arbiter_under_test import Arbiters


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="sc-") as name:
        yield Path(name)


@pytest.fixture
def arbiters(folder: Path) -> Iterator[Arbiters]:
    """Starts arbiters; what is still running at the end is ended, and must end cleanly."""
    made = Arbiters(folder)
    yield made
    made.close()
