"""Plugins beside real arbiters (tests/functional/arbiter/arbiter_under_test.py)."""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "arbiter"))

from arbiter_under_test import BOUND, Arbiters


class Statsd:
    """A statsd server: everything that comes, by name."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.seen: list[str] = []

    def wait(self, start: str, bound: float = BOUND) -> str:
        """The next value that begins so."""
        deadline = time.monotonic() + bound
        while True:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._socket], [], [], left)[0], f"no {start} in {self.seen}"
            line = self._socket.recv(2048).decode()
            self.seen.append(line)
            if line.startswith(start):
                return line

    def close(self) -> None:
        self._socket.close()


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
