"""What the native backend does on the wire, in real processes.

The tables of requests and responses are data: a backend that means to keep the same rules
joins BACKENDS in wire_server.py and runs through all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "backends"))

from wire_server import BACKENDS, Nest, Shared

HERE = Path(__file__).parent


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    """Makes servers for one test."""
    made = Nest(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Long-lived servers, for tests that leave them as they were."""
    made = Shared(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The backend of this run."""
    name: str = request.param
    return name


@pytest.fixture(params=[1, 4], ids=["thread", "threads"])
def threads(request: pytest.FixtureRequest, backend: str) -> int:
    """How many threads its server has."""
    number: int = request.param
    if number > 1 and backend == "fastgevent":
        pytest.skip("its requests run in greenlets of one thread")
    return number


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones run when they are asked for: pytest -m slow DIRECTORY."""
    if "slow" in config.getoption("markexpr"):
        return
    long = [item for item in items if item.path.parent == HERE and item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
