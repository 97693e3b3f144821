"""What the settings make of the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from townhall.environment import BadEnvironment, boolean, database, secret_key, words
from townhall_setup import SITE


def test_words_and_switches_are_read() -> None:
    environ = {"HOSTS": " a.example, ,b.example", "ON": "Yes", "OFF": "0", "ODD": "perhaps"}
    assert words(environ, "HOSTS") == ["a.example", "b.example"]
    assert boolean(environ, "ON") and not boolean(environ, "OFF") and not boolean(environ, "NONE")
    with pytest.raises(BadEnvironment, match="expected one of"):
        boolean(environ, "ODD")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "postgresql://me:p%40ss@db.example:5433/town?sslmode=require",
            {
                "NAME": "town",
                "USER": "me",
                "PASSWORD": "p@ss",
                "HOST": "db.example",
                "PORT": "5433",
                "OPTIONS": {"sslmode": "require"},
            },
        ),
        ("postgres:///town", {"NAME": "town", "USER": "", "HOST": "", "PORT": ""}),
        ("postgresql://u@%2Frun%2Fpg/town", {"HOST": "/run/pg", "USER": "u"}),
        ("sqlite:////data/town.db", {"NAME": Path("/data/town.db")}),
        ("", {"NAME": Path("default.db")}),
    ],
)
def test_a_database_url_is_taken_apart(url: str, wanted: dict[str, Any]) -> None:
    found = database(url, Path("default.db"))
    assert {name: found[name] for name in wanted} == wanted


def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(BadEnvironment, match="expected postgresql"):
        database("mysql://localhost/town", Path("default.db"))


def test_workers_that_start_at_once_make_one_secret_key(tmp_path: Path) -> None:
    keys: list[str] = []
    path = tmp_path / "new" / "secret_key"
    start = threading.Barrier(8)

    def worker() -> None:
        start.wait()
        keys.append(secret_key("", path))

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(keys) == 8 and len(set(keys)) == 1 and len(keys[0]) > 50
    assert path.stat().st_mode & 0o077 == 0
    assert [one.name for one in path.parent.iterdir()] == ["secret_key"]
    assert secret_key("given", path) == "given"


def manage(tmp_path: Path, *words: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=SITE,
        env={**os.environ, "TOWNHALL_VAR": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def test_a_site_for_https_passes_the_checks_of_deployment(tmp_path: Path) -> None:
    output = manage(
        tmp_path, "check", "--deploy", "--tag", "security",
        TOWNHALL_HTTPS="1", TOWNHALL_BEHIND_PROXY="1", TOWNHALL_ALLOWED_HOSTS="town.example",
    )  # fmt: skip
    # Left to whoever owns the domain: HSTS for all its other names, and for good.
    assert set(re.findall(r"security\.(\w+)", output)) == {"W005", "W021"}


def test_the_models_and_the_migrations_agree(tmp_path: Path) -> None:
    manage(tmp_path, "makemigrations", "--check", "--dry-run")
