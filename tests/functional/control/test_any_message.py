"""A real arbiter is fed whatever fits into a message, and goes on."""

from __future__ import annotations

import json
import random

import pytest
import zmq
from arbiter_under_test import BOUND, SLEEP, Arbiters, listening, watcher

from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control.command import COMMANDS

VALUES = [
    *(None, True, False, -1, 0, 1, 3, 2**31, 10**30, 0.5, float("nan"), float("inf")),
    *("", "w", "*", "(", "regex", "x" * 5000, "a\0b", "\ud800", "KILL", "25%", "1e9", "../.."),
    *([], ["w"], [[]], {}, {"a": 1}, {"cmd": []}, {"numprocesses": 1}, {"env": {"A": "\0"}}),
    *({"cmd": "x '"}, {"uid": {}}, {"rlimit_nofile": 10**30}, {"stdout_stream": {"class": "y"}}),
    *({"stop_signal": 99}, {"working_dir": "\0"}, {"max_age": -1}, {"hooks": {"x": "y"}}),
]
KEEP_OUT = ("quit", "tail")
MESSAGES = 1500


@pytest.mark.timeout(120)
def test_any_property_of_any_command(arbiters: Arbiters) -> None:
    chance = random.Random(20)
    sections = (listening("web"), watcher("w", SLEEP), watcher("same", SLEEP))
    arbiter = arbiters.ready(*sections)
    same = arbiter.settled("same")
    names = sorted(set(COMMANDS) - set(KEEP_OUT))
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    try:
        socket.connect(arbiter.endpoint)
        for number in range(MESSAGES):
            command = COMMANDS[chance.choice(names)]
            # By chance: most properties right, so that what is wrong is reached.
            properties = {
                key: "w" if key == "name" and chance.random() < 0.7 else chance.choice(VALUES)
                for key in command.properties
                if key != "waiting" and (key == "name" or chance.random() < 0.7)
            }
            if "name" in properties and properties["name"] in ("*", "(", None):
                properties["name"] = "w"
            properties.setdefault("name", "w")
            message = {"id": str(number), "command": command.name, "properties": properties}
            socket.send(json.dumps(message).encode())
            assert socket.poll(int(BOUND * 1000)), f"{message}\n{arbiter.log[-3000:]}"
            reply = json.loads(socket.recv())
            assert reply["id"] == str(number)
            assert reply["status"] != "error" or reply["reason"], message
            assert "internal error" not in reply.get("reason", ""), message
    finally:
        socket.close()
        context.term()
    assert arbiter.pids("same") == same
    arbiter.must("quit", waiting=True)
    assert arbiter.wait_end() == 0
    assert "internal error" not in arbiter.log
