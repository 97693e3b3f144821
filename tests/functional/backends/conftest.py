"""Every conformance test runs once for every backend that is registered.

A backend whose library is not installed is skipped on a developer's machine and
fails in CI, where all of them must be there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_server import Nursery, Server, nursery

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


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nursery]:
    """Makes servers for one test."""
    with nursery(tmp_path) as made:
        yield made


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


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The long-lived servers."""
    made = Shared(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test names the capabilities it is about in its marker `@pytest.mark.backends(Can...)`."""
    marker = metafunc.definition.get_closest_marker("backends")
    if marker and "backend" in metafunc.fixturenames:
        metafunc.parametrize(
            "backend_name", backends(marker.args[0]), indirect=False, scope="session"
        )


@pytest.fixture
def backend(backend_name: str) -> str:
    """The backend of this run, whose library is here."""
    need(backend_name)
    return backend_name


def pytest_configure(config: pytest.Config) -> None:
    """Markers are strict."""
    config.addinivalue_line("markers", "backends(can): once for each backend that declares this")
