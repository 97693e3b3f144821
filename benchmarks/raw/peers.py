"""The environment that the servers run in, and what is installed in it.

One virtual environment below .cache/peers holds every peer; our own backends run
in it, too, from this checkout, so that all have the same interpreter, the same
Django and the same uvloop. A package that cannot be installed is said and left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ops.peers import CACHE
from benchmarks.raw.running import ROOT, say
from benchmarks.raw.servers import FLOOR, Server

PLACE = CACHE / f"raw-{sys.version_info.major}.{sys.version_info.minor}"
INSTALL_TIMEOUT = 600.0
PACKAGES: tuple[tuple[str, ...], ...] = (
    ("psutil", "pyzmq"),
    ("Django>=5.2,<5.3",),
    ("starlette",),
    ("uvloop", "httptools"),
    ("granian",),
    ("fastwsgi",),
    ("bjoern",),
    ("greenlet>=3",),
    ("--no-deps", "meinheld"),
    ("waitress",),
    ("gunicorn", "packaging"),
    ("gevent",),
    ("pyuwsgi",),
    ("cheroot",),
    ("socketify",),
    ("uvicorn", "websockets", "wsproto"),
    ("hypercorn",),
)
"""What pip is asked for, one after the other; bjoern wants libev's headers."""
LOOK = """
import importlib.metadata, importlib.util, json, sys
asked = json.loads(sys.argv[1])
found = {"versions": {}, "modules": {}, "backends": {}}
for one in importlib.metadata.distributions():
    found["versions"][one.metadata["Name"].lower()] = one.version
for name in asked["modules"]:
    found["modules"][name] = importlib.util.find_spec(name) is not None
for server, name, wanted in asked["backends"]:
    from chaussette.backends import base, registry
    if name not in registry.names():
        found["backends"][server] = f"there is no backend {name}"
        continue
    seen = registry.probe(name)
    can = seen.declaration.can if seen.declaration else base.Can.NOTHING
    lacks = "" if base.Can[wanted] in can else f"{name} does not do {wanted} yet"
    found["backends"][server] = lacks if seen.installed else seen.reason
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Found:
    """What can be measured here: server names with why not (empty: it can), and versions."""

    missing: dict[str, str]
    versions: dict[str, str] = field(default_factory=dict)


def default_python() -> Path:
    """The peers' interpreter where there is one, else the one that runs this."""
    python = PLACE / "bin" / "python"
    return python if (PLACE / "complete").exists() else Path(sys.executable)


def install() -> dict[str, str]:
    """Makes the environment, or completes it; package to why it could not be installed."""
    python = PLACE / "bin" / "python"
    if not python.exists():
        PLACE.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True, timeout=120)
    failures = {}
    for words in PACKAGES:
        say(f"installing {' '.join(words)} ...")
        if reason := _pip(python, words):
            failures[" ".join(words)] = reason
            say(f"  not installed: {reason}")
    (PLACE / "complete").write_text("")
    return failures


def _pip(python: Path, words: Iterable[str]) -> str:
    head = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [*head, *words], capture_output=True, text=True, env=env, check=False,
            timeout=INSTALL_TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done within {INSTALL_TIMEOUT:g} s"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else "no reason given")


def look(python: Path, servers: Iterable[Server]) -> Found:
    """Which of the servers can run under this interpreter."""
    servers = list(servers)
    asked = {
        "modules": sorted({one.module for one in servers if one.module}),
        "backends": [(one.name, one.backend, one.role.upper()) for one in servers if one.backend],
    }
    done = subprocess.run(
        [str(python), "-c", LOOK, json.dumps(asked)], capture_output=True, text=True, check=True,
        timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    seen = json.loads(done.stdout)
    missing = {one.name: _why_not(one, seen) for one in servers}
    return Found({name: why for name, why in missing.items() if why}, seen["versions"])


def _why_not(server: Server, seen: dict[str, dict[str, str]]) -> str:
    if server.role == FLOOR:
        return ""
    if server.backend:
        return seen["backends"][server.name]
    return "" if seen["modules"][server.module] else f"{server.module} is not installed"
