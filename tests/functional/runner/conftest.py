"""Real workers: each is a process with a notify socket, and is killed and reaped at the end.

Nothing here naps: every wait is for a descriptor and has a bound.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import chaussette
from chaussette.notify import read_fields

BOUND = 30.0
ROOT = Path(chaussette.__file__).parent.parent

APP = """
import os, socket

def wait_at_the_gate():
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect("\\0" + os.environ["GATE"])
        gate.recv(1)  # until the test closes its end

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        wait_at_the_gate()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


class Worker:
    """One `chaussette` process, and what it says."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        fds: Sequence[int] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"chaussette-test-{uuid.uuid4().hex}"
        self.told.bind(f"\0{name}")
        base = {
            key: value for key, value in os.environ.items() if not key.startswith("CHAUSSETTE_")
        }
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            start_new_session=True,
            pass_fds=fds,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**base, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": f"@{name}", **(environ or {})},
        )
        assert self.process.stderr is not None
        self._stderr = self.process.stderr.fileno()
        self.said = ""

    def wait_told(self, field: str) -> dict[str, str]:
        """The next datagram that has the field."""
        deadline = time.monotonic() + BOUND
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while True:
                left = max(0.0, deadline - time.monotonic())
                readable = select.select([self.told, pidfd], [], [], left)[0]
                if self.told not in readable:
                    raise AssertionError(f"never told {field}; it said:\n{self.everything()}")
                fields = read_fields(self.told.recv(65536))
                if field in fields:
                    return fields
        finally:
            os.close(pidfd)

    def wait_ready(self) -> None:
        self.wait_told("READY")

    def wait_said(self, text: str) -> str:
        """Reads standard error until the text has come; what came up to its end."""
        deadline = time.monotonic() + BOUND
        while text not in self.said:
            left = max(0.0, deadline - time.monotonic())
            chunk = (
                os.read(self._stderr, 65536)
                if select.select([self._stderr], [], [], left)[0]
                else b""
            )
            assert chunk, f"never said {text!r}, but:\n{self.said}"
            self.said += chunk.decode()
        before, _, self.said = self.said.partition(text)
        return before + text

    def wait_exit(self) -> int:
        pidfd = os.pidfd_open(self.process.pid)
        try:
            assert select.select([pidfd], [], [], BOUND)[0], f"runs still:\n{self.everything()}"
        finally:
            os.close(pidfd)
        return self.process.wait()

    def everything(self) -> str:
        """What it said in all; ends it if it still runs."""
        self.process.kill()
        assert self.process.stderr is not None
        return self.said + self.process.stderr.read().decode()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # its group: a reloader has a child
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(BOUND)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.told.close()


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `chaussette FLAGS` in a directory that holds site.py's application as `demo`."""
    workers: list[Worker] = []
    (tmp_path / "demo.py").write_text(APP)

    def run(*argv: str, command: Sequence[str] = ("-m", "chaussette"), **options: object) -> Worker:
        words = [*command, *argv]
        worker = Worker(words, tmp_path, **options)  # type: ignore[arg-type]
        workers.append(worker)
        return worker

    yield run
    for worker in workers:
        worker.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A listening socket of the test's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


class Gate:
    """Where a process waits, once it has come there, until the test lets it go."""

    def __init__(self) -> None:
        self.name = f"chaussette-gate-{uuid.uuid4().hex}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(BOUND)
        self.listener.bind(f"\0{self.name}")
        self.listener.listen()
        self._arrived: list[socket.socket] = []

    def wait_arrival(self) -> None:
        self._arrived.append(self.listener.accept()[0])

    def open(self) -> None:
        for each in self._arrived:
            each.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A request to /slow waits at it."""
    made = Gate()
    yield made
    made.open()
    made.listener.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=BOUND)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(BOUND)
        self.sock.connect(self._path)


def fetch(port: int, path: str = "/", host: str = "127.0.0.1") -> bytes:
    """The body of a 200 answer."""
    return read_answer(http.client.HTTPConnection(host, port, timeout=BOUND), path)


def fetch_unix(file: str, path: str = "/") -> bytes:
    """The same over a unix socket."""
    return read_answer(UnixConnection(file), path)


def read_answer(connection: http.client.HTTPConnection, path: str) -> bytes:
    """The body of a 200 answer on this connection, which is closed."""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


def port_of(line: str) -> int:
    """The port in a worker's startup line."""
    return int(line.split("http://")[1].split(" ")[0].rpartition(":")[2])


@pytest.fixture
def http_get() -> Callable[..., bytes]:
    return fetch


@pytest.fixture
def http_get_unix() -> Callable[..., bytes]:
    return fetch_unix
