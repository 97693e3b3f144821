"""Plugins beside real arbiters (tests/functional/arbiter/arbiter_under_test.py)."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "arbiter"))

from arbiter_under_test import Arbiters
from ssh_server import sshd  # noqa: F401 - a fixture
from statsd_server import Statsd


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="pl-") as name:
        yield Path(name)


@pytest.fixture
def arbiters(folder: Path) -> Iterator[Arbiters]:
    """Starts arbiters; what is still running at the end is ended, and must end cleanly."""
    made = Arbiters(folder)
    yield made
    made.close()


@pytest.fixture
def statsd() -> Iterator[Statsd]:
    """A statsd server of the test's own."""
    server = Statsd()
    yield server
    server.close()


@pytest.fixture
def redis_server() -> str:
    """The program redis-server, where it is installed."""
    program = shutil.which("redis-server")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not installed")
    return program
