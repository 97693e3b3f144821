"""Keys as files: who can read them, who is let in, and what is said of what is wrong."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chaussette.cli.keys import run
from chaussette.control.keys import KeyStore, read_client_key
from chaussette.control.levels import Level
from chaussette.control.places import seen_from
from chaussette.errors import ConfigError


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    before = os.umask(0)  # modes must not depend on it
    try:
        return KeyStore.create(tmp_path / "keys")
    finally:
        os.umask(before)


def test_nobody_else_can_read_them(store: KeyStore) -> None:
    before = os.umask(0)
    try:
        store.add("ops", Level.OPERATE)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in store.path.rglob("*")}
    assert len(modes) == 4
    for path, mode in {**modes, store.path: stat.S_IMODE(store.path.stat().st_mode)}.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_who_is_let_in_is_seen_at_once(store: KeyStore) -> None:
    other = KeyStore(store.path)
    assert not other.allowed()
    for level in Level:
        store.add(str(level), level)
        assert level in {one.level for one in other.allowed().values()}
    store.revoke("operate")
    assert {one.name for one in other.allowed().values()} == {"read", "configure"}
    assert not (store.path / "clients" / "operate.key").exists()


def test_a_clients_file_has_all_that_it_needs(store: KeyStore, tmp_path: Path) -> None:
    file = store.add("ops", Level.READ, tmp_path / "ops.key")
    key = read_client_key(str(file))
    assert (key.server, key.name) == (store.public, "ops")
    assert key.public in store.allowed()
    other = KeyStore.create(tmp_path / "other")
    assert read_client_key(str(file), other.public).server == other.public
    (tmp_path / "pub").write_text(f"{other.public}\n")
    assert read_client_key(str(file), str(tmp_path / "pub")).server == other.public


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../x", "a b", "x" * 65, "ä", "a\n"])
def test_names_that_are_none(store: KeyStore, name: str) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 64"):
        store.add(name, Level.READ)
    with pytest.raises(ConfigError, match="no client"):
        store.revoke(name)


def test_nothing_is_overwritten(store: KeyStore, tmp_path: Path) -> None:
    store.add("ops", Level.READ)
    for again in (
        lambda: store.add("ops", Level.READ),
        lambda: KeyStore.create(store.path),
        lambda: store.add("new", Level.READ, store.path / "server.key"),
    ):
        with pytest.raises(ConfigError, match="is there already"):
            again()
    assert [one.name for one in store.allowed().values()] == ["ops"]
    (store.path / "clients" / "link.pub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        store.add("link", Level.READ)
    assert not (tmp_path / "elsewhere").exists()


def test_what_others_could_read_is_refused(store: KeyStore) -> None:
    file = store.add("ops", Level.READ)
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"open to other users .mode 0640.: chmod 600"):
        read_client_key(str(file))
    (store.path / "server.key").chmod(0o604)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyStore(store.path)
    (store.path / "server.key").chmod(0o600)
    store.path.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        KeyStore(store.path)


def test_a_file_that_is_wrong_lets_nobody_in(store: KeyStore) -> None:
    store.add("good", Level.READ)
    for name, text in {
        "empty": "",
        "class": "class = root\n",
        "key": "class = read\npublic = x\n",
    }.items():
        path = store.path / "clients" / f"{name}.pub"
        path.write_text(text)
        path.chmod(0o600)
    assert [one.name for one in store.allowed().values()] == ["good"]
    assert len(store.faults) == 3


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "k")
    assert run(["init", "--dir", folder]) == 0
    assert run(["add", "eye", "--class=read", "--dir", folder]) == 0
    assert run(["add", "ops", "--dir", folder]) == 0
    capsys.readouterr()
    assert run(["list", "--dir", folder]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["eye:", "read"],
        ["ops:", "operate"],
    ]
    assert run(["show", "--dir", folder]) == 0
    assert capsys.readouterr().out.strip() == KeyStore(folder).public
    assert run(["revoke", "eye", "--dir", folder]) == 0
    assert run(["help"]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("ad x", "did you mean 'add'"),
        ("add", "expected one name"),
        ("list x", "no further word"),
        ("add x --class", "needs a value"),
        ("add x --clas read", "did you mean '--class'"),
        ("add x --class reed --dir DIR", "did you mean 'read'"),
        ("revoke opss --dir DIR", "did you mean 'ops'"),
        ("list --dir /no/such", "circusctl keys init --dir /no/such"),
    ],
)
def test_command_lines_that_are_wrong(store: KeyStore, words: str, says: str) -> None:
    store.add("ops", Level.READ)
    with pytest.raises(ConfigError, match=says):
        run(words.replace("DIR", str(store.path)).split())


@pytest.mark.parametrize(
    ("endpoint", "address", "seen"),
    [
        ("tcp://box:5555", "tcp://0.0.0.0:5556", "tcp://box:5556"),
        ("tcp://[fe80::1]:5555", "tcp://*:5556", "tcp://[fe80::1]:5556"),
        ("tcp://box:5555", "tcp://10.0.0.1:5556", "tcp://10.0.0.1:5556"),
        ("ipc:///x", "tcp://*:5556", "tcp://*:5556"),
        ("tcp://box:1", "ipc:///x", "ipc:///x"),
    ],
)
def test_addresses_as_a_client_sees_them(endpoint: str, address: str, seen: str) -> None:
    assert seen_from(endpoint, address) == seen
