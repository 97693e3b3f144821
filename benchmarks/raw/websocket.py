"""websocket: texts there and back (WS1); memory of idle ones; a text of one to all of them."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.ops.daemon import DaemonEnded
from benchmarks.raw import table, tree
from benchmarks.raw.running import Cores, Running, Served, last_words, pinned, running, say
from benchmarks.raw.servers import Server, before_app
from benchmarks.raw.tool import Tool

SOURCE = Path(__file__).parent / "wsload.c"
NAMES = ("native-asgi", "uvicorn", "granian-asgi", "hypercorn", "socketify-asgi")
CODECS = ("websockets-sansio", "websockets", "wsproto")
"""Of uvicorn, the fastest first."""
CROWD_NAMES = ("native-asgi", "uvicorn-websockets-sansio", "granian-asgi")
CLIENTS, SIZE = 32, 32
IDLE = 10_000
BROADCASTS = 10
ROUNDS, SECONDS = 3, 4
UP_TIMEOUT = 120.0
KIB_PER_MIB = 1024


class LoaderFailed(Exception):
    """What the loader said."""


@dataclass(frozen=True)
class Figures:
    """What the loader measured: messages and their times in microseconds."""

    messages: int
    seconds: float
    median: float
    p99: float


@dataclass(frozen=True)
class Loader:
    """A compiled wsload and the core it runs on."""

    path: Path
    core: int

    @contextlib.contextmanager
    def open(
        self, kind: str, up: Running, count: int, many: int
    ) -> Iterator[subprocess.Popen[str]]:
        """Runs it; all its connections are open in the block. Raises LoaderFailed."""
        words = [str(self.path), kind, str(up.port), str(count), str(many), str(SIZE)]
        with subprocess.Popen(
            [*pinned(self.core), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                if process.stdout.readline() != "open\n":
                    raise LoaderFailed(_words(process))
                yield process
            finally:
                process.kill()

    def figures(self, process: subprocess.Popen[str]) -> Figures:
        """Its end. Raises LoaderFailed."""
        try:
            said, errors = process.communicate("", timeout=UP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise LoaderFailed("it takes too long") from error
        if process.returncode != 0:
            raise LoaderFailed(errors)
        messages, *others = said.split()
        return Figures(int(messages), *map(float, others))


def _words(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=UP_TIMEOUT)[1] or "it ended"


def measure(tool: Tool) -> str:
    """Both tables."""
    servers = _servers(tool)
    with tempfile.TemporaryDirectory(prefix="raw-") as folder:
        loader = Loader(_build(Path(folder)), Cores.here().loader)
        echoes = _echoes(servers, loader, tool)
        chosen = [one for one in servers if tool.only or one.name in CROWD_NAMES]
        crowds = [_crowd(one, loader, tool) for one in chosen]
    echo_head = ("server", "CPU µs/message (min-max)", "messages/s", "p50 µs", "p99 µs")
    crowd_head = ("server", f"KiB per idle of {IDLE}", "broadcast p50 ms", "max ms", "CPU ms each")
    return (
        f"#### WS1: echo of {SIZE} bytes, {CLIENTS} clients\n\n"
        f"{table.markdown(echo_head, echoes)}\n\n#### {IDLE} WebSockets, one text to all\n\n"
        f"{table.markdown(crowd_head, crowds)}"
    )


def _servers(tool: Tool) -> list[Server]:
    """Those that speak WebSocket, uvicorn with each of its codecs."""
    found = []
    for one in tool.pick(NAMES):
        words = tuple(word for word in one.words if word != "--no-ws")
        if one.name != "uvicorn":
            found.append(replace(one, words=words))
            continue
        for codec in CODECS:
            more = before_app(words, ("--ws", codec))
            found.append(replace(one, name=f"uvicorn-{codec}", words=more))
    return found


def _build(folder: Path) -> Path:
    compiler = os.environ.get("CC", "cc")
    target = folder / "wsload"
    try:
        subprocess.run([compiler, "-O2", "-o", target, SOURCE], check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"wsload.c: {error}") from error
    return target


def _echoes(servers: list[Server], loader: Loader, tool: Tool) -> list[list[str]]:
    """Interleaved: a round of all, then the next."""
    costs: dict[str, list[float]] = {}
    seen: dict[str, list[Figures]] = {}
    failed: dict[str, str] = {}
    for number in range(1 if tool.quick else ROUNDS):
        for one in servers:
            say(f"websocket: echo {number + 1} {one.name}")
            try:
                cost, figures = _echo(one, loader, tool)
                costs.setdefault(one.name, []).append(cost)
                seen.setdefault(one.name, []).append(figures)
            except (DaemonEnded, LoaderFailed) as error:
                failed[one.name] = last_words(error)
    return [
        _echo_line(one.name, costs[one.name], seen[one.name])
        if one.name in costs
        else [one.name, failed[one.name], "", "", ""]
        for one in servers
    ]


def _echo_line(name: str, costs: list[float], seen: list[Figures]) -> list[str]:
    middle = statistics.median
    return [
        name,
        f"{middle(costs):.2f} ({min(costs):.2f}-{max(costs):.2f})",
        f"{middle(one.messages / one.seconds for one in seen):.0f}",
        f"{middle(one.median for one in seen):.0f}",
        f"{middle(one.p99 for one in seen):.0f}",
    ]


def _echo(server: Server, loader: Loader, tool: Tool) -> tuple[float, Figures]:
    """Microseconds of processor time per message, and what the loader saw."""
    with running(server, Served("rawasgi:echo"), tool.python) as up:
        with loader.open("echo", up, CLIENTS, 1) as process:
            loader.figures(process)  # it is warm now
        with loader.open("echo", up, CLIENTS, 1 if tool.quick else SECONDS) as process:
            before = tree.cpu(up.pid)
            figures = loader.figures(process)
            after = tree.cpu(up.pid)
    spent = after.user + after.system - before.user - before.system
    return spent * 1e6 / max(1, figures.messages), figures


def _crowd(server: Server, loader: Loader, tool: Tool) -> list[str]:
    say(f"websocket: {IDLE} of {server.name}")
    more = ("--spawn", str(IDLE + 100)) if server.name == "native-asgi" else ()
    server = replace(server, words=before_app(server.words, more))
    try:
        with running(server, Served("rawasgi:room"), tool.python) as up:
            with loader.open("broadcast", up, CLIENTS, BROADCASTS) as process:
                loader.figures(process)
            empty, _ = tree.memory_mib(up.pid)
            with loader.open("idle", up, IDLE, 0) as process:
                full, _ = tree.memory_mib(up.pid)
                loader.figures(process)
            with loader.open("broadcast", up, IDLE, BROADCASTS) as process:
                before = tree.cpu(up.pid)
                figures = loader.figures(process)
                after = tree.cpu(up.pid)
    except (DaemonEnded, LoaderFailed) as error:
        return [server.name, last_words(error), "", "", ""]
    spent = after.user + after.system - before.user - before.system
    each = (full - empty) * KIB_PER_MIB / IDLE
    cells = (f"{each:.2f}", f"{figures.median / 1e3:.0f}", f"{figures.p99 / 1e3:.0f}")
    return [server.name, *cells, f"{spent * 1e3 / BROADCASTS:.0f}"]
