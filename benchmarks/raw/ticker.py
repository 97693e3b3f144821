"""ticker: by how much a task beside the requests wakes up late, under full load.

The application wants to wake up every millisecond; 256 connections ask as fast
as they are answered. A server that keeps the event loop for itself shows here.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.ops.daemon import DaemonEnded
from benchmarks.raw import answer, table, wrk
from benchmarks.raw.answer import BadAnswer
from benchmarks.raw.cases import Case
from benchmarks.raw.figures import percentile
from benchmarks.raw.running import Cores, Served, last_words, running, say
from benchmarks.raw.servers import ASGI, GREENLETS, Server
from benchmarks.raw.tool import Tool

NAMES = (
    "native-asgi", "granian-asgi", "uvicorn", "hypercorn",
    "fastgevent-g", "fastgevent-spawn-g", "gunicorn-gevent-g", "pywsgi-g",
)  # fmt: skip
CASES = {
    ASGI: Case("ticker", "ASGI hello beside a ticker", ASGI, "rawasgi:ticker", connections=256),
    GREENLETS: Case(
        "ticker", "WSGI hello beside a ticker", GREENLETS, "rawgevent:ticker", connections=256
    ),
}
LATE = b"GET /late HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SECONDS = 4
MS = 1e3


def measure(tool: Tool) -> str:
    """The table."""
    lines = []
    for server in tool.pick(NAMES):
        say(f"ticker: {server.name}")
        lines.append([server.name, *_measured(server, tool)])
    head = ("server", "req/s", "ticks", "late p50 ms", "p99", "max")
    return f"#### ticker: lateness under load\n\n{table.markdown(head, lines)}"


def _measured(server: Server, tool: Tool) -> list[str]:
    cores, case = Cores.here(), CASES[server.role]
    seconds = 1 if tool.quick else SECONDS
    try:
        with (
            tempfile.TemporaryDirectory(prefix="raw-") as folder,
            running(server, Served(case.app), tool.python, cores) as up,
        ):
            path = Path(folder) / "case.lua"
            path.write_text(wrk.script(case))
            answer.ask(up.port, LATE)
            load = wrk.run(wrk.command(case, up.port, seconds, path, cores.loader), seconds)
            late = [one * MS for one in json.loads(answer.ask(up.port, LATE).body)]
    except (DaemonEnded, BadAnswer, wrk.LoaderFailed) as error:
        return [last_words(error), *[""] * 4]
    if not late:
        return [f"{load.per_second:.0f}", "0", "", "", ""]
    ranks = (percentile(late, 0.5), percentile(late, 0.99), max(late))
    return [f"{load.per_second:.0f}", str(len(late)), *(f"{one:.2f}" for one in ranks)]
