"""Every event that Circus publishes, with its topic and fields, and those that are new."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import zmq
from arbiter_under_test import BOUND, SLEEP, Arbiters, watcher

FIELDS = {
    "spawn": {"process_pid"}, "kill": {"process_pid"}, "reap": {"process_pid", "exit_code"},
    "start": set(), "stop": set(), "reload": set(), "updated": set(), "add": set(),
    "remove": set(), "hook_success": {"name"}, "hook_failure": {"name", "error"},
}  # fmt: skip
"""Circus's events, and what each has besides the time."""
NEW = {"ready", "reloaded", "reload_failed", "parked", "slowed"}
HOOKS = "def fails(**_):\n    raise ValueError('on purpose')\ndef works(**_):\n    return True\n"


class Listener:
    """Everything that is published, by topic."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(endpoint)
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def read(self, wait: float) -> None:
        """Takes what there is; waits for the first."""
        while self._socket.poll(int(wait * 1000)):
            topic, message = self._socket.recv_multipart()
            self.heard.append((topic.decode(), json.loads(message)))
            wait = 0

    def until(self, *topics: str) -> None:
        """Waits until each topic has been heard."""
        deadline = time.monotonic() + BOUND
        while missing := set(topics) - {topic for topic, _ in self.heard}:
            assert time.monotonic() < deadline, f"not heard: {missing}"
            self.read(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


def test_every_event_of_circus_is_published(arbiters: Arbiters, folder: Path) -> None:
    (folder / "myhooks.py").write_text(HOOKS)
    hooks = {"hooks__before_stop": "myhooks.fails", "hooks__after_stop": "myhooks.works"}
    arbiter = arbiters.ready(
        watcher("My Worker", SLEEP, autostart=False, **hooks),
        watcher("quick", "true", autostart=False, ready_after=0),
        watcher("absent", "/no/such/program", autostart=False, max_retry=0),
    )
    listener = Listener(arbiter.endpoint.replace("control", "events"))
    try:
        # Until the subscription has come through, events go by.
        deadline = time.monotonic() + BOUND
        while not listener.heard and time.monotonic() < deadline:
            arbiter.must("set", name="quick", options={"max_retry": 4})
            listener.read(0.05)
        arbiter.must("start", name="My Worker", waiting=True)
        arbiter.must("reload", name="My Worker", waiting=True)
        arbiter.must("set", name="My Worker", options={"graceful_timeout": 9})
        assert not arbiter.ask(
            "set", name="My Worker", options={"cmd": "/no/such"}, waiting=True
        ).ok
        arbiter.must("stop", name="My Worker", waiting=True)
        arbiter.must("add", name="new", cmd=SLEEP)
        arbiter.must("rm", name="new", waiting=True)
        assert not arbiter.ask("start", name="absent", waiting=True).ok
        arbiter.must("start", name="quick")
        names = ("spawn kill reap start stop reload updated hook_success hook_failure").split()
        listener.until(
            *(f"watcher.my_worker.{name}" for name in names),
            *(f"watcher.my_worker.{name}" for name in ("ready", "reloaded", "reload_failed")),
            "watcher.new.add", "watcher.new.remove",
            "watcher.absent.parked", "watcher.quick.slowed",
        )  # fmt: skip
    finally:
        listener.close()
    known = FIELDS.keys() | NEW
    for topic, message in listener.heard:
        event = topic.rpartition(".")[2]
        assert event in known, topic
        assert {"time", *FIELDS.get(event, ())} <= message.keys(), topic
    mine = [topic for topic, _ in listener.heard if topic.startswith("watcher.my_worker.")]
    ended = [topic for topic in mine if topic.endswith("reap")]
    assert len(ended) == len([topic for topic in mine if topic.endswith("spawn")])
