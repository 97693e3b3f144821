"""WSGI applications that wait in gevent's greenlets, and one that watches gevent's loop."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gevent

sys.path.insert(0, str(Path(__file__).parent))

from rawwsgi import Environ, Start, hello

SLEEP = 0.05
TICK = 0.001
_late: list[float] = []
_tickers: list[Any] = []


def sleeping(environ: Environ, start: Start) -> Iterable[bytes]:
    """Waits 50 ms, as for a database."""
    gevent.sleep(SLEEP)
    return hello(environ, start)


def ticker(environ: Environ, start: Start) -> Iterable[bytes]:
    """Hello, beside a greenlet that wakes up every millisecond; /late tells how late it was."""
    if environ["PATH_INFO"] != "/late":
        return hello(environ, start)
    if not _tickers:
        _tickers.append(gevent.spawn(_tick))
    report = json.dumps(_late).encode()
    _late.clear()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(report)))])
    return [report]


def _tick() -> None:
    while True:
        due = time.monotonic() + TICK
        gevent.sleep(TICK)
        _late.append(time.monotonic() - due)
