"""What the settings read from the environment, as typed values.

Pure but for `secret_key`, which keeps one file. Knows nothing of Django.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


class BadEnvironment(ValueError):
    """A variable holds something that cannot be meant."""


def boolean(environ: Mapping[str, str], name: str, default: bool = False) -> bool:
    word = environ.get(name, str(default)).strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise BadEnvironment(f"{name}={word!r}: expected one of 1, 0, true, false, yes, no, on, off")


def words(environ: Mapping[str, str], name: str) -> list[str]:
    """The parts of a comma separated list, without empty ones."""
    return [part.strip() for part in environ.get(name, "").split(",") if part.strip()]


def database(url: str, sqlite_file: Path) -> dict[str, Any]:
    """Django's DATABASES entry for a DATABASE_URL; SQLite in `sqlite_file` without one.

    Understood: postgresql://user:password@host:port/name?option=value (also
    postgres://; an empty host means the local socket) and sqlite:///path.
    """
    if not url:
        return _sqlite(sqlite_file)
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(Path(unquote(parts.path)[1:] or sqlite_file))
    if parts.scheme not in {"postgresql", "postgres"}:
        raise BadEnvironment(
            f"DATABASE_URL starts with {parts.scheme!r}: expected postgresql:// or sqlite://"
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


def _sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # Several processes write: a transaction takes the write lock when it
            # begins, so that waiting for it (timeout) works; one that starts as a
            # reader and turns writer would fail with "database is locked" at once.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def secret_key(given: str, path: Path) -> str:
    """The key given, or the one in the file, which is made on first use.

    Several workers may start at once: the file appears whole or not at all
    (link(2) fails when another was first), and all then read the same key.
    """
    if given:
        return given
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".secret_key.")
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(64) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    return path.read_text().strip()
