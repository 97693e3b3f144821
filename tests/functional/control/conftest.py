"""Real arbiters, driven by every kind of client."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "arbiter"), str(HERE.parents[2])]

from arbiter_under_test import Arbiters  # noqa: E402 - it is found by what stands above
from ssh_server import sshd  # noqa: E402, F401 - a fixture


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="ct-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def arbiters(folder: Path) -> Iterator[Arbiters]:
    """Starts arbiters; what is still running at the end is ended, and must end cleanly."""
    made = Arbiters(folder)
    yield made
    made.close()
