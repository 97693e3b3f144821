"""What the reloader watches and starts; no process."""

from __future__ import annotations

import os
from pathlib import Path

from chaussette import reloader
from chaussette.cli.chaussette import make_parser, read_settings
from chaussette.settings.server import ServerSettings


def test_edited_made_and_removed_files_are_changes() -> None:
    before = {"same": 1, "edited": 1, "removed": 1}
    after = {"same": 1, "edited": 2, "made": 1}
    assert reloader.changed(before, after) == ["edited", "made", "removed"]


def test_a_snapshot_has_the_neighbours_of_loaded_files(tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "notes.txt"):
        (tmp_path / name).touch()
    found = reloader.take_snapshot([f"{tmp_path}/gone.py"], [os.fspath(tmp_path)])
    assert sorted(Path(path).name for path in found) == ["a.py", "b.py", "gone.py"]
    assert found[f"{tmp_path}/gone.py"] == 0


def test_the_standard_library_is_not_watched() -> None:
    files = list(reloader.loaded_files())
    assert os.path.realpath(__file__) in files
    assert os.path.realpath(os.__file__) not in files


def test_the_child_serves_the_parent_s_sockets_with_the_same_settings() -> None:
    wanted = ServerSettings(
        application="m:make('a b')", app_args=("--x",), backend="wsgiref", port=9, use_reloader=True
    )
    argv = reloader.child_argv(wanted, [5, 6])
    child, embedded = read_settings(*make_parser().read(argv[3:]), {})
    assert child == ServerSettings(
        application="m:make('a b')", app_args=("--x",), backend="wsgiref", bind=("fd://5", "fd://6")
    )
    assert not embedded


def test_settings_in_the_environment_are_not_said_twice() -> None:
    environ = {"CHAUSSETTE_PORT": "1", "CHAUSSETTE_SCOREBOARD": "3:0:1", "HOME": "/"}
    kept = reloader.child_environment(environ, 9)
    assert kept == {"CHAUSSETTE_SCOREBOARD": "3:0:1", "HOME": "/", reloader.ENVIRONMENT: "9"}
