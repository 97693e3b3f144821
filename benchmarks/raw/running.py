"""One server under measurement: pinned to its core, waited for, and ended with all below it."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ops.daemon import Daemon, DaemonEnded, free_port
from benchmarks.raw.apps import FOLDER as APPS
from benchmarks.raw.servers import FLOOR, Server

ROOT = Path(__file__).resolve().parents[2]
UP_TIMEOUT = 30.0
SAYS_WHY = re.compile(r"[\w.]*(Error|Exception|Unavailable)\b", re.IGNORECASE)
LOOK = 0.02
"""Seconds between two looks whether a server listens: no server tells in the same way."""


@dataclass(frozen=True)
class Cores:
    """Who runs where; with one core both are the same, and no figure is worth much."""

    server: int
    loader: int

    @classmethod
    def here(cls) -> Cores:
        """The last core for the server: interrupts tend to go to the first."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(server=cores[-1], loader=cores[0])


@dataclass(frozen=True)
class Served:
    """What a server is started with: application, workers, and the floor's constant answer."""

    app: str
    workers: int = 1
    answer: bytes = b""
    block: int = 0
    pin: bool = True
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that listens; it ends with the context that gave it."""

    server: Server
    port: int
    pid: int
    command: list[str]
    daemon: Daemon


def raise_file_limit() -> int:
    """As many open files as are allowed, for this process and its children; the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pinned(core: int | None, *, last_words: str = "KILL") -> list[str]:
    """The words before a command that run it on one core, and end it when we are killed."""
    words = ["taskset", "-c", str(core)] if core is not None else []
    return [*(["setpriv", "--pdeathsig", last_words] if shutil.which("setpriv") else []), *words]


@contextlib.contextmanager
def running(
    server: Server, served: Served, python: Path, cores: Cores | None = None
) -> Iterator[Running]:
    """Starts it and waits until it accepts. Raises DaemonEnded, with its last words."""
    with tempfile.TemporaryDirectory(prefix="raw-") as name:
        folder, port = Path(name), free_port()
        core = (cores or Cores.here()).server if served.pin else None
        values = _values(server, served, python, folder) | {"port": port}
        command = server.command(values, served.workers)
        words = [*pinned(core, last_words="TERM"), *command]
        path = os.pathsep.join((str(APPS), str(ROOT)))
        env = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **served.extra}
        with Daemon(words, folder, env) as daemon:
            wait_until_accepting(daemon, port)
            yield Running(server, port, daemon.pid, words, daemon)
            _must_run(daemon)


def _values(server: Server, served: Served, python: Path, folder: Path) -> dict[str, object]:
    values: dict[str, object] = {"python": python, "bin": python.parent, "apps": APPS}
    values |= {"app": served.app, "folder": folder, "floor": "", "answer": ""}
    if server.role == FLOOR:
        (folder / "answer").write_bytes(served.answer)
        values |= {"floor": build_floor(folder), "answer": folder / "answer"}
    return values | {"block": served.block}


def build_floor(folder: Path) -> Path:
    """Compiles floor.c. Raises DaemonEnded when there is no compiler, or with what it says."""
    compiler = os.environ.get("CC", "cc")
    words = [compiler, "-O2", "-o", str(folder / "floor"), str(Path(__file__).parent / "floor.c")]
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    except OSError as error:
        raise DaemonEnded(f"no C compiler ({compiler}): {error}") from error
    except subprocess.CalledProcessError as error:
        raise DaemonEnded(f"floor.c: {error.stderr}") from error
    return folder / "floor"


def wait_until_accepting(daemon: Daemon, port: int) -> None:
    """Returns when the port takes a connection. Raises DaemonEnded when it never does."""
    deadline = time.monotonic() + UP_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        daemon.rest(LOOK)
    raise DaemonEnded(f"it does not listen after {UP_TIMEOUT:g} s\n{daemon.log()[-2000:]}")


def _must_run(daemon: Daemon) -> None:
    daemon.rest(0)


def end_on_sigterm() -> None:
    """SIGTERM ends everything as ^C does."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def last_words(error: BaseException) -> str:
    """The line in which a server or a loader said why it failed: its last error, or last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if SAYS_WHY.match(line)]
    return (errors or lines or [type(error).__name__])[-1][:200]


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)
