"""Every conformance test runs once for every backend that is registered.

A backend whose library is not installed is skipped on a developer's machine and
fails in CI, where all of them must be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_choice import Shared, backends, need
from backend_server import Nursery, nursery


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nursery]:
    """Makes servers for one test."""
    with nursery(tmp_path) as made:
        yield made


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
