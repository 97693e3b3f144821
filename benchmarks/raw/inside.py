"""inside: what the applications cost without any server: the part that no server can save."""

from __future__ import annotations

import json
import os
import subprocess

from benchmarks.raw import table
from benchmarks.raw.apps import FOLDER
from benchmarks.raw.cases import CASES, Case
from benchmarks.raw.figures import spread
from benchmarks.raw.running import ROOT, Cores, pinned
from benchmarks.raw.servers import ASGI
from benchmarks.raw.tool import Tool

NAMES = ("W1", "W3", "W6", "W6n", "A1", "A2")
TIMEOUT = 120.0


def measure(tool: Tool) -> str:
    """The table. Raises ValueError where an application cannot be imported."""
    cases = [one for one in CASES if one.name in NAMES]
    found = {one.name: _costs(one, tool) for one in cases}
    lines = []
    for case in cases:
        figures = spread(found[case.name])
        cell = f"{figures.median:.1f} ({figures.least:.1f}-{figures.most:.1f})"
        lines.append((case.name, case.title, cell))
    about = "#### inside: µs of CPU per call, without a server"
    return f"{about}\n\n{table.markdown(('case', 'what', 'µs (min-max)'), lines)}"


def _costs(case: Case, tool: Tool) -> list[float]:
    name = f"{'asgi' if case.role == ASGI else 'wsgi'}={case.app}={case.path}"
    words = [*pinned(Cores.here().server), str(tool.python), str(FOLDER / "inside.py"), name]
    path = os.pathsep.join((str(FOLDER), str(ROOT)))
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    if done.returncode:
        raise ValueError(f"{case.app}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found[name]
