"""What grow and shrink do to the waiting time: load comes, workers rise; it goes, they fall.

    python benchmarks/scaling.py [--seconds 20] [--max 4] [--pause 50] [--fixed]

One watcher under circusd (waitress, one thread) starts with one worker; each request takes
`--pause` milliseconds. Visitors come at fixed times, whether or not earlier ones have been
answered, so that waiting is not hidden by clients that wait; first few, then many, then
few. Latency counts from when a request was due. `--fixed` leaves scaling off, to compare.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APP = """
import time
def application(environ, start_response):
    time.sleep({pause})
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
INI = """
[circus]
runtime_dir = {folder}/run
[socket:web]
host = 127.0.0.1
port = 0
[watcher:web]
cmd = {python} -m chaussette --fd $(circus.sockets.web) --log-level error slow.application
use_sockets = True
copy_env = True
scale_up_after = 2
scale_down_after = 5
scale_interval = 0.5
"""


@dataclass(frozen=True)
class Visit:
    """One request: when it was due, how long it took from then, and what went wrong."""

    due: float
    latency: float
    failure: str = ""


class Crowd:
    """Visitors, one connection each, that are sent in at set times."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._serve) for _ in range(most)]
        self.visits: list[Visit] = []
        for thread in self._threads:
            thread.start()

    def send(self, rate: float, seconds: float) -> None:
        """So many per second for so long; returns when the last was sent."""
        began = time.monotonic()
        tick = threading.Event()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            tick.wait(max(0.0, due - time.monotonic()))
            self._due.put(due)

    def close(self) -> None:
        """Waits for all answers."""
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (due := self._due.get()) is not None:
            failure = self._visit()
            self.visits.append(Visit(due, time.monotonic() - due, failure))

    def _visit(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return "" if (answer.status, answer.read()) == (200, b"ok") else str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()


class Stack:
    """circusd, with what its log says and when."""

    def __init__(self, folder: Path, extra: str, pause: float) -> None:
        (folder / "slow.py").write_text(APP.format(pause=pause), "utf-8")
        ini = folder / "stack.ini"
        ini.write_text(INI.format(folder=folder, python=sys.executable) + extra, "utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaussette.cli.circusd", str(ini)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.changes: list[tuple[float, int, str]] = []
        self.port = 0
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._ready.wait(30):
            self.close()
            raise SystemExit("circusd does not come up")

    def close(self) -> None:
        """Ends it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"socket web at http://127.0.0.1:(\d+)", line):
                self.port = int(found[1])
            if "is ready" in line:
                self._ready.set()
            if found := re.search(r"web: (?:grow|shrink) from \d+ to (\d+) processes: (.*)", line):
                self.changes.append((time.monotonic(), int(found[1]), found[2]))


def main() -> None:
    """Runs one load and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="of much load")
    parser.add_argument("--max", type=int, default=4, help="max_processes")
    parser.add_argument("--pause", type=float, default=50, help="milliseconds per request")
    parser.add_argument("--few", type=float, default=4, help="visitors per second before and after")
    parser.add_argument("--many", type=float, default=40, help="visitors per second meanwhile")
    parser.add_argument("--fixed", action="store_true", help="do not scale")
    asked = parser.parse_args()
    extra = "" if asked.fixed else f"max_processes = {asked.max}\n"
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        stack = Stack(Path(name), extra, asked.pause / 1000)
        try:
            crowd = Crowd(stack.port, 400)
            began = time.monotonic()
            crowd.send(asked.few, 5)
            crowd.send(asked.many, asked.seconds)
            crowd.send(asked.few, 25)
            crowd.close()
        finally:
            stack.close()
    _print(crowd.visits, stack.changes, began)


def _print(visits: list[Visit], changes: list[tuple[float, int, str]], began: float) -> None:
    print("  span        workers  visits   median      p99    worst  (ms)")
    span = 2.5
    by_span = itertools.groupby(
        sorted(visits, key=lambda one: one.due), key=lambda one: int((one.due - began) / span)
    )
    for number, group in by_span:
        found = sorted(one.latency * 1000 for one in group)
        until = began + (number + 1) * span
        count = [1, *(count for when, count, _ in changes if when <= until)][-1]
        print(
            f"  {number * span:4.1f}-{(number + 1) * span:4.1f} s  {count:5}  {len(found):7}"
            f"  {found[len(found) // 2]:7.0f}  {found[-(-len(found) * 99 // 100) - 1]:7.0f}"
            f"  {found[-1]:7.0f}"
        )
    for when, count, reason in changes:
        print(f"  {when - began:5.1f} s: {count} processes: {reason}")
    failures = [one.failure for one in visits if one.failure]
    print(f"  {len(visits)} requests, {len(failures)} lost {failures[:3] or ''}")


if __name__ == "__main__":
    main()
