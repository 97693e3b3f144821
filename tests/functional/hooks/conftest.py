"""The fixtures of tests/functional/arbiter, for hooks."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "arbiter"))

import tempfile
from collections.abc import Iterator

import pytest
from arbiter_under_test import Arbiters


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="ho-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def arbiters(folder: Path) -> Iterator[Arbiters]:
    """Starts arbiters; what is still running at the end is ended, and must end cleanly."""
    made = Arbiters(folder)
    yield made
    made.close()
