"""Arbiters inside of the test's own process."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def open_descriptors() -> set[str]:
    """Every open descriptor, and what it leads to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="li-") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No child and no descriptor is left behind."""
    before = open_descriptors()
    yield
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if "sleep" in Path(f"/proc/{pid}/comm").read_text()]
    caplog.get_records("call").clear()  # they hold errors, and those hold all that was there
    gc.collect()  # the scoreboard's memory goes with its last reader
    assert open_descriptors() - before == set()
