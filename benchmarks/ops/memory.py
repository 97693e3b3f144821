"""pss: what one worker weighs, for the example site and for a bare hello."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.ops import managers, peers, proc
from benchmarks.ops.daemon import Daemon, DaemonEnded, free_port
from benchmarks.ops.settings import Options, say, scratch
from chaussette.backends import registry
from chaussette.backends.base import Can

SITE = peers.ROOT / "examples" / "django_site"
PAGES = ("/", "/numbers/", "/events.csv")
REQUESTS = 300
WORKERS = 2
TIMEOUT = 30.0
Row = dict[str, Any]
HELLO_ASGI = """\
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""


def measure_pss(options: Options) -> list[Row]:
    """MiB of a worker (the mean of two) after some hundred requests."""
    rows: list[Row] = []
    for backend in options.backends or tuple(sorted(registry.names())):
        found = registry.probe(backend)
        if not found.installed or found.declaration is None:
            continue
        is_wsgi = Can.WSGI in found.declaration.can
        row: Row = {"backend": backend}
        try:
            hello = _weigh(backend, "hello", is_wsgi)
            site = _weigh(backend, "site", is_wsgi)
        except (DaemonEnded, OSError, RuntimeError, http.client.HTTPException) as error:
            rows.append({**row, "error": str(error)[-160:]})
            say(f"pss {backend}: {error}")
            continue
        for name, weights in (("hello", hello), ("site", site)):
            row |= {f"{name}_pss_mib": weights[1], f"{name}_rss_mib": weights[0]}
        rows.append(row)
        say(f"pss {backend}: hello {hello[1]} MiB, site {site[1]} MiB")
    return rows


def _weigh(backend: str, what: str, is_wsgi: bool) -> tuple[float, float]:
    with scratch() as folder:
        port = free_port()
        env = {"TOWNHALL_VAR": str(folder / "var"), "DJANGO_SETTINGS_MODULE": "townhall.settings"}
        if what == "site":
            app = "townhall.wsgi:application" if is_wsgi else "townhall.asgi:application"
            directory = _site(folder, env)
            pages = PAGES
        else:
            app = "chaussette.hello:application" if is_wsgi else "hello:asgi"
            (folder / "hello.py").write_text(HELLO_ASGI)
            directory, pages = folder, ("/",)
        sections = managers.web_sections(backend, app, port, WORKERS, directory)
        with managers.Circusd(folder, sections, env=env) as daemon:
            _visit(daemon, port, pages)
            weights = [proc.memory_mib(pid) for pid in _workers(daemon)]
        middle = [round(sum(one) / len(one), 1) for one in zip(*weights, strict=True)]
        return middle[0], middle[1]


def _site(folder: Path, env: dict[str, str]) -> Path:
    """A copy of the example site with data."""
    place = folder / "site"
    shutil.copytree(SITE, place, ignore=shutil.ignore_patterns("var", "__pycache__"))
    for words in ("migrate", "seed", "collectstatic --noinput"):
        subprocess.run(
            [sys.executable, "manage.py", *words.split(), "--verbosity", "0"],
            cwd=place, env={**os.environ, **env}, check=True, timeout=120,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    return place


def _visit(daemon: Daemon, port: int, pages: tuple[str, ...]) -> None:
    """Some hundred requests, each on a connection of its own so that all workers get some."""
    _wait_port(daemon, port)
    for number in range(REQUESTS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.request("GET", pages[number % len(pages)], headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{pages[number % len(pages)]}: {answer.status}\n{daemon.log()}")


def _wait_port(daemon: Daemon, port: int) -> None:
    """Until it is bound; the queue of the socket takes care of the rest."""
    while True:
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT).connect()
        except ConnectionRefusedError:
            daemon.rest(0.1)
        else:
            return


def _workers(daemon: Daemon) -> list[int]:
    assert isinstance(daemon, managers.Circusd)
    return daemon.pids("web")
