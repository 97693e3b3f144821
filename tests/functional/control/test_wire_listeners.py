"""Who listens, and who asks from an event loop: ours and PyPI's circus 0.19, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from arbiter_under_test import BOUND, ROOT, SLEEP, Arbiters, watcher
from theirs import Theirs

from benchmarks.ops import peers
from chaussette.control.client import AsyncCircusClient, CircusClient
from chaussette.control.consumer import CircusConsumer

pytestmark = [pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of their environment; it is made when it is first needed."""
    try:
        return peers.python_of(peers.CIRCUS)
    except peers.PeerUnavailable as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no circus: {error}")
        raise


@pytest.fixture
def theirs(folder: Path, python: Path) -> Iterator[Theirs]:
    """One that is up, and publishes statistics."""
    point = f"ipc://{folder}/stats.sock"
    running = Theirs(folder, python, f"statsd = True\nstats_endpoint = {point}")
    try:
        running.wait_active()
        yield running
    finally:
        running.close()


@pytest.mark.slow
def test_their_circusctl_listens_to_our_events(arbiters: Arbiters, python: Path) -> None:
    arbiter = arbiters.ready(watcher("my job", SLEEP))
    arbiter.settled("my job")
    argv = [str(python), "-u", "-W", "ignore", "-m", "circus.circusctl", "--endpoint"]
    pubsub = arbiter.must("globaloptions")["options"]["pubsub_endpoint"]
    listening = arbiters.run([*argv, pubsub, "listen", "watcher.my_job"], {"PYTHONPATH": ""})
    # It does not say when it has subscribed, so something happens until it hears it.
    for _ in range(200):
        arbiter.must("incr", name="my job", waiting=True)
        arbiter.must("decr", name="my job", waiting=True)
        with contextlib.suppress(AssertionError):
            listening.wait(r"watcher\.my_job\.spawn", 0.01)
            break
    (pid,) = arbiter.pids("my job")
    os.kill(pid, signal.SIGKILL)
    reap = listening.wait(r"b'watcher\.my_job\.reap': b'(\{.*\"exit_code\": -9.*\})'")[1]
    assert json.loads(reap)["process_pid"] == pid
    listening.send(signal.SIGINT)
    listening.wait_end()


THEIRS = """
import json, sys
import tornado.ioloop
from circus.client import AsyncCircusClient
from circus.util import DEFAULT_ENDPOINT_DEALER

async def main():
    client = AsyncCircusClient(None, sys.argv[1], 20.0)
    answers = [
        await client.send_message("status"),
        await client.send_message("incr", name="web", nb=1, waiting=True),
        await client.call({"command": "list", "properties": {"name": "web"}}),
        await client.send_message("nonsense"),
    ]
    client.stop()
    print(json.dumps(answers), flush=True)

tornado.ioloop.IOLoop.current().run_sync(main)
"""


@pytest.mark.slow
def test_their_client_for_event_loops_drives_our_arbiter(arbiters: Arbiters, python: Path) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP))
    arbiter.settled("web")
    argv = [str(python), "-W", "ignore", "-c", THEIRS, arbiter.endpoint]
    run = arbiters.run(argv, {"PYTHONPATH": ""})
    assert run.wait_end() == 0, run.log
    status, incr, listed, nonsense = json.loads(run.log.splitlines()[-1])
    assert status["statuses"] == {"web": "active"}
    assert incr["numprocesses"] == 2
    assert listed["pids"] == arbiter.pids("web")
    assert (nonsense["status"], nonsense["errno"]) == ("error", 2)


SIGNATURES = """
import inspect, json
from circus import client, consumer
print(json.dumps({
    owner.__name__: [name for name in inspect.signature(owner).parameters]
    for owner in (client.CircusClient, client.AsyncCircusClient, consumer.CircusConsumer)
}))
"""


@pytest.mark.slow
def test_arguments_stand_in_their_order(arbiters: Arbiters, python: Path) -> None:
    run = arbiters.run([str(python), "-W", "ignore", "-c", SIGNATURES], {"PYTHONPATH": ""})
    assert run.wait_end() == 0, run.log
    theirs = json.loads(run.log.splitlines()[-1])
    for owner in (CircusClient, AsyncCircusClient, CircusConsumer):
        names = list(inspect.signature(owner).parameters)
        assert names[: len(theirs[owner.__name__])] == theirs[owner.__name__]


