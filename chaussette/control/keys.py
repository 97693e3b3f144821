"""Keys for endpoints that others can reach (CurveZMQ, rfc.zeromq.org/spec/26), as files.

A directory of mode 0700 belongs to one arbiter: `server.key` is its own pair, and
each file `clients/NAME.pub` allows one client in, with a class. What a client needs
is one file as well: its pair and the server's public key. All files are 0600, and
`name = value` in a line each; keys are written in Z85 (rfc.zeromq.org/spec/32).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaussette.control.levels import Level, read_level
from chaussette.errors import ConfigError, did_you_mean

SERVER, CLIENTS = "server.key", "clients"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_Z85 = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_FRESH = 0.1
"""Seconds; within them a directory may change and keep the same time of change."""
_LONGEST_FILE = 4096


@dataclass(frozen=True)
class ClientKey:
    """What a client needs to be let in, and to know that it talks to the right server."""

    public: str
    secret: str
    server: str
    name: str = ""


@dataclass(frozen=True)
class Allowed:
    """A client that is let in."""

    name: str
    public: str
    level: Level


class KeyStore:
    """The keys of one arbiter. Raises ConfigError where there are none, or others can read them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        _must_be_private(self.path, f"make them with: circusctl keys init --dir {self.path}")
        fields = read_fields(self.path / SERVER)
        self.public = _key(fields, "public", self.path / SERVER)
        self.secret = _key(fields, "secret", self.path / SERVER)
        self.faults: list[str] = []
        """What is wrong with files of clients; who is in such a file is not let in."""
        self._changed = -1
        self._allowed: dict[str, Allowed] = {}

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> KeyStore:
        """Makes the directory and the server's pair. Raises ConfigError where there is one."""
        folder = Path(path)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / CLIENTS).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: {error.strerror}") from None
        _must_be_private(folder, "")
        public, secret = new_pair()
        _write(folder / SERVER, {"public": public, "secret": secret}, "The server's pair.")
        return cls(folder)

    def allowed(self) -> Mapping[str, Allowed]:
        """Who is let in, by public key, as the files say now."""
        folder = self.path / CLIENTS
        try:
            changed = folder.stat().st_mtime_ns
        except OSError as error:
            self.faults = [f"{folder}: {error.strerror}"]
            self._changed = -1
            return {}
        if changed != self._changed:
            self._read_clients(folder)
            is_old = time.time() - changed / 1e9 > _FRESH
            self._changed = changed if is_old and not self.faults else -1
        return self._allowed

    def add(self, name: str, level: Level, out: Path | None = None) -> Path:
        """Makes a client's pair and lets it in; returns the file that the client needs.

        Raises ConfigError for a name that is taken or cannot be one.
        """
        if not NAME.fullmatch(name):
            raise ConfigError(f"{name!r}: expected 1 to 64 letters, digits or any of _ . -")
        public, secret = new_pair()
        ours, theirs = self._files(name)
        theirs = out or theirs
        facts = {"name": name, "class": str(level), "public": public}
        _write(ours, facts, "Lets this client in; without this file it is not.")
        try:
            text = "A client's pair: keep it secret, mode 0600."
            _write(theirs, {**facts, "secret": secret, "server": self.public}, text)
        except ConfigError:
            ours.unlink()
            raise
        return theirs

    def revoke(self, name: str) -> None:
        """Lets a client in no more. Raises ConfigError where there is none of that name."""
        ours, theirs = self._files(name)
        try:
            if not NAME.fullmatch(name):
                raise FileNotFoundError
            ours.unlink()
        except FileNotFoundError:
            names = [one.name for one in self.allowed().values()]
            known = ", ".join(sorted(names)) or "none"
            raise ConfigError(
                f"no client {name!r}{did_you_mean(name, names)} (clients: {known})"
            ) from None
        except OSError as error:
            raise ConfigError(f"{ours}: {error.strerror}") from None
        with contextlib.suppress(OSError):
            theirs.unlink()

    def _files(self, name: str) -> tuple[Path, Path]:
        folder = self.path / CLIENTS
        return folder / f"{name}.pub", folder / f"{name}.key"

    def _read_clients(self, folder: Path) -> None:
        self._allowed, self.faults = {}, []
        for path in sorted(folder.glob("*.pub")):
            try:
                fields = read_fields(path)
                level = read_level(fields.get("class", ""))
                one = Allowed(path.stem, _key(fields, "public", path), level)
                self._allowed[one.public] = one
            except ConfigError as error:
                self.faults.append(str(error))


