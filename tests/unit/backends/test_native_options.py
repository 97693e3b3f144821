"""What the native backend tells its core."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from chaussette.backends.native.options import options_of
from chaussette.settings.server import ServerSettings


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"TMPDIR": "there"},
        {"TMPDIR": "missing", "TEMP": "there"},
        {"TMPDIR": "a-file", "TEMP": "", "TMP": "there"},
        {"TMPDIR": "missing", "TEMP": "a-file"},
    ],
)
def test_bodies_go_where_temporary_files_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: dict[str, str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a-file").touch()
    monkeypatch.chdir(tmp_path)  # relative names are allowed, and mean what they mean now
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert options_of(ServerSettings())["directory"] == tempfile.gettempdir()
