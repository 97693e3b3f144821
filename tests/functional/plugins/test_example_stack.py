"""examples/stack/: one ini that runs an API, consumers and a real Redis; real jobs through all."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from arbiter_under_test import BOUND, ROOT, Arbiters, Running

from chaussette.control.client import Client

PNG = b"\x89PNG\r\n\x1a\n"


class Stack:
    """The example, in a copy, on a port of its own."""

    def __init__(self, arbiters: Arbiters) -> None:
        self.place = arbiters.folder / "stack"
        ignored = shutil.ignore_patterns("__pycache__", "run", "*.log", "*.png", "*.sock")
        shutil.copytree(ROOT / "examples" / "stack", self.place, ignore=ignored)
        ini = self.place / "stack.ini"
        ini.write_text(ini.read_text().replace("port = 8080", "port = 0"))
        argv = [sys.executable, "-m", "chaussette.cli.circusd", "stack.ini"]
        self.arbiter = Running(argv, self.place)
        try:
            self.arbiter.wait("control endpoint at ")
            self.port = int(self.arbiter.wait(r"socket api at http://127.0.0.1:(\d+)")[1])
            self.client = Client(f"ipc://{self.place}/var/run/control.sock", BOUND)
            for name in ("redis", "insight_api", "insight_consumer"):
                assert self.client.call("start", {"name": name, "waiting": True}).ok
        except BaseException:
            self.arbiter.close()
            raise

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def submit(self, text: str) -> int:
        status, body = self.ask("POST", "/documents", text.encode())
        assert status == 202
        return int(json.loads(body)["document"])

    def wait_done(self, number: int) -> dict[str, Any]:
        """Asks until the document is done: each question is a round trip, no nap is needed."""
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            found = dict(json.loads(self.ask("GET", f"/documents/{number}")[1]))
            if found["state"] == "done":
                return found
        raise AssertionError(f"document {number} is not done: {found}\n{self.arbiter.log}")

    def pids(self, name: str) -> list[int]:
        return list(self.client.call("list", {"name": name}).fields["pids"])

    def close(self) -> None:
        self.client.close()
        self.arbiter.close()


def test_real_jobs_through_real_redis(arbiters: Arbiters, redis_server: str) -> None:
    del redis_server  # it is there
    (pytest.importorskip if not os.environ.get("CI") else __import__)("redis")
    stack = Stack(arbiters)
    try:
        numbers = [stack.submit(f"document {n}\n" + "some words here\n" * n) for n in range(30)]
        for index, number in enumerate(numbers):
            found = stack.wait_done(number)
            assert found["words"] == 2 + 3 * index
            status, picture = stack.ask("GET", str(found["preview"]))
            assert status == 200
            assert picture.startswith(PNG)
        # A consumer dies in the middle of a job: the job is done by its successor.
        before = stack.pids("insight_consumer")
        assert stack.wait_done(stack.submit("crash me"))["tries"] == 2
        assert stack.pids("insight_consumer") != before
        # Redis is restarted, and everybody waits for it.
        assert stack.client.call("restart", {"name": "redis", "waiting": True}).ok
        assert stack.wait_done(stack.submit("after the restart"))["words"] == 3
        log = Path(stack.place / "var" / "insight_consumer.log").read_text()
        assert "was left behind" in log
        assert (stack.place / "var" / "redis.log").stat().st_size
        stack.arbiter.send(signal.SIGTERM)
        assert stack.arbiter.wait_end() == 0
    finally:
        stack.close()
