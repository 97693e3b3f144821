"""`circusd --daemon`: in the background, and honest about a failed start."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from arbiter_under_test import SLEEP, Arbiters, Ended, listening, watcher


def test_in_the_background(arbiters: Arbiters, folder: Path) -> None:
    pidfile = folder / "circusd.pid"
    arbiter = arbiters(
        listening("web"),
        watcher("w", SLEEP, use_sockets=True),
        flags=["--daemon", "--pidfile", str(pidfile), "--log-output", str(folder / "log")],
    )
    assert arbiter.wait_end() == 0
    pid = int(pidfile.read_text())
    assert pid != arbiter.pid
    end = Ended(pid)
    try:
        (child,) = arbiter.settled("w")
        assert os.getsid(pid) not in (os.getsid(0), os.getsid(child))
        assert os.readlink(f"/proc/{pid}/cwd") == str(folder)
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        assert arbiter.must("listsockets")["sockets"][0]["fd"] == 3
    finally:
        arbiter.must("quit", waiting=True)
        end.wait()
    assert "started process" in (folder / "log").read_text()


def test_a_start_that_fails_is_told(arbiters: Arbiters) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arbiter = arbiters(
            listening("web", port=taken.getsockname()[1]),
            watcher("w", SLEEP),
            flags=["--daemon"],
        )
        assert arbiter.wait_end() == 1
    arbiter.wait("Address already in use")