def read_client_key(path: str, server: str | None = None) -> ClientKey:
    """A client's file; `server` is the server's public key, or a file that has it.

    Raises ConfigError.
    """
    place = Path(path).expanduser()
    fields = read_fields(place)
    if server:
        fields["server"] = read_server_key(server)
    if "server" not in fields:
        raise ConfigError(f"{place} does not say the server's key: give --server-key")
    secret, known = _key(fields, "secret", place), _key(fields, "server", place)
    return ClientKey(_key(fields, "public", place), secret, known, fields.get("name", ""))


def read_server_key(text: str) -> str:
    """The server's public key, from its text or a file that has it. Raises ConfigError."""
    if _Z85.fullmatch(text):
        return text
    place = Path(text).expanduser()
    try:
        word = place.read_text("ascii")[:_LONGEST_FILE].strip()
    except (OSError, ValueError):
        raise ConfigError(
            f"--server-key {text!r}: expected 40 characters, as `circusctl keys show` prints "
            "them, or a file that holds them"
        ) from None
    return word if _Z85.fullmatch(word) else _key(_fields_of(word), "public", place)


def new_pair() -> tuple[str, str]:
    """A new public key and its secret key."""
    import zmq  # a client that needs no key does without it

    if not zmq.has("curve"):
        raise ConfigError("libzmq was built without CURVE here: install pyzmq's own wheels")
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def write_client_key(path: Path, key: ClientKey) -> None:
    """Writes a client's file, in the place of an old one. Raises ConfigError."""
    with contextlib.suppress(OSError):
        path.unlink()
    fields = {"name": key.name, "public": key.public, "secret": key.secret, "server": key.server}
    _write(path, fields, "Made anew at each start of the arbiter.")


def read_fields(path: Path) -> dict[str, str]:
    """The lines of a file of ours. Raises ConfigError, also where others can read it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, encoding="utf-8", errors="replace") as source:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):
                raise ConfigError(f"{path} is no file")
            if state.st_mode & 0o077:
                mode = stat.S_IMODE(state.st_mode)
                raise ConfigError(f"{path} is open to other users (mode {mode:04o}): chmod 600")
            return _fields_of(source.read(_LONGEST_FILE))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def _fields_of(text: str) -> dict[str, str]:
    pairs = (line.partition(" = ") for line in text.splitlines() if not line.startswith("# "))
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def _key(fields: Mapping[str, str], name: str, place: Path) -> str:
    if not _Z85.fullmatch(fields.get(name, "")):
        raise ConfigError(f"{place}: {name}: expected a key of 40 characters (Z85)")
    return fields[name]


def _must_be_private(folder: Path, hint: str) -> None:
    try:
        state = folder.stat()
    except OSError as error:
        tail = f"; {hint}" if hint else ""
        raise ConfigError(f"keys in {folder}: {error.strerror}{tail}") from None
    if not stat.S_ISDIR(state.st_mode):
        raise ConfigError(f"keys in {folder}: not a directory")
    if state.st_mode & 0o077:
        mode = stat.S_IMODE(state.st_mode)
        raise ConfigError(f"{folder} is open to other users (mode {mode:04o}): chmod 700")
    if state.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{folder} belongs to another user")


def _write(path: Path, fields: Mapping[str, str], text: str) -> None:
    lines = [f"# {text}", *(f"{name} = {value}" for name, value in fields.items())]
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} is there already, and is left as it is") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, ""]))
