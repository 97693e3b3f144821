"""uneven: who waits behind a slow request while a sibling has nothing to do.

Nine of ten requests take 1 ms, one takes 50 ms. Four workers with one thread
each, 32 visitors on a connection each that rest between requests; directly, with
`Connection: close` (one queue for all workers: the best that there can be), and
through nginx's pool of upstream connections. `busy` computes where `sleeping` sleeps.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ops.daemon import Daemon, DaemonEnded, free_port
from benchmarks.raw import table
from benchmarks.raw.figures import percentile
from benchmarks.raw.running import Served, last_words, pinned, running, say, wait_until_accepting
from benchmarks.raw.servers import Server
from benchmarks.raw.tool import Tool
from benchmarks.raw.visitors import Crowd, Seen, visit

NAMES = ("native", "granian", "gunicorn-gthread", "uwsgi-http-socket")
WORKERS = 4
THINK = {"sleeping": 0.080, "busy": 0.150}
"""Seconds of rest: about 55 % load asleep; about 30 % computing, which is 1.2 cores of two."""
SECONDS, QUICK_SECONDS = 20.0, 3.0
WAYS = ("kept", "close", "nginx")
MS = 1e3
NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 32; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


def measure(tool: Tool) -> str:
    """The table: each server with each application each way."""
    lines = []
    for server in tool.pick(NAMES):
        if not server.many:
            say(f"uneven: {server.name} has no way to run {WORKERS} workers")
            continue
        for app, think in THINK.items():
            lines += _measured(server, app, think, tool)
    head = ("server", "app", "way", "req/s", "mean ms", "p50", "p99", "fast p90", "fast p99",
            "errors")  # fmt: skip
    about = f"#### uneven: {WORKERS} workers, 32 visitors"
    return f"{about}\n\n{table.markdown(head, lines)}"


def _measured(server: Server, app: str, think: float, tool: Tool) -> list[list[str]]:
    served = Served(f"rawwsgi:uneven_{app}", workers=WORKERS, pin=False)
    lines = []
    seconds = QUICK_SECONDS if tool.quick else SECONDS
    try:
        with running(server, served, tool.python) as up:
            for way in WAYS:
                say(f"uneven: {server.name}, {app}, {way}")
                with _door(way, up.port) as port:
                    if port is None:
                        lines.append([server.name, app, way, "nginx is not here", *[""] * 6])
                        continue
                    close = way == "close"
                    visit(Crowd(port, think=think, seconds=1.0, close=close))
                    seen = visit(Crowd(port, think=think, seconds=seconds, close=close))
                lines.append([server.name, app, way, *_cells(seen, seconds)])
    except DaemonEnded as error:
        lines.append([server.name, app, last_words(error), *[""] * 7])
    return lines


def _cells(seen: Seen, seconds: float) -> list[str]:
    if not seen.visits:
        return ["none", *[""] * 5, str(seen.errors)]
    times = [one.seconds * MS for one in seen.visits]
    fast = [one.seconds * MS for one in seen.visits if not one.slow] or times
    values = (
        len(times) / seconds, statistics.fmean(times), percentile(times, 0.50),
        percentile(times, 0.99), percentile(fast, 0.90), percentile(fast, 0.99),
    )  # fmt: skip
    return [*(f"{value:.1f}" for value in values), str(seen.errors)]


@contextlib.contextmanager
def _door(way: str, upstream: int) -> Iterator[int | None]:
    """The port that visitors go to; None when it needs nginx and there is none."""
    if way != "nginx":
        yield upstream
        return
    binary = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if binary is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="raw-") as name:
        folder, port = Path(name), free_port()
        text = NGINX.format(folder=folder, upstream=upstream, port=port)
        (folder / "nginx.conf").write_text(text)
        words = [*pinned(None, last_words="TERM"), binary, "-c", str(folder / "nginx.conf"),
                 "-p", str(folder), "-e", str(folder / "error.log")]  # fmt: skip
        with Daemon(words, folder) as daemon:
            wait_until_accepting(daemon, port)
            yield port
