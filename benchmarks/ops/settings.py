"""What one run measures, and how long."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MANAGERS = ("chaussette", "circus", "supervisord", "gunicorn")


@dataclass(frozen=True)
class Options:
    """How thorough a run is; `backends` limits what `reload` and `pss` look at."""

    rounds: int = 3
    kills: int = 8
    peer_kills: int = 3
    many: int = 500
    app_workers: int = 100
    idle_seconds: float = 30.0
    idle_processes: int = 100
    scale: int = 1000
    commands: int = 10_000
    restarts: int = 2_000
    backends: tuple[str, ...] = ()
    peers: bool = True

    def managers(self) -> tuple[str, ...]:
        """Who is measured."""
        return MANAGERS if self.peers else MANAGERS[:1]

    def circuses(self) -> tuple[str, ...]:
        """Who is measured where only a circusd has what is measured."""
        return MANAGERS[:2] if self.peers else MANAGERS[:1]


QUICK = Options(
    rounds=1, kills=4, peer_kills=1, app_workers=20, idle_seconds=5.0,
    scale=100, commands=1000, restarts=200,
)  # fmt: skip


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory for one daemon; short, for the sake of unix sockets' paths."""
    with tempfile.TemporaryDirectory(prefix="cb-") as name:
        yield Path(name)
