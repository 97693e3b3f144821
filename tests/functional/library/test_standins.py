"""A program that used Circus's helpers works with the stand-ins: only its imports change."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

import chaussette
from chaussette import CircusClient
from chaussette.arbiter.standins import Pidfile, check_future_exception_and_log, configure_logger

ROOT = Path(chaussette.__file__).parent.parent
BOUND = 20
# In the way of AiiDA's daemon: its own pid file, logger and loop around the arbiter.
DAEMON = """
import os, sys
from chaussette import get_arbiter
from chaussette.arbiter.standins import (
    Pidfile, check_future_exception_and_log, configure_logger, daemonize, logger)

folder = sys.argv[1]
daemonize()
arbiter = get_arbiter(
    controller=f"ipc://{folder}/c.sock", pubsub_endpoint=f"ipc://{folder}/e.sock",
    logoutput=f"{folder}/circus.log", loglevel="info", debug=False, pidfile=f"{folder}/pid",
    watchers=[{
        "cmd": "sleep 1000", "name": "aiida", "numprocesses": 2, "copy_env": True,
        "stdout_stream": {"class": "FileStream", "filename": f"{folder}/daemon.log"},
        "env": {"A": "1"}, "ready_after": 0.05,
    }],
)
pidfile = Pidfile(arbiter.pidfile)
pidfile.create(os.getpid())
configure_logger(logger, "info", f"{folder}/circus.log", arbiter.loggerconfig or None)
should_restart = True
while should_restart:
    try:
        future = arbiter.start()
        should_restart = False
        if check_future_exception_and_log(future) is None:
            should_restart = arbiter._restarting
    finally:
        pidfile.unlink()
"""


def test_a_daemon_in_the_way_of_aiida(folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", DAEMON, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=BOUND,
    )  # fmt: skip
    with CircusClient(f"ipc://{folder}/c.sock", timeout=BOUND) as client:
        started = client.send_message("start", name="aiida", waiting=True)
        assert started["status"] == "ok"
        assert len(client.send_message("list", name="aiida")["pids"]) == 2
        pid = int((folder / "pid").read_text())
        assert Pidfile(str(folder / "pid")).validate() == pid
        with pytest.raises(RuntimeError, match=f"held by pid {pid}"):
            Pidfile(str(folder / "pid")).create(os.getpid())
        end = os.pidfd_open(pid)
        client.send_message("quit")
        import select

        assert select.select([end], [], [], BOUND)[0]
        os.close(end)
    assert not (folder / "pid").exists()
    assert "aiida: started process" in (folder / "circus.log").read_text()


def test_pidfile(folder: Path) -> None:
    one = Pidfile(str(folder / "pid"))
    assert one.validate() is None
    one.create(os.getpid())
    assert (folder / "pid").read_text() == f"{os.getpid()}\n"
    one.unlink()
    assert not (folder / "pid").exists()
    with pytest.raises(ValueError, match="is not ours"):
        one.create(1)


def test_what_a_start_has_failed_with(caplog: pytest.LogCaptureFixture) -> None:
    good: Future[None] = Future()
    assert check_future_exception_and_log(good) is None
    good.set_result(None)
    assert check_future_exception_and_log(good) is None
    bad: Future[None] = Future()
    bad.set_exception(OSError("no"))
    assert isinstance(check_future_exception_and_log(bad), OSError)
    assert "OSError: no" in caplog.text


def test_configure_logger(folder: Path) -> None:
    own = logging.getLogger("a-program-of-its-own")
    configure_logger(own, "WARNING", str(folder / "log"))
    own.info("quiet")
    own.warning("loud")
    assert "loud" in (folder / "log").read_text()
    assert "quiet" not in (folder / "log").read_text()
    for handler in own.handlers:
        handler.close()
    own.handlers.clear()
