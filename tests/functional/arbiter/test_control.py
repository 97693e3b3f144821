"""The control endpoint and circusctl: what they are fed, and who waits for whom."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest
import zmq
from arbiter_under_test import BOUND, SLEEP, Arbiters, ArbiterUnderTest, fifo, listening, watcher

from chaussette.control.protocol import MAX_MESSAGE


class Raw:
    """A client that sends whatever it likes."""

    def __init__(self, arbiter: ArbiterUnderTest) -> None:
        self.context = zmq.Context()
        self.socket: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(arbiter.endpoint)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.context.term()

    def answer(self) -> dict[str, object]:
        assert self.socket.poll(int(BOUND * 1000)), "no answer"
        found = json.loads(self.socket.recv())
        assert isinstance(found, dict)
        return found


@pytest.mark.parametrize(
    ("message", "errno"),
    [
        (b"", 1),
        (b"{", 1),
        (b"\xff\x00", 1),
        (b"[" * 50_000, 1),
        (b"[]", 3),
        (b"{}", 3),
        (b'{"command": ["stop"]}', 3),
        (b'{"command": "stop", "properties": 5}', 3),
        (b'{"command": "stop", "properties": {"name": {}}}', 3),
        (b'{"command": "incr", "properties": {"name": "w", "nb": "1e9"}}', 3),
        (b'{"command": "\\ud800"}', 2),
    ],
)
def test_nonsense_is_answered_and_harms_nobody(
    arbiters: Arbiters, message: bytes, errno: int
) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    with Raw(arbiter) as raw:
        raw.socket.send(message)
        answer = raw.answer()
        assert (answer["status"], answer["errno"]) == ("error", errno)
        assert answer["reason"]
    assert len(arbiter.settled("w")) == 1
    assert "internal error" not in arbiter.log


def test_what_is_too_long_or_no_message_at_all_is_dropped(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    with Raw(arbiter) as raw:
        raw.socket.send(b"x" * (MAX_MESSAGE + 1))
        for half in (
            b"",
            b"\xff",
            b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + b"\0" * 48,
            b"GET / HTTP\r\n",
        ):
            with socket.socket(socket.AF_UNIX) as plain:
                plain.connect(arbiter.endpoint[6:])
                plain.sendall(half)
        assert arbiter.must("list")["watchers"] == ["w"]
    assert arbiter.process.poll() is None


def test_many_messages_at_once_are_all_answered(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    with Raw(arbiter) as raw:
        for number in range(500):
            raw.socket.send(json.dumps({"id": str(number), "command": "list"}).encode())
        assert [raw.answer()["id"] for _ in range(500)] == [str(one) for one in range(500)]


def test_a_cast_is_done_and_not_answered(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=0))
    with Raw(arbiter) as raw:
        raw.socket.send(
            b'{"id": "1", "command": "incr", "properties": {"name": "w"}, "msg_type": "cast"}'
        )
        arbiter.started("w")
        raw.socket.send(b'{"id": "2", "command": "list"}')
        assert raw.answer()["id"] == "2"


def test_names_that_are_nearly_right(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("webserver", SLEEP))
    assert "did you mean 'restart'" in arbiter.ask("restrat").reason
    assert "did you mean 'webserver'" in arbiter.ask("stop", name="webserve").reason


def test_a_slow_stop_holds_up_nobody_else(arbiters: Arbiters, folder: Path) -> None:
    with fifo(folder / "gate") as gate:
        slow = arbiters.shell(
            "slow",
            f"trap 'read x < {folder}/gate; exit 0' TERM; echo armed; while :; do sleep 0.1; done",
        )
        arbiter = arbiters.ready(watcher("slow", slow), watcher("quick", SLEEP))
        arbiter.wait("^armed")
        arbiter.settled("slow", "quick")
        with Raw(arbiter) as raw:
            raw.socket.send(
                b'{"id": "1", "command": "stop", "properties": {"name": "slow", "waiting": true}}'
            )
            arbiter.wait("slow: stopping")
            arbiter.must("restart", name="quick", waiting=True)
            arbiter.must("incr", name="quick", waiting=True)
            arbiter.must("stop", name="quick", waiting=True)
            assert arbiter.status("slow") == "stopping"
            os.write(gate, b"\n")
            assert raw.answer()["status"] == "ok"


def test_who_waits_is_told_when_another_command_takes_over(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, ready_after=100))
    with Raw(arbiter) as raw:
        raw.socket.send(
            b'{"id": "1", "command": "start", "properties": {"name": "w", "waiting": true}}'
        )
        arbiter.started("w")
        arbiter.must("stop", name="w", waiting=True)
        assert "was stopped" in str(raw.answer()["reason"])


def circusctl(arbiters: Arbiters, arbiter: ArbiterUnderTest, *words: str) -> tuple[int, str]:
    client = arbiters.run(
        [sys.executable, "-m", "chaussette.cli.circusctl", *words],
        {"CIRCUSCTL_ENDPOINT": arbiter.endpoint},
    )
    return client.wait_end(), client.log.strip()


def test_circusctl(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        listening("web"), watcher("w", SLEEP, numprocesses=2), watcher("v", SLEEP, autostart=False)
    )
    pids = arbiter.settled("w")

    def say(*words: str) -> tuple[int, str]:
        return circusctl(arbiters, arbiter, *words)

    assert say("list") == (0, "v,w")
    assert say("list", "w") == (0, ",".join(map(str, pids)))
    assert say("numprocesses", "w") == (0, "2")
    assert say("incr", "w", "--waiting") == (0, "3")
    assert say("status") == (0, "v: stopped\nw: active")
    assert say("status", "v") == (0, "stopped")
    assert say("stop", "w", "--waiting") == (0, "ok")
    assert say("listsockets")[1].startswith("3:socket 'web' at 127.0.0.1:")
    assert json.loads(say("--json", "numwatchers")[1]) == {"status": "ok", "numwatchers": 2}
    code, text = say("stop", "x")
    assert (code, "no watcher 'x'" in text) == (3, True)
    code, text = say("stp")
    assert (code, "did you mean 'stop'" in text) == (2, True)
    assert say("quit", "--waiting") == (0, "ok")
    assert arbiter.wait_end() == 0
    code, text = say("--timeout", "0.1", "list")
    assert (code, "no answer from" in text) == (1, True)
