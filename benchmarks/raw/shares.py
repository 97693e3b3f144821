"""shares: how evenly the connections fall on eight workers.

So many connections are opened at a time, each asks once which worker it reached,
and all are closed; again and again. Max over mean is 1.00 when all get the same.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter

from benchmarks.ops.daemon import DaemonEnded
from benchmarks.raw import answer, table
from benchmarks.raw.answer import BadAnswer
from benchmarks.raw.figures import imbalance
from benchmarks.raw.running import Served, last_words, running, say
from benchmarks.raw.servers import Server
from benchmarks.raw.tool import Tool

NAMES = ("native", "native-t4", "granian", "gunicorn-gthread", "gunicorn-gevent",
         "uwsgi-http-socket")  # fmt: skip
WORKERS = 8
AT_A_TIME = (1, 16, 64, 1000)
LEAST, QUICK_LEAST = 4000, 800
"""Connections per figure. Chance alone gives the luckiest of eight about 1.07 with 4000 of them,
1.15 with 800: the shares of a throw of dice are no better."""
UP_TIMEOUT = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def measure(tool: Tool) -> str:
    """The table of the servers that can run several workers."""
    lines = []
    for server in tool.pick(NAMES):
        if not server.many:
            say(f"shares: {server.name} has no way to run {WORKERS} workers")
            continue
        say(f"shares: {server.name}")
        lines.append([server.name, *_measured(server, tool)])
    head = ("server", *(f"{number} at a time" for number in AT_A_TIME))
    about = f"#### shares: connections of {WORKERS} workers, max/mean (least-most of a worker)"
    return f"{about}\n\n{table.markdown(head, lines)}"


def _measured(server: Server, tool: Tool) -> list[str]:
    served = Served("rawwsgi:who", workers=WORKERS, pin=False)
    least = QUICK_LEAST if tool.quick else LEAST
    try:
        with running(server, served, tool.python) as up:
            _wait_for_all(up.port)
            return [_cell(count(up.port, number, least)) for number in AT_A_TIME]
    except (DaemonEnded, BadAnswer) as error:
        return [last_words(error), *[""] * (len(AT_A_TIME) - 1)]


def _cell(counts: Counter[str]) -> str:
    least = min(counts.values()) if len(counts) == WORKERS else 0
    return f"{imbalance(list(counts.values()), WORKERS):.2f} ({least}-{max(counts.values())})"


def _wait_for_all(port: int) -> None:
    """Until every worker has answered once, or it is clear that some never do."""
    seen: Counter[str] = Counter()
    deadline = time.monotonic() + UP_TIMEOUT
    while len(seen) < WORKERS and time.monotonic() < deadline:
        seen += count(port, 64, 64)


def count(port: int, at_a_time: int, least: int) -> Counter[str]:
    """Per worker the connections that it got. Raises BadAnswer."""
    found: Counter[str] = Counter()
    while found.total() < least:
        with contextlib.ExitStack() as stack:
            found.update(_batch(port, at_a_time, stack))
    return found


def _batch(port: int, size: int, stack: contextlib.ExitStack) -> list[str]:
    try:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10.0))
            for _ in range(size)
        ]
        for one in opened:
            one.sendall(REQUEST)
        streams = [stack.enter_context(one.makefile("rb")) for one in opened]
        return [answer.read(stream).body.decode() for stream in streams]
    except OSError as error:
        raise BadAnswer(f"{size} connections at a time: {error}") from error
