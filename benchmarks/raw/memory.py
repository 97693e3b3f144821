"""memory: of one worker that says hello; per idle connection; after 200 000 requests."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ops.daemon import DaemonEnded
from benchmarks.raw import answer, table, tree, wrk
from benchmarks.raw.answer import BadAnswer
from benchmarks.raw.cases import CASES, Case
from benchmarks.raw.running import Cores, Running, Served, last_words, running, say
from benchmarks.raw.servers import ASGI, Server
from benchmarks.raw.tool import Tool

NAMES = ("floor", "native", "native-t4", "native-asgi", "granian", "granian-bt4", "fastwsgi",
         "bjoern", "waitress", "gunicorn-gthread", "gunicorn-gevent", "uvicorn")  # fmt: skip
IDLE = (1000, 5000)
REQUESTS = 200_000
HELLO = "rawhello:hello"
"""W1 without what the other applications of its module import."""
FIRST_SECONDS, STEP_SECONDS, MOST_STEPS = 1, 4, 10
KIB_PER_MIB = 1024
HEAD = ("server", "processes", "RSS MiB", "PSS MiB", "largest RSS",
        *(f"KiB per idle of {number}" for number in IDLE), "RSS growth KiB",
        "after requests")  # fmt: skip


def measure(tool: Tool) -> str:
    """The table."""
    lines = []
    for server in tool.pick(NAMES):
        say(f"memory: {server.name}")
        lines.append([server.name, *_measured(server, tool)])
    return f"#### memory: one worker, hello\n\n{table.markdown(HEAD, lines)}"


def _measured(server: Server, tool: Tool) -> list[str]:
    case = next(one for one in CASES if one.name == ("A1" if server.role == ASGI else "W1"))
    app = case.app if server.role == ASGI else HELLO
    served = Served(app, answer=case.floor_answer())
    try:
        with running(server, served, tool.python) as up:
            answer.ask(up.port, case.request("127.0.0.1"))
            rss, pss = tree.memory_mib(up.pid)
            members = tree.family(up.pid)
            largest = max(tree.rss_mib(one) for one in members)
            cells = [str(len(members)), f"{rss:.1f}", f"{pss:.1f}", f"{largest:.1f}"]
            growth = _growth(case, up, tool.quick)
            idle = [_per_idle(case, up, number) for number in IDLE]
            return [*cells, *idle, *growth]
    except (DaemonEnded, BadAnswer, wrk.LoaderFailed) as error:
        return [last_words(error), *[""] * (len(HEAD) - 2)]


def _growth(case: Case, up: Running, quick: bool) -> list[str]:
    """RSS from when it is warm to after many requests."""
    total = 0
    with tempfile.TemporaryDirectory(prefix="raw-") as folder:
        path = Path(folder) / "case.lua"
        path.write_text(wrk.script(case))
        seconds, core = FIRST_SECONDS, Cores.here().loader
        wrk.run(wrk.command(case, up.port, seconds, path, core), seconds)
        before, _ = tree.memory_mib(up.pid)
        for _ in range(1 if quick else MOST_STEPS):
            words = wrk.command(case, up.port, STEP_SECONDS, path, core)
            total += wrk.run(words, STEP_SECONDS).requests
            if total >= REQUESTS:
                break
        after, _ = tree.memory_mib(up.pid)
    return [f"{(after - before) * KIB_PER_MIB:.0f}", str(total)]


def _per_idle(case: Case, up: Running, number: int) -> str:
    """KiB of RSS per connection that has been answered once and is still open."""
    before, _ = tree.memory_mib(up.pid)
    try:
        with _idle(case, up.port, number):
            after, _ = tree.memory_mib(up.pid)
    except BadAnswer as error:
        return last_words(error)
    return f"{(after - before) * KIB_PER_MIB / number:.2f}"


@contextlib.contextmanager
def _idle(case: Case, port: int, number: int) -> Iterator[None]:
    request = case.request("127.0.0.1")
    with contextlib.ExitStack() as stack:
        try:
            for _ in range(number):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10.0))
                one.sendall(request)
                with one.makefile("rb") as stream:
                    answer.check(answer.read(stream), case.body)
        except OSError as error:
            raise BadAnswer(f"{number} idle connections: {error}") from error
        yield
