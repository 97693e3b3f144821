"""Which backends a test is about, and servers that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from backend_server import Nursery, Server

from chaussette.backends import registry
from chaussette.backends.base import Can


def backends(wanted: Can) -> list[str]:
    """The names of those that declare all of this."""
    found = (registry.probe(name) for name in registry.names())
    return [each.name for each in found if each.declaration and wanted in each.declaration.can]


def need(name: str) -> None:
    """Skips without the library; fails in CI."""
    found = registry.probe(name)
    if not found.installed and os.environ.get("CI"):
        pytest.fail(found.reason)
    if not found.installed:
        pytest.skip(found.reason)


class Shared:
    """One long-lived server per backend and application, for tests that leave it as it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nests: dict[tuple[str, str], tuple[Nursery, Server]] = {}

    def get(self, backend: str, app: str) -> tuple[Nursery, Server]:
        """Starts it when it is first wanted."""
        key = (backend, app)
        if key not in self._nests:
            folder = self._folder / f"{backend}-{app}"
            folder.mkdir()
            nest = Nursery(folder)
            self._nests[key] = (nest, nest.serve(backend, app))
        return self._nests[key]

    def close(self) -> None:
        """Ends all of them."""
        for nest, _ in self._nests.values():
            nest.close()
