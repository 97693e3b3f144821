"""When circusd does not start: exit code 1, a reason, and nothing left behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from arbiter_under_test import SLEEP, Arbiters, listening, watcher


@pytest.mark.parametrize(
    ("ini", "circus", "says"),
    [
        (watcher("w", "x $(circus.sockets.wep)", use_sockets=True), "", "no [socket:wep]"),
        (watcher("w", SLEEP), "pidfil = x", "did you mean 'pidfile'"),
        (watcher("w", SLEEP, numprocesses="many"), "", "expected a whole number"),
        (watcher("w", SLEEP, uid="no-such-user"), "", "no such user"),
        (watcher("w", SLEEP, gid="no-such-group"), "", "no such group"),
        (watcher("w", SLEEP, working_dir="/no/such/place"), "", "there is no such directory"),
        (watcher("w", SLEEP, stdout_stream__filename="/no/dir/x"), "", "stdout_stream.filename"),
        (watcher("w", SLEEP, stderr_stream__class="FileStrem"), "", "did you mean 'FileStream'"),
        (watcher("w", SLEEP), "endpoint = tcp://0.0.0.0:5555", "open to other machines"),
        (watcher("w", SLEEP), "endpoint = tcp://127.0.0.1:x", "endpoint tcp://127.0.0.1:x"),
        (watcher("w", SLEEP), "pidfile = /no/such/dir/pid", "pidfile"),
        (watcher("w", SLEEP), "logoutput = /no/such/dir/log", "logoutput"),
        (listening("s", host="no.such.host.invalid"), "", "[socket:s] host"),
    ],
)
def test_nothing_starts(arbiters: Arbiters, ini: str, circus: str, says: str) -> None:
    arbiter = arbiters(ini, watcher("other", SLEEP), circus=circus)
    assert arbiter.wait_end() == 1
    assert says in arbiter.log
    assert "Traceback" not in arbiter.log
    assert "started process" not in arbiter.log


def test_check_only_checks(arbiters: Arbiters, folder: Path) -> None:
    log = folder / "out.log"
    good = arbiters(
        listening("web", path=folder / "web.sock"),
        watcher("w", SLEEP, stdout_stream__filename=log, my_option=1),
        flags=["--check"],
    )
    assert good.wait_end() == 0
    assert "ok (1 sockets, 1 watchers)" in good.log
    assert "my_option" in good.log
    assert not (folder / "web.sock").exists()
    assert not log.exists()
    bad = arbiters(watcher("w", SLEEP, uid="no-such-user", umask="9"), flags=["--check"])
    assert bad.wait_end() == 1
    assert f"{folder}/stack.ini:" in bad.log


def test_pidfile(arbiters: Arbiters, folder: Path) -> None:
    path = folder / "circus.pid"
    path.write_text("999999\n")
    first = arbiters.ready(watcher("w", SLEEP), circus=f"pidfile = {path}")
    assert path.read_text() == f"{first.pid}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    other = folder / "other"
    other.mkdir()
    second = arbiters(watcher("w", SLEEP), folder=other, circus=f"pidfile = {path}")
    assert second.wait_end() == 1
    assert f"held by pid {first.pid}" in second.log
    assert path.read_text() == f"{first.pid}\n"
    first.must("quit")
    assert first.wait_end() == 0
    assert not path.exists()


def test_a_pidfile_of_somebody_else_is_not_removed(arbiters: Arbiters, folder: Path) -> None:
    path = folder / "circus.pid"
    arbiter = arbiters.ready(watcher("w", SLEEP), circus=f"pidfile = {path}")
    path.unlink()
    path.write_text("7\n")
    arbiter.must("quit")
    assert arbiter.wait_end() == 0
    assert path.read_text() == "7\n"


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_pidfile_that_is_no_file(arbiters: Arbiters, folder: Path, kind: str) -> None:
    path, precious = folder / "circus.pid", folder / "precious"
    precious.write_text("keep me")
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    arbiter = arbiters(watcher("w", SLEEP), circus=f"pidfile = {path}")
    assert arbiter.wait_end() == 1
    assert "pidfile" in arbiter.log
    assert "Traceback" not in arbiter.log
    assert precious.read_text() == "keep me"


def test_one_arbiter_for_one_runtime_directory(arbiters: Arbiters, folder: Path) -> None:
    first = arbiters.ready(watcher("w", SLEEP))
    assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run" / "control.sock").stat().st_mode) & 0o077 == 0
    second = arbiters(watcher("v", SLEEP))
    assert second.wait_end() == 1
    assert f"another arbiter (pid {first.pid})" in second.log
    assert first.must("list")["watchers"] == ["w"]


def test_a_directory_of_others_does_not_become_the_runtime_directory(
    arbiters: Arbiters, folder: Path
) -> None:
    shared = folder / "run"
    shared.mkdir(mode=0o755)
    (shared / "theirs").touch()
    arbiter = arbiters(watcher("w", SLEEP))
    assert arbiter.wait_end() == 1
    assert "runtime_dir" in arbiter.log
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755


def test_an_empty_directory_is_made_private(arbiters: Arbiters, folder: Path) -> None:
    (folder / "run").mkdir(mode=0o755)
    arbiters.ready(watcher("w", SLEEP))
    assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700
