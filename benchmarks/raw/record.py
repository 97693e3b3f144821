"""The results file: written after each round, so that an interrupted run can be taken up."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.raw.figures import Round


class BadRecord(Exception):
    """A results file that cannot be taken up; the message says which and why."""


class Record:
    """What one run found so far; `path` always holds a whole JSON document."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self._about = about
        self.rounds: list[Round] = []

    def take_up(self) -> None:
        """Takes the rounds of an earlier run of the same length. Raises BadRecord."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            self.rounds = list(found["rounds"])
            length = found["about"]["seconds"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadRecord(f"{self.path}: no results to resume ({error})") from error
        if length != self._about["seconds"]:
            raise BadRecord(
                f"{self.path}: its rounds took {length} s; expected {self._about['seconds']}"
            )

    def has(self, case: str, server: str, number: int) -> bool:
        """Whether this round has a figure."""
        wanted = (case, server, number)
        return any(
            (one["case"], one["server"], one["round"]) == wanted and "failed" not in one
            for one in self.rounds
        )

    def add(self, one: Round) -> None:
        """Adds a round in place of an earlier failure, and writes the file."""
        key = (one["case"], one["server"], one["round"])
        self.rounds = [
            old for old in self.rounds if (old["case"], old["server"], old["round"]) != key
        ]
        self.rounds.append(one)
        self.write()

    def write(self) -> None:
        """Writes the file: whole, or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"about": self._about, "rounds": self.rounds}, indent=1) + "\n")
        fresh.replace(self.path)


def surroundings(versions: dict[str, str], argv: Sequence[str]) -> dict[str, Any]:
    """The machine, the versions and the command: what a figure is worth nothing without."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "command": "python -m benchmarks.raw " + " ".join(argv),
        "cpu": model,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "kernel": platform.release(),
        "congestion_control": congestion.read_text().strip() if congestion.exists() else "",
        "python": platform.python_version(),
        "versions": versions,
    }
