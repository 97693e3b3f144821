"""A real arbiter is attacked by who may connect: it answers or drops, and others do not wait."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import socket
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from arbiter_under_test import BOUND, SLEEP, Arbiters, ArbiterUnderTest, watcher

from chaussette.control.client import Client
from chaussette.control.protocol import MAX_MESSAGE

PATIENCE = 5.0
"""Seconds within which others are answered; far more than it takes, on a busy machine."""
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
SECRET = "s3cr3t-of-the-test"


@pytest.fixture
def arbiter(arbiters: Arbiters) -> ArbiterUnderTest:
    one = arbiters.ready(watcher("w", SLEEP), watcher("job-1", SLEEP))
    one.settled("w", "job-1")
    return one


@contextlib.contextmanager
def dealer(arbiter: ArbiterUnderTest, identity: bytes = b"") -> Iterator[zmq.Socket[bytes]]:
    context = zmq.Context()
    one = context.socket(zmq.DEALER)
    one.setsockopt(zmq.LINGER, 0)
    if identity:
        one.setsockopt(zmq.IDENTITY, identity)
    one.connect(arbiter.endpoint)
    try:
        yield one
    finally:
        one.close(0)
        context.term()


def raw(arbiter: ArbiterUnderTest) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    # A blocking connect waits for room in the backlog, and this bounds it (socket(7)).
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(BOUND), 0))
    sock.connect(arbiter.endpoint.removeprefix("ipc://"))
    sock.settimeout(BOUND)
    return sock


def answers(arbiter: ArbiterUnderTest) -> None:
    """Others are answered soon, all is as before, and nothing has gone wrong inside."""
    begin = time.monotonic()
    with Client(arbiter.endpoint, BOUND) as client:
        assert client.call("list").fields["watchers"] == ["job-1", "w"]
    assert time.monotonic() - begin < PATIENCE
    assert "internal error" not in arbiter.log
    assert "Traceback" not in arbiter.log


def ask(sock: zmq.Socket[bytes], *frames: bytes) -> dict[str, Any]:
    sock.send_multipart(frames)
    assert sock.poll(int(BOUND * 1000)), f"no answer to {frames!r:.200}"
    return dict(json.loads(sock.recv_multipart()[-1]))


@pytest.mark.parametrize(
    "frames",
    [
        (b"",),
        (b"{",),
        (b"\xff\xfe\0",),
        (b"null",),
        (b"[]",),
        (b'"stop"',),
        (b"NaN",),
        (b"1" * 5000,),
        (b"[" * 500_000,),
        (b'{"a":' * 100_000,),
        (b'{"command": 5}',),
        (b'{"command": null}',),
        (b'{"command": "list", "properties": []}',),
        (b'{"command": "' + b"x" * 900_000 + b'"}',),
        (b'{"command": "stop", "properties": {"name": "' + b"w" * 900_000 + b'"}}',),
        (b'{"command": "stop", "properties": {"name": "%s", "match": "regex"}}' % (b"(a+)+" * 30),),
        (b"", b"", b"", b"{}"),
        (b"x",) * 1000,
        (b'{"command": "list"}', b"tail"),
    ],
    ids=lambda frames: f"{len(frames)}x{frames[0][:12]!r}",
)
def test_what_is_no_command_is_answered_with_an_error(
    arbiter: ArbiterUnderTest, frames: tuple[bytes, ...]
) -> None:
    with dealer(arbiter) as sock:
        reply = ask(sock, *frames)
        assert reply["status"] == "error"
        assert reply["tb"] is None
        assert reply["errno"] in (1, 2, 3)
        assert 0 < len(reply["reason"]) < 1000
        # The same connection goes on.
        assert ask(sock, b'{"id": "7", "command": "list"}')["id"] == "7"
    answers(arbiter)


def test_a_message_that_is_too_long_ends_its_connection_alone(arbiter: ArbiterUnderTest) -> None:
    with raw(arbiter) as sock:
        _greet(sock)
        sock.sendall(b"\x02" + struct.pack(">Q", MAX_MESSAGE + 1))
        with contextlib.suppress(OSError):
            sock.sendall(b"x" * 4096)
            while sock.recv(4096):
                pass
    with raw(arbiter) as sock:  # and one that would be longer than memory
        _greet(sock)
        sock.sendall(b"\x02" + struct.pack(">Q", 2**62))
        with contextlib.suppress(OSError):
            while sock.recv(4096):
                pass
    answers(arbiter)


def test_half_of_a_message_waits_alone(arbiter: ArbiterUnderTest) -> None:
    held = [raw(arbiter) for _ in range(50)]
    try:
        for number, sock in enumerate(held):
            if number % 3 == 0:
                sock.sendall(GREETING[: number + 1])
            else:
                _greet(sock)
                sock.sendall(b"\x02" + struct.pack(">Q", 1000) + b'{"command": "quit"')
            answers(arbiter) if number % 10 == 0 else None
    finally:
        for sock in held:
            sock.close()
    answers(arbiter)


def test_bytes_that_are_no_zeromq(arbiter: ArbiterUnderTest) -> None:
    chance = random.Random(7)
    for number in range(200):
        with raw(arbiter) as sock, contextlib.suppress(OSError):
            start = GREETING if number % 2 else b""
            sock.sendall(start + chance.randbytes(chance.randrange(400)))
    with raw(arbiter) as sock, contextlib.suppress(OSError):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(100)
    answers(arbiter)


def test_thousands_of_identities(arbiter: ArbiterUnderTest) -> None:
    before = _memory(arbiter.pid)
    for round_ in range(20):
        held = []
        for number in range(100):
            sock = raw(arbiter)
            _greet(sock, f"{round_}-{number}".encode())
            _send(sock, b'{"id": "1", "command": "list"}')
            held.append(sock)
        for sock in held:
            assert b"job-1" in _receive(sock)
            sock.close()
    answers(arbiter)
    assert _memory(arbiter.pid) - before < 64 * 2**20
    assert len(os.listdir(f"/proc/{arbiter.pid}/fd")) < 150


def test_who_takes_the_identity_of_another_gets_nothing_of_it(arbiter: ArbiterUnderTest) -> None:
    with dealer(arbiter, b"same") as first:
        assert ask(first, b'{"id": "1", "command": "list"}')["id"] == "1"
        with dealer(arbiter, b"same") as second:
            second.send(b'{"id": "2", "command": "list"}')
            assert ask(first, b'{"id": "3", "command": "list"}')["id"] == "3"
            assert not second.poll(100)
    answers(arbiter)


def test_who_never_reads_its_answers(arbiter: ArbiterUnderTest) -> None:
    before = _memory(arbiter.pid)
    question = b'{"id": "%s", "command": "options", "properties": {"name": "w"}}' % (b"x" * 250)
    with raw(arbiter) as sock:
        _greet(sock)
        sock.setblocking(False)
        sent, data = 0, _framed(question) * 100
        begin = time.monotonic()
        while sent < 20 * 2**20 and time.monotonic() - begin < 10:
            if not select.select([], [sock], [], 0.5)[1]:
                break  # it is not read from any more: all that it may keep is kept
            with contextlib.suppress(BlockingIOError):
                sent += sock.send(data[sent % len(data) :])
        answers(arbiter)
    assert sent > 2**20
    assert _memory(arbiter.pid) - before < 128 * 2**20
    answers(arbiter)


def test_a_command_behind_one_that_waits_is_answered_or_queued(
    arbiters: Arbiters,
) -> None:
    script = arbiters.shell("stubborn", "trap '' TERM; echo up; exec sleep 1000")
    slow = watcher("slow", script, graceful_timeout=600)
    arbiter = arbiters.ready(slow, watcher("w", SLEEP))
    arbiter.settled("slow", "w")
    with dealer(arbiter) as sock:
        wait = {"name": "slow", "waiting": True}
        sock.send(json.dumps({"id": "stop", "command": "stop", "properties": wait}).encode())
        for number in range(500):
            about = {"name": "slow" if number % 2 else "w", "keys": ["cmd"]}
            message = {"id": str(number), "command": "get", "properties": about}
            sock.send(json.dumps(message).encode())
        seen = []
        while len(seen) < 500:
            assert sock.poll(int(BOUND * 1000)), f"{len(seen)} answers of 500"
            seen.append(json.loads(sock.recv())["id"])
        assert seen == [str(number) for number in range(500)]
        kill = {"id": "kill", "command": "signal", "properties": {"name": "slow", "signum": "KILL"}}
        sock.send(json.dumps(kill).encode())
        last = set()
        while last != {"kill", "stop"}:
            assert sock.poll(int(BOUND * 1000)), last
            last.add(json.loads(sock.recv())["id"])


@pytest.mark.parametrize(
    "name", ["a b", "a/b", "../x", "a\nb", "plugin:x", "x" * 65, "", "ü", "\u202e", "a;b", "$(x)"]
)
def test_names_that_a_watcher_cannot_have(arbiter: ArbiterUnderTest, name: str) -> None:
    reply = arbiter.ask("add", name=name, cmd="sleep 1")
    assert not reply.ok
    assert "expected 1 to 64 letters, digits or any of _ . -" in reply.reason
    answers(arbiter)


def test_what_would_be_compared_for_hours(arbiter: ArbiterUnderTest) -> None:
    options = {f"option_number_{number}": 1 for number in range(20_000)}
    assert "at most 200" in arbiter.ask("set", name="w", options=options).reason
    assert "at most" in arbiter.ask("stop", name="w" * 100_000).reason
    long = {"x" * 500_000: 1}
    assert len(arbiter.ask("set", name="w", options=long).reason) < 1000
    assert len(arbiter.ask("get", name="w", keys=["y" * 500_000]).reason) < 1000
    arbiter.must("add", name="a" * 64, cmd=SLEEP)
    assert "no watcher" in arbiter.ask("stop", name="(a+)+b", match="regex").reason
    arbiter.must("rm", name="a" * 64, waiting=True)
    assert arbiter.ask("status").ok
    answers(arbiter)


def test_secrets_are_shown_nowhere(arbiters: Arbiters) -> None:
    plain = f"sh -c 'exec sleep 1000' --password {SECRET} --token='{SECRET}' redis://u:{SECRET}@h/0"
    arbiter = arbiters.ready(
        watcher("w", plain, stdout_stream__api_key=SECRET, db_password=SECRET).replace(
            "stdout_stream.api_key", "x_secret"
        )
        + f"[env:w]\nPLAIN = {SECRET}\n"
    )
    context = zmq.Context()
    events = context.socket(zmq.SUB)
    events.setsockopt(zmq.LINGER, 0)
    events.setsockopt(zmq.SUBSCRIBE, b"")
    events.connect(arbiter.endpoint.replace("control", "events"))
    try:
        arbiter.settled("w")
        heard = []
        deadline = time.monotonic() + BOUND
        while not heard:
            assert time.monotonic() < deadline
            arbiter.must("set", name="w", options={"env": {"A": SECRET}}, waiting=True)
            while events.poll(50):
                heard.append(events.recv_multipart())
        said = [
            arbiter.ask(command, **properties)
            for command, properties in (
                ("options", {"name": "w"}),
                ("get", {"name": "w", "keys": ["env", "cmd", "db_password"]}),
                ("stats", {"name": "w", "extended": True}),
                ("dstats", {}),
                ("globaloptions", {}),
                ("status", {}),
            )
        ]
        assert "********" in str(said)
        assert SECRET not in str(said)
        assert SECRET not in str(heard)
        assert SECRET not in arbiter.log
    finally:
        events.close(0)
        context.term()


def test_files_are_private_whatever_the_umask(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("w", SLEEP),
        circus="umask = 000",
        prefix=["sh", "-c", 'umask 000; exec "$@"', "sh"],
    )
    arbiter.must("tail", name="w", lines=1, follow="x")
    run = Path(arbiters.folder) / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    found = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in run.iterdir()}
    assert {"control.sock", "events.sock", "output.sock", "lock"} <= found.keys()
    assert all(mode & 0o077 == 0 for mode in found.values()), found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_the_owner_of_the_endpoints_commands_his_own_only(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("his", SLEEP, uid="nobody", copy_env=True),
        watcher("ours", SLEEP),
        circus="endpoint_owner = nobody",
    )
    run = Path(arbiters.folder) / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o710
    for name in ("control.sock", "events.sock"):
        state = (run / name).lstat()
        assert (state.st_uid, stat.S_IMODE(state.st_mode) & 0o077) == (65534, 0)
    assert _can_connect(run / "control.sock", uid=65534, gid=run.stat().st_gid)
    assert not _can_connect(run / "control.sock", uid=1, gid=run.stat().st_gid)
    assert not _can_connect(run / "control.sock", uid=1, gid=1)
    for command, properties, ok in (
        ("add", {"name": "x", "cmd": SLEEP}, False),
        ("add", {"name": "x", "cmd": SLEEP, "options": {"uid": "root"}}, False),
        ("add", {"name": "y", "cmd": SLEEP, "options": {"uid": "nobody"}}, True),
        ("set", {"name": "ours", "options": {"cmd": "sleep 9"}}, False),
        ("set", {"name": "his", "options": {"uid": "root"}}, False),
        ("set", {"name": "his", "options": {"hooks.before_start": "x.y"}}, False),
        ("set", {"name": "his", "options": {"stdout_stream.filename": "/tmp/x"}}, False),
        ("set", {"name": "his", "options": {"cmd": "sleep 900"}}, True),
        ("set", {"name": "ours", "options": {"numprocesses": 2}}, True),
    ):
        reply = arbiter.ask(command, **properties)
        assert reply.ok is ok, f"{command} {properties}: {reply.reason}"


def _can_connect(path: Path, uid: int, gid: int) -> bool:
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another user from here on
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            socket.socket(socket.AF_UNIX).connect(str(path))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - it must not go on as a copy of the tests
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _greet(sock: socket.socket, identity: bytes = b"") -> None:
    sock.sendall(GREETING)
    _take(sock, 64)
    ready = b"\x05READY" + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", identity)
    sock.sendall(bytes([4, len(ready)]) + ready)


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def _framed(data: bytes) -> bytes:
    if len(data) < 256:
        return bytes([0, len(data)]) + data
    return b"\x02" + struct.pack(">Q", len(data)) + data


def _send(sock: socket.socket, data: bytes) -> None:
    sock.sendall(_framed(data))


def _receive(sock: socket.socket) -> bytes:
    while True:
        flags = _take(sock, 1)[0]
        size = int.from_bytes(_take(sock, 8 if flags & 2 else 1), "big")
        frame = _take(sock, size)
        if not flags & 5:
            return frame


def _take(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, "the connection was closed"
        data += part
    return data


def _memory(pid: int) -> int:
    """Bytes of resident memory; see proc_pid_statm(5)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