def test_our_client_for_event_loops_in_a_given_context(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP))
    arbiter.settled("web")

    async def ask(context: zmq.Context[zmq.Socket[bytes]]) -> list[str]:
        answers = []
        async with AsyncCircusClient(context, arbiter.endpoint, BOUND) as client:
            answers.append(str((await client.send_message("status", name="web"))["status"]))
        async with AsyncCircusClient(arbiter.endpoint) as client:
            answers.append(str((await client.call("numwatchers"))["numwatchers"]))
        return answers

    for made in (zmq.Context(), zmq.asyncio.Context()):
        assert asyncio.run(ask(made)) == ["active", "1"]
        assert not made.closed
        made.term()


@pytest.mark.slow
def test_our_circusctl_listens_to_their_events(theirs: Theirs, arbiters: Arbiters) -> None:
    argv = [sys.executable, "-m", "chaussette.cli.circusctl", "--endpoint"]
    listening = arbiters.run([*argv, theirs.endpoint, "listen", "watcher.job"])
    with CircusClient(endpoint=theirs.endpoint, timeout=BOUND) as client:
        # It does not say when it has subscribed, so something happens until it hears it.
        for _ in range(200):
            client.send_message("incr", name="job", waiting=True)
            client.send_message("decr", name="job", waiting=True)
            with contextlib.suppress(AssertionError):
                spawn = listening.wait(r"^watcher\.job\.spawn: (\{.*\})", 0.01)[1]
                break
        assert json.loads(spawn)["process_pid"] > 0
    listening.send(signal.SIGINT)
    listening.wait_end()
    assert "Traceback" not in listening.log


@pytest.mark.slow
def test_our_client_for_event_loops_drives_their_arbiter(theirs: Theirs) -> None:
    async def ask() -> list[Any]:
        async with AsyncCircusClient(None, theirs.endpoint, BOUND) as client:
            return [
                (await client.send_message("status", name="web"))["status"],
                (await client.send_message("numprocesses", name="web"))["numprocesses"],
                (await client.send_message("nonsense"))["errno"],
                len((await client.call("list"))["watchers"]),
            ]

    assert asyncio.run(ask()) == ["active", 2, 2, 3]


@pytest.mark.slow
def test_our_circus_top_and_plugins_beside_their_arbiter(
    theirs: Theirs, arbiters: Arbiters, folder: Path
) -> None:
    module = [sys.executable, "-m"]
    point = f"ipc://{folder}/stats.sock"
    top = arbiters.run(
        [*module, "chaussette.cli.circustop", "--endpoint", point, "--once", "--json"]
    )
    assert top.wait_end() == 0, top.log
    told = json.loads(top.log)
    assert len(told["watchers"]["web"]["processes"]) == 2
    table = arbiters.run([*module, "chaussette.cli.circustop", "--endpoint", point, "--once"])
    assert table.wait_end() == 0, table.log
    assert "job: 1 processes" in table.log
    (folder / "mine.py").write_text(PLUGIN)
    plugin = arbiters.run(
        [*module, "chaussette.cli.circusplugin", "--endpoint", theirs.endpoint, "--pubsub",
         theirs.pubsub, "mine.Watching"],
        {"PYTHONPATH": f"{ROOT}:{folder}"},
    )  # fmt: skip
    plugin.wait("KNOWS 3 watchers")
    with CircusClient(endpoint=theirs.endpoint, timeout=BOUND) as client:
        while client.send_message("incr", name="job", waiting=True)["status"] != "ok":
            pass  # their arbiter does one thing at a time
    plugin.wait("HEARD job spawn")
    plugin.send(signal.SIGTERM)
    assert plugin.wait_end() == 0, plugin.log


PLUGIN = """
from chaussette.arbiter.plugins import CircusPlugin

class Watching(CircusPlugin):
    name = "watching"

    def initialize(self):
        super().initialize()
        print("KNOWS", self.call("numwatchers")["numwatchers"], "watchers", flush=True)

    def handle_recv(self, data):
        watcher, action, message = self.split_data(data)
        print("HEARD", watcher, action, flush=True)
"""
