"""Endpoints that ask for keys: who is let in, what each may do, and what others are told."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import zmq
from arbiter_under_test import BOUND, ROOT, SLEEP, Arbiters, ArbiterUnderTest, watcher

from chaussette.control.circus import AsyncCircusClient, CircusClient
from chaussette.control.client import Client
from chaussette.control.command import COMMANDS
from chaussette.control.consumer import CircusConsumer
from chaussette.control.curve import Credentials
from chaussette.control.keys import KeyStore
from chaussette.control.levels import Level
from chaussette.control.protocol import Request
from chaussette.errors import KeyRefused, WantsKey

CTL = [sys.executable, "-m", "chaussette.cli.circusctl"]
PLUGIN = """
from chaussette.arbiter.plugins import CircusPlugin

class Own(CircusPlugin):
    def handle_init(self):
        print("plugin sees", self.call("list")["watchers"], flush=True)

    def handle_recv(self, data):
        print("plugin hears", self.split_data(data)[1], flush=True)
"""


class Guarded:
    """An arbiter on loopback TCP that asks for keys, and a key of each class."""

    def __init__(self, arbiters: Arbiters, *sections: str, **environ: str) -> None:
        folder = arbiters.folder
        self.store = KeyStore.create(folder / "keys")
        self.keys = {level: str(self.store.add(str(level), level)) for level in Level}
        ports = _free_ports(3)
        self.endpoint, self.events, self.output = (f"tcp://127.0.0.1:{port}" for port in ports)
        self.arbiter: ArbiterUnderTest = arbiters.ready(
            *(sections or (watcher("w", SLEEP),)),
            circus=f"endpoint = {self.endpoint}\npubsub_endpoint = {self.events}\n"
            f"output_endpoint = {self.output}\nkeys_dir = {self.store.path}\n",
            environ=environ,
        )

    def client(self, level: Level, timeout: float = BOUND) -> Client:
        return Client(self.endpoint, timeout, Credentials(self.keys[level]))


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No key of whoever runs the tests is found."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("CIRCUSCTL_CLIENT_KEY", raising=False)
    return folder / "config"


def test_each_class_may_do_what_it_may(arbiters: Arbiters) -> None:
    guarded = Guarded(arbiters)
    for level in Level:
        with guarded.client(level) as client:
            for name, command in sorted(COMMANDS.items()):
                if level >= command.level:
                    continue
                properties = {"name": "w", "signum": "CONT", "cmd": SLEEP, "options": {"cmd": "x"}}
                reply, message = client.exchange(Request("1", name, properties))
                assert not reply.ok, name
                assert f"needs a key of class {command.level}" in reply.reason
                assert f"{str(level)!r} has class {level}" in reply.reason
                assert (message["status"], message["errno"], message["tb"]) == ("error", 5, None)
            assert client.call("list").fields["watchers"] == ["w"]
    with guarded.client(Level.OPERATE) as client:
        assert client.call("set", {"name": "w", "options": {"numprocesses": 2}}).ok
        assert not client.call("set", {"name": "w", "options": {"cmd": "x"}}).ok
        both = {"numprocesses": 3, "env": {"A": "b"}}
        assert not client.call("set", {"name": "w", "options": both}).ok
        assert not client.call("set", {"name": "w", "options": {}}).ok
        assert client.call("restart", {"name": "w", "waiting": True}).ok
        assert client.call("get", {"name": "w", "keys": ["cmd"]}).fields["options"]["cmd"] == SLEEP
    with guarded.client(Level.CONFIGURE) as client:
        assert client.call("add", {"name": "x", "cmd": SLEEP, "start": True, "waiting": True}).ok
        assert client.call("reloadconfig", {"waiting": True}).ok
        assert client.call("quit", {"waiting": True}).ok
    assert guarded.arbiter.wait_end() == 0


def test_who_has_no_key_or_another_one_is_told_soon(arbiters: Arbiters, folder: Path) -> None:
    guarded = Guarded(arbiters)
    other = KeyStore.create(folder / "others")
    foreign = str(other.add("me", Level.CONFIGURE))
    begin = time.monotonic()
    with (
        Client(guarded.endpoint, BOUND) as none,
        pytest.raises(WantsKey, match="circusctl keys add"),
    ):
        none.call("list")
    unknown = Credentials(foreign, guarded.store.public)
    with (
        Client(guarded.endpoint, BOUND, unknown) as client,
        pytest.raises(KeyRefused, match="refuses"),
    ):
        client.call("list")
    wrong = Credentials(foreign)
    with (
        Client(guarded.endpoint, BOUND, wrong) as client,
        pytest.raises(KeyRefused, match="handshake"),
    ):
        client.call("list")
    with pytest.raises(WantsKey):
        CircusClient(endpoint=guarded.endpoint)
    with (
        CircusClient(endpoint=guarded.endpoint, timeout=BOUND, client_key=foreign) as theirs,
        pytest.raises(KeyRefused),
    ):
        theirs.send_message("list")
    with (
        CircusConsumer([""], endpoint=guarded.events, credentials=unknown) as consumer,
        pytest.raises(KeyRefused),
    ):
        next(iter(consumer))
    assert time.monotonic() - begin < BOUND
    with guarded.client(Level.READ) as client:
        assert client.call("numwatchers").fields["numwatchers"] == 1


def test_clients_of_all_kinds(arbiters: Arbiters, home: Path) -> None:
    guarded = Guarded(arbiters)
    key = guarded.keys[Level.OPERATE]
    with CircusClient(endpoint=guarded.endpoint, timeout=BOUND, client_key=key) as client:
        assert client.send_message("list")["watchers"] == ["w"]
        assert client.send_message("rm", name="w")["errno"] == 5

    async def ask(file: str) -> Mapping[str, object]:
        client = AsyncCircusClient(endpoint=guarded.endpoint, timeout=BOUND, client_key=file)
        async with client:
            return await client.send_message("list")

    assert asyncio.run(ask(key))["watchers"] == ["w"]
    guarded.store.revoke("read")
    with pytest.raises(OSError):
        os.stat(guarded.keys[Level.READ])
    # At the usual place, a key is found by itself, by circusctl as well.
    home.joinpath("chaussette").mkdir(parents=True)
    place = home / "chaussette" / "client.key"
    place.write_bytes(Path(key).read_bytes())
    place.chmod(0o600)
    with Client(guarded.endpoint, BOUND) as mine:
        assert mine.call("list").ok
    assert _ctl(guarded, "list") == (0, "w")
    code, said = _ctl(guarded, "reloadconfig")
    assert (code, "class configure" in said) == (3, True)


def test_events_and_output_need_a_key_as_well(arbiters: Arbiters) -> None:
    guarded = Guarded(arbiters, watcher("w", "sh -c 'echo spoken; exec sleep 1000'"))
    guarded_client = guarded.client(Level.OPERATE)
    follower = arbiters.run(
        [
            *CTL,
            "--endpoint",
            guarded.endpoint,
            "--client-key",
            guarded.keys[Level.READ],
            "tail",
            "w",
            "-f",
        ]
    )
    follower.wait(r"w \d+ \| spoken")
    listener = arbiters.run(
        [*CTL, "--endpoint", guarded.endpoint, "--client-key", guarded.keys[Level.READ], "listen"]
    )
    context = zmq.Context()
    deaf = context.socket(zmq.SUB)
    deaf.setsockopt(zmq.LINGER, 0)
    deaf.setsockopt(zmq.SUBSCRIBE, b"")
    deaf.connect(guarded.events)
    try:
        deadline = time.monotonic() + BOUND
        with guarded_client as client:
            while "watcher.w.kill" not in listener.log:  # until the subscription has come through
                assert time.monotonic() < deadline
                assert client.call("kill", {"name": "w", "waiting": True}).ok
                listener._read(time.monotonic())
        assert not deaf.poll(0)
    finally:
        deaf.close(0)
        context.term()


def test_a_revoked_key_is_worth_nothing_from_then_on(arbiters: Arbiters) -> None:
    guarded = Guarded(arbiters)
    key = Credentials(guarded.keys[Level.READ])
    boss = guarded.client(Level.CONFIGURE)
    old = guarded.client(Level.READ)
    assert old.call("list").ok
    consumer = CircusConsumer(["watcher."], endpoint=guarded.events, credentials=key)
    try:
        consumer.pubsub_socket.setsockopt(zmq.RCVTIMEO, 0)
        _until_heard(boss, consumer)
        guarded.store.revoke("read")
        reply = old.call("list")
        assert (reply.ok, reply.reason) == (False, "this key has been revoked")
        assert boss.call("reloadconfig", {"waiting": True}).ok
        guarded.arbiter.wait("subscribers have to connect again")
        # One with a key hears events again, so the endpoint is back; the other does not.
        with CircusConsumer(
            ["watcher."], endpoint=guarded.events, credentials=boss.credentials
        ) as allowed:
            _until_heard(boss, allowed)
            while consumer.pubsub_socket.poll(0):  # what had come before
                consumer.pubsub_socket.recv_multipart()
            _until_heard(boss, allowed)
            assert not consumer.pubsub_socket.poll(0)
        with pytest.raises(KeyRefused):
            consumer._wait()
        name = "read"
        again = guarded.store.add(name, Level.OPERATE)
        assert not old.call("list").ok  # the name is back, the key is not
        with Client(guarded.endpoint, BOUND, Credentials(str(again))) as new:
            assert new.call("restart", {"name": "w", "waiting": True}).ok
    finally:
        consumer.stop()
        old.close()
        boss.close()


def test_the_arbiters_own_plugins_have_a_key(arbiters: Arbiters) -> None:
    (arbiters.folder / "own.py").write_text(PLUGIN)
    guarded = Guarded(
        arbiters,
        watcher("w", SLEEP),
        "[plugin:own]\nuse = own.Own\n",
        PYTHONPATH=f"{ROOT}:{arbiters.folder}",
    )
    guarded.arbiter.wait("plugin sees .*'w'")
    with guarded.client(Level.OPERATE) as client:
        assert client.call("start", {"name": "plugin:own", "waiting": True}).ok
        assert client.call("kill", {"name": "w", "waiting": True}).ok
        guarded.arbiter.wait("plugin hears kill")
        file = arbiters.folder / "run" / "own.key"
        assert file.stat().st_mode & 0o777 == 0o600
        secret = file.read_text().partition("secret = ")[2].split()[0]
        options = client.call("options", {"name": "plugin:own"}).fields
        assert secret not in str(options)
        assert client.call("quit", {"waiting": True}).ok
    assert guarded.arbiter.wait_end() == 0
    assert not file.exists()


def test_a_named_key_is_never_given_up_for_a_talk_in_the_clear(arbiters: Arbiters) -> None:
    (port,) = _free_ports(1)
    endpoint = f"tcp://127.0.0.1:{port}"
    arbiter = arbiters.ready(watcher("w", SLEEP), circus=f"endpoint = {endpoint}")
    assert "every user of this machine can command this arbiter; use ipc://, or keys" in arbiter.log
    store = KeyStore.create(arbiters.folder / "keys")
    named = Credentials(str(store.add("me", Level.READ)))
    with Client(endpoint, BOUND, named) as client, pytest.raises(KeyRefused):
        client.call("list")
    with Client(endpoint, BOUND) as client:
        assert client.call("quit", {"waiting": True}).ok
    assert arbiter.wait_end() == 0


@pytest.mark.parametrize(
    ("circus", "says"),
    [
        ("endpoint = tcp://0.0.0.0:5555", "circusctl keys init --dir"),
        ("pubsub_endpoint = tcp://*:5556", "pubsub_endpoint .*circusctl keys init"),
        ("output_endpoint = tcp://10.1.2.3:1", "output_endpoint .*circusctl keys init"),
        ("keys_dir = /no/such", "circusctl keys init --dir /no/such"),
        ("endpoint = ipc://@abstract", "open to every user of this machine"),
        ("endpoint = udp://127.0.0.1:1", "expected ipc://PATH or tcp://HOST:PORT"),
        ("endpoint_owner = no-such-user", "endpoint_owner = 'no-such-user': no such user"),
    ],
)
def test_what_is_refused_at_start(arbiters: Arbiters, circus: str, says: str) -> None:
    arbiter = arbiters(watcher("w", SLEEP), circus=circus)
    assert arbiter.wait_end() != 0
    arbiter.wait(says)


def test_with_keys_it_may_listen_for_other_machines(arbiters: Arbiters) -> None:
    store = KeyStore.create(arbiters.folder / "keys")
    key = Credentials(str(store.add("me", Level.CONFIGURE)))
    (port,) = _free_ports(1)
    arbiter = arbiters.ready(
        watcher("w", SLEEP), circus=f"endpoint = tcp://0.0.0.0:{port}\nkeys_dir = {store.path}"
    )
    with Client(f"tcp://127.0.0.1:{port}", BOUND, key) as client:
        assert client.call("quit", {"waiting": True}).ok
    assert arbiter.wait_end() == 0


def _ctl(guarded: Guarded, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [*CTL, "--endpoint", guarded.endpoint, *words],
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def _until_heard(client: Client, consumer: CircusConsumer) -> None:
    """Has events made until one is heard."""
    deadline = time.monotonic() + BOUND
    while not consumer.pubsub_socket.poll(50):
        assert time.monotonic() < deadline
        assert client.call("kill", {"name": "w", "waiting": True}).ok
    consumer.pubsub_socket.recv_multipart()


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in probes]
    for one in probes:
        one.close()
    return ports
