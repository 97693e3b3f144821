"""benchmarks.raw with real servers and a real loader: short, and nothing is left behind."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.ops import proc
from benchmarks.raw import answer
from benchmarks.raw.cases import CASES, Case
from benchmarks.raw.running import Served, running
from benchmarks.raw.servers import SERVERS

ROOT = Path(__file__).resolve().parents[3]
FLOOR = next(one for one in SERVERS if one.name == "floor")
LIMIT = 60.0

pytestmark = [
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.raw", *words, "--python", sys.executable]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_the_floor_beside_waitress(tmp_path: Path) -> None:
    pytest.importorskip("waitress")
    results = tmp_path / "raw.json"
    only = "W1/floor,W1/waitress"
    with start("--quick", "--only", only, "--json", str(results)) as process:
        shown, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    found = {one["server"]: one for one in json.loads(results.read_text())["rounds"]}
    assert set(found) == {"floor", "waitress"}, said
    assert found["floor"]["requests"] > found["waitress"]["requests"] > 0
    assert 0 < found["floor"]["cpu_us"] < found["waitress"]["cpu_us"]
    assert not any(found["floor"]["errors"].values())
    lines = [line.split()[1] for line in shown.splitlines() if line.startswith("| ")]
    assert lines[:3] == ["server", "floor", "waitress"], shown
    assert "missing: " in said, "what is not installed is named"


def test_interrupted_it_leaves_no_process(tmp_path: Path) -> None:
    words = ("--only", "W1/floor", "--seconds", "30", "--json", str(tmp_path / "raw.json"))
    with start(*words) as process:
        family = _family(process, "wrk")
        process.send_signal(signal.SIGINT)
        shown, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, shown + said
    assert "--resume" in said
    for pid in family:
        assert not Path(f"/proc/{pid}").exists(), f"{pid} is still there"


def _family(process: subprocess.Popen[str], name: str) -> list[int]:
    """The pids below the process, once a command of that name runs there."""
    pidfd = os.pidfd_open(process.pid)
    deadline = time.monotonic() + LIMIT
    try:
        while time.monotonic() < deadline:
            family = proc.descendants(process.pid)
            if any(_command(pid) == name for pid in family):
                return family
            assert not select.select([pidfd], [], [], 0.01)[0], process.communicate()
    finally:
        os.close(pidfd)
    raise AssertionError(f"no {name} below {process.pid}")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_floor_answers_like_the_servers(case: Case) -> None:
    served = Served(case.app, answer=case.floor_answer(), block=case.block)
    with running(FLOOR, served, Path(sys.executable)) as up:
        request = case.request("localhost")
        for found in answer.ask_together(up.port, request, case.pipeline):
            answer.check(found, case.body)


def test_the_floor_takes_requests_apart_at_any_byte() -> None:
    case = next(one for one in CASES if one.name == "W4")
    request = case.request("localhost")
    both = request + CASES[0].request("localhost")
    served = Served(case.app, answer=case.floor_answer())
    with running(FLOOR, served, Path(sys.executable)) as up:
        cuts = [1, 20, request.index(b"\r\n\r\n") + 2, request.index(b"\r\n\r\n") + 4, 300]
        for cut in [*cuts, len(request) - 1, len(request), len(request) + 3]:
            with socket.create_connection(("127.0.0.1", up.port), 5.0) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(both[:cut])
                connection.sendall(both[cut:])
                with connection.makefile("rb") as stream:
                    for _ in range(2):
                        answer.check(answer.read(stream), case.body)


def test_the_floor_closes_when_it_is_asked_to() -> None:
    case = next(one for one in CASES if one.name == "W2")
    served = Served("", answer=case.floor_answer())
    with (
        running(FLOOR, served, Path(sys.executable)) as up,
        socket.create_connection(("127.0.0.1", up.port), 5.0) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(case.request("localhost"))
        answer.check(answer.read(stream), case.body)
        assert stream.read() == b""
