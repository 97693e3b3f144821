"""What is built and installed is what stands in the tree, under one import name."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a wheel and a source archive of what git tracks."""
    place = tmp_path_factory.mktemp("package")
    source = place / "source"
    source.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "HEAD"], check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    build = (
        "import setuptools.build_meta as b, sys;"
        "place = sys.argv[1]; b.build_sdist(place); b.build_wheel(place)"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, str(place)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return place


def _modules(folder: str, name: str) -> set[str]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", f"{folder}/*.py"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name + path.removeprefix(folder) for path in listed.stdout.split()}


def expected() -> set[str]:
    return (
        _modules("chaussette", "chaussette")
        | _modules("arbiter", "chaussette/arbiter")
        | _modules("backends", "chaussette/backends")
    )


def test_wheel_holds_every_module_once(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        found = {name for name in wheel.namelist() if name.endswith(".py")}
    assert found == expected()


def test_wheel_has_one_top_level_name(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"chaussette"}


def test_source_archive_holds_every_module(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {path for path in expected() if path not in names} == set()
