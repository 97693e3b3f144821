"""`chaussette -w N`: the same arbiter, made from flags."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from arbiter_under_test import Arbiters, Running, alive, http_get

APP = """
import os
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%s %d' % (VERSION, os.getpid())]
VERSION = b'one'
"""


def embedded(arbiters: Arbiters, folder: Path, app: str, *flags: str) -> Running:
    return arbiters.run(
        [
            sys.executable,
            "-m",
            "chaussette",
            "-w",
            "2",
            "-b",
            "127.0.0.1:0",
            "--backend",
            "wsgiref",
            *flags,
            app,
        ],
        {"PYTHONPATH": f"{Path(__file__).parents[3]}:{folder}", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def serving(arbiter: Running) -> int:
    port = int(arbiter.wait(r"socket web at http://127\.0\.0\.1:(\d+)")[1])
    for _ in range(2):
        arbiter.wait("process .* is ready")
    return port


def test_it_serves_and_drains(arbiters: Arbiters, folder: Path) -> None:
    (folder / "good.py").write_text(APP)
    arbiter = embedded(arbiters, folder, "good:application")
    port = serving(arbiter)
    workers = [int(pid) for pid in re.findall(r"started process (\d+)", arbiter.log)]
    status, body = http_get(port)
    assert (status, body.split()[0]) == (200, b"one")
    assert int(body.split()[1]) in workers
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    assert not any(alive(pid) for pid in workers)
    assert "Traceback" not in arbiter.log


def test_a_killed_worker_is_replaced(arbiters: Arbiters, folder: Path) -> None:
    (folder / "good.py").write_text(APP)
    arbiter = embedded(arbiters, folder, "good:application")
    port = serving(arbiter)
    pid = int(re.findall(r"started process (\d+)", arbiter.log)[0])
    os.kill(pid, signal.SIGKILL)
    arbiter.wait("has ended: SIGKILL")
    arbiter.wait("is ready")
    assert http_get(port)[0] == 200


def test_an_application_that_cannot_be_imported(arbiters: Arbiters, folder: Path) -> None:
    """The traceback once, although two workers fail."""
    (folder / "broken.py").write_text("import sys\nraise RuntimeError('no good')\n")
    arbiter = embedded(arbiters, folder, "broken:application")
    assert arbiter.wait_end() == 3
    assert "RuntimeError: no good" in arbiter.log
    assert arbiter.log.count("Traceback") == 1


def test_a_name_that_is_not_there(arbiters: Arbiters, folder: Path) -> None:
    (folder / "good.py").write_text(APP)
    arbiter = embedded(arbiters, folder, "good:aplication")
    assert arbiter.wait_end() == 4
    assert arbiter.log.count("aplication") >= 1


def test_reload_to_new_code_and_not_to_broken_code(arbiters: Arbiters, folder: Path) -> None:
    app = folder / "good.py"
    app.write_text(APP)
    arbiter = embedded(arbiters, folder, "good:application")
    port = serving(arbiter)
    app.write_text(APP.replace("one", "two"))
    arbiter.send(signal.SIGHUP)
    arbiter.wait("generation 2 serves now")
    assert http_get(port)[1].startswith(b"two")
    app.write_text("raise RuntimeError('broken')\n")
    arbiter.send(signal.SIGHUP)
    arbiter.wait("generation 3 did not come up")
    assert {http_get(port)[1].split()[0] for _ in range(5)} == {b"two"}
    assert arbiter.log.count("Traceback") == 1
    app.write_text(APP.replace("one", "three"))
    arbiter.send(signal.SIGHUP)
    arbiter.wait("generation 4 serves now")
    assert http_get(port)[1].startswith(b"three")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
