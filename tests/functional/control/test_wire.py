"""Both halves of the wire with the other half of PyPI's circus 0.19."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, ROOT, SLEEP, Arbiters, Ended, Running, alive, watcher

from benchmarks.ops import peers
from chaussette.control.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of their environment; it is made when it is first needed."""
    try:
        return peers.python_of(peers.CIRCUS)
    except peers.PeerUnavailable as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no circus: {error}")
        raise


def test_their_circusctl_drives_our_arbiter(arbiters: Arbiters, python: Path) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP, numprocesses=2), watcher("job", SLEEP))
    pids = arbiter.settled("web", "job")

    def say(*words: str, code: int = 0) -> str:
        argv = [str(python), "-W", "ignore", "-m", "circus.circusctl"]
        command = arbiters.run([*argv, "--endpoint", arbiter.endpoint, *words], {"PYTHONPATH": ""})
        assert command.wait_end() == code, f"{words}: {command.log}"
        return command.log.strip()

    assert say("get", "web", "numprocesses", "cmd") == f"numprocesses: 2\ncmd: {SLEEP}"
    assert "graceful_timeout: 30" in say("options", "web").splitlines()
    assert f"endpoint: {arbiter.endpoint}" in say("globaloptions").splitlines()
    assert say("set", "web", "graceful_timeout", "5", "--waiting") == "ok"
    assert say("get", "web", "graceful_timeout") == "graceful_timeout: 5"
    assert f"{pids[0]}: {pids[0]}  sleep" in say("stats", "web")
    assert say("stats").splitlines()[0] == "web:"
    assert say("stats", "web", str(pids[1])).startswith(f"{pids[1]}: {pids[1]}  sleep")
    assert say("dstats").startswith("Main Process:")
    assert say("signal", "web", str(pids[0]), "CONT") == "ok"
    ended = Ended(pids[0])
    assert say("kill", "web", str(pids[0]), "--signum", "INT") == "ok"
    ended.wait()
    assert say("add", "--start", "more", SLEEP) == "ok"
    assert say("list") == "job,more,web"
    assert say("rm", "more") == "ok"
    assert say("reload", "web", "--waiting") == "ok"
    assert say("reloadconfig", "--waiting") == "ok"
    assert json.loads(say("--json", "numwatchers"))["numwatchers"] == 2
    assert "no watcher 'wep'" in say("stop", "--match", "simple", "wep", code=3)


THEIR_CLIENT = """
import json, sys
from circus.client import CircusClient
client = CircusClient(endpoint=sys.argv[1], timeout=20)
say = lambda command, **props: client.send_message(command, **props)
print(json.dumps([
    say("status"),
    say("restart", name="web", waiting=True),
    say("incr", name="web", nb=1, waiting=True),
    say("stats", name="web"),
    say("nonsense"),
    say("get", name="web", keys=["no_such_option"]),
    client.call({"command": "list", "properties": {"name": "web"}}),
]))
client.stop()
"""


def test_their_client_class_drives_our_arbiter(arbiters: Arbiters, python: Path) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP, numprocesses=2))
    before = arbiter.settled("web")
    argv = [str(python), "-W", "ignore", "-c", THEIR_CLIENT, arbiter.endpoint]
    run = arbiters.run(argv, {"PYTHONPATH": ""})
    assert run.wait_end() == 0, run.log
    status, restart, incr, stats, nonsense, unknown, pids = json.loads(run.log.splitlines()[-1])
    assert status["statuses"] == {"web": "active"}
    assert restart["info"]["stopped"] == before
    assert incr["numprocesses"] == 3
    assert set(stats["info"]) == {str(pid) for pid in pids["pids"]}
    assert (nonsense["status"], nonsense["errno"], nonsense["tb"]) == ("error", 2, None)
    assert (unknown["status"], unknown["errno"]) == ("error", 3)


class Theirs(Running):
    """PyPI's circusd with two watchers."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.endpoint = f"ipc://{folder}/ctl"
        (folder / "circus.ini").write_text(
            f"[circus]\nendpoint = {self.endpoint}\npubsub_endpoint = ipc://{folder}/pub\n"
            f"[watcher:web]\ncmd = {SLEEP}\nnumprocesses = 2\n[watcher:job]\ncmd = {SLEEP}\n"
        )
        argv = [str(python), "-W", "ignore", "-m", "circus.circusd", "circus.ini"]
        super().__init__(argv, folder, {"PYTHONPATH": ""})

    def wait_active(self) -> None:
        """It refuses commands while it starts; each look is one question and its answer."""
        deadline = time.monotonic() + BOUND
        with Client(self.endpoint, BOUND) as client:
            while set(client.call("status").fields["statuses"].values()) != {"active"}:
                assert time.monotonic() < deadline


@pytest.fixture
def theirs(folder: Path, python: Path) -> Iterator[Theirs]:
    """One that is up."""
    running = Theirs(folder, python)
    try:
        running.wait("Arbiter now waiting for commands")
        running.wait_active()
        yield running
    finally:
        running.close()


def test_our_circusctl_drives_their_arbiter(theirs: Theirs) -> None:
    def say(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "chaussette.cli.circusctl",
                "--endpoint",
                theirs.endpoint,
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}{theirs.log}"
        return (done.stdout + done.stderr).strip()

    assert say("list") == "job,web"
    assert say("status") == "job: active\nweb: active"
    pids = [int(pid) for pid in say("list", "web").split(",")]
    assert say("status", "web") == "active"
    assert say("numprocesses", "web") == "2"
    assert say("numwatchers") == "2"
    assert say("incr", "web", "--waiting") == "3"
    assert say("decr", "web", "--waiting") == "2"
    assert say("get", "web", "numprocesses") == "numprocesses: 2"
    assert "max_retry: 5" in say("options", "web").splitlines()
    assert say("set", "web", "graceful_timeout", "5", "max_age", "90", "--waiting") == "ok"
    assert say("get", "web", "graceful_timeout").startswith("graceful_timeout: 5")
    assert say("globaloptions", "endpoint") == f"endpoint: {theirs.endpoint}"
    assert " sleep " in say("stats", "web")
    assert say("dstats").startswith("Main Process:")
    assert say("listsockets") == ""
    pids = [int(pid) for pid in say("list", "web").split(",")]
    assert say("signal", "web", str(pids[0]), "CONT") == "ok"
    assert say("kill", "web", str(pids[0]), "--graceful_timeout", "5", "--waiting") == "ok"
    assert not alive(pids[0])
    assert say("add", "--start", "more", SLEEP) == "ok"
    assert say("stop", "more", "--waiting") == "ok"
    assert say("rm", "more", "--waiting") == "ok"
    assert say("restart", "job", "--waiting") == "ok"
    assert say("reload", "web", "--waiting") == "ok"
    assert say("reloadconfig", "--waiting") == "ok"
    assert "unknown command" in say("tail", code=3)
    assert "not found" in say("list", "nope", code=3)


def test_our_clients_drive_their_arbiter(theirs: Theirs) -> None:
    from chaussette.control.client import CircusClient

    with CircusClient(endpoint=theirs.endpoint, timeout=BOUND) as client:
        assert client.send_message("status")["statuses"] == {"web": "active", "job": "active"}
        assert client.call({"command": "list", "properties": {}})["watchers"] == ["job", "web"]
        assert client.send_message("stop", name="job", waiting=True)["status"] == "ok"
        assert client.send_message("nonsense")["errno"] == 2
    with Client(theirs.endpoint, BOUND) as mine:
        assert mine.call("numprocesses").fields["numprocesses"] == 2
        assert mine.call("quit").ok
    theirs.wait_end()
