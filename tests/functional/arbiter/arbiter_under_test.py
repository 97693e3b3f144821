"""A real circusd in a directory of its own, and how tests wait for it.

Nothing here naps: every wait is for a descriptor, with a bound, and shows the
whole log when the bound is over.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import chaussette
from chaussette.control.client import Client
from chaussette.control.protocol import Reply

BOUND = float(os.environ.get("TEST_BOUND", "20"))
"""Seconds that anything may take; an emulated machine needs more (tests/guest/run.py)."""
ROOT = Path(chaussette.__file__).parent.parent
SLEEP = "sleep 1000"


def watcher(name: str, cmd: str, **options: object) -> str:
    """A section; a process counts as started after a moment, so that tests are quick."""
    options = {"ready_after": 0.05, **options}
    lines = [f"{key.replace('__', '.')} = {value}" for key, value in options.items()]
    return "\n".join([f"[watcher:{name}]", f"cmd = {cmd}", *lines, ""])


def listening(name: str, **options: object) -> str:
    """A socket's section: TCP on any free port, unless the options say otherwise."""
    if "path" not in options:
        options = {"host": "127.0.0.1", "port": 0, **options}
    return "\n".join(
        [f"[socket:{name}]", *(f"{key} = {value}" for key, value in options.items()), ""]
    )


class Ended:
    """Waits for the end of processes that are not our children, by pidfd."""

    def __init__(self, *pids: int) -> None:
        self._pidfds = {pid: _pidfd(pid) for pid in pids}

    def wait(self, bound: float = BOUND) -> None:
        for pid, fd in self._pidfds.items():
            if fd is not None:
                ready = select.select([fd], [], [], bound)[0]
                os.close(fd)
                assert ready, f"process {pid} still runs"
        self._pidfds.clear()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _born(pid: int) -> int:
    """When a process was started, in clock ticks since boot; see proc_pid_stat(5)."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


class Running:
    """A program of ours whose output is read as it comes."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHAUSSETTE", "CIRCUS"))}
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**kept, "PYTHONPATH": str(ROOT), **(environ or {})},
            pass_fds=tuple(pass_fds),
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()
        os.set_blocking(self._out, False)
        self.log = ""
        self._seen = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, pattern: str, bound: float = BOUND) -> re.Match[str]:
        """The next place in the output that matches, behind the last one found."""
        deadline = time.monotonic() + bound
        while True:
            if found := re.compile(pattern, re.MULTILINE).search(self.log, self._seen):
                self._seen = found.end()
                return found
            if not self._read(deadline):
                raise AssertionError(f"waited for {pattern!r}; output:\n{self.log}")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_end(self, bound: float = BOUND) -> int:
        """Its exit code; all its output has been read then."""
        fd = os.pidfd_open(self.pid)
        deadline = time.monotonic() + bound
        try:
            while not select.select([fd], [], [], 0)[0]:
                left = deadline - time.monotonic()
                assert left > 0, f"did not end; output:\n{self.log}"
                if self._out in select.select([fd, self._out], [], [], left)[0]:
                    self._take()
        finally:
            os.close(fd)
        while self._take():
            pass
        return self.process.wait()

    def close(self) -> None:
        """Ends it, at once where it does not listen, and its pipe."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                self.wait_end(10)
            except AssertionError:
                self.process.kill()
                self.process.wait()
                raise
            finally:
                self._close_pipe()
        self._close_pipe()

    def _close_pipe(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self, deadline: float) -> bool:
        left = max(0.0, deadline - time.monotonic())
        return bool(select.select([self._out], [], [], left)[0]) and self._take()

    def _take(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            if data := os.read(self._out, 65536):
                self.log += data.decode("utf-8", "replace")
                return True
        return False


class ArbiterUnderTest(Running):
    """circusd with one ini file."""

    def __init__(
        self,
        folder: Path,
        ini: str,
        *,
        flags: Sequence[str] = (),
        prefix: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        circus: str = "",
    ) -> None:
        self.folder = folder
        self.ini = folder / "stack.ini"
        self.ini.write_text(f"[circus]\nruntime_dir = {folder}/run\n{circus}\n{ini}", "utf-8")
        self.endpoint = f"ipc://{folder}/run/control.sock"
        self._client: Client | None = None
        argv = [*prefix, sys.executable, "-m", "chaussette.cli.circusd", *flags, str(self.ini)]
        super().__init__(argv, folder, environ, pass_fds)
        self._born = _born(self.pid)
        # Pids in the log of one in a namespace of its own are not ours to touch.
        self._host = "unshare" not in prefix

    # -- control ----------------------------------------------------------------

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.endpoint, BOUND)
        return self._client

    def ask(self, command: str, **properties: Any) -> Reply:
        return self.client.call(command, properties)

    def must(self, command: str, **properties: Any) -> Mapping[str, Any]:
        reply = self.ask(command, **properties)
        assert reply.ok, f"{command}: {reply.reason}\n{self.log}"
        return reply.fields

    def pids(self, name: str) -> list[int]:
        return list(self.must("list", name=name)["pids"])

    def status(self, name: str) -> str:
        """Circus puts a watcher's state where other replies have `ok`."""
        return str(self.must("status")["statuses"][name])

    def failure(self, name: str) -> str:
        return str(self.must("status")["failures"].get(name, ""))

    def settled(self, *names: str) -> list[int]:
        """Waits until the watchers are up; the pids of the first."""
        for name in names:
            self.must("start", name=name, waiting=True)
        return self.pids(names[0])

    def port(self, name: str) -> int:
        found = [one for one in self.must("listsockets")["sockets"] if one["name"] == name]
        return int(found[0]["port"])

    # -- the log ------------------------------------------------------------------

    def started(self, name: str) -> int:
        """The pid of the next process that the log says was started."""
        return int(self.wait(rf"{name}: started process (\d+)")[1])

    def children(self) -> list[int]:
        """Processes that the log names, that run, and that are younger than the arbiter."""
        named = {int(pid) for pid in re.findall(r": started process (\d+)", self.log)}
        return [pid for pid in named if alive(pid) and _born(pid) >= self._born and self._host]

    def close(self) -> None:
        """Ends it; nothing that it started may be left."""
        if self._client is not None:
            self._client.close()
        try:
            super().close()
        finally:
            left = self.children()
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        assert not left, f"still running: {left}\n{self.log}"


class Arbiters:
    """Starts arbiters in one directory and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[Running] = []

    def __call__(self, *sections: str, **options: Any) -> ArbiterUnderTest:
        """A circusd that has been started, ready or not."""
        folder = options.pop("folder", self.folder)
        one = ArbiterUnderTest(folder, "\n".join(sections), **options)
        self._open.append(one)
        return one

    def ready(self, *sections: str, **options: Any) -> ArbiterUnderTest:
        """A circusd whose control endpoint answers."""
        one = self(*sections, **options)
        one.wait("control endpoint at ")
        return one

    def run(self, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Running:
        one = Running(argv, self.folder, environ)
        self._open.append(one)
        return one

    def script(self, name: str, text: str) -> str:
        """A Python program in the directory; the command line that runs it."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        path.chmod(0o755)
        return f"{sys.executable} -u {path}"

    def shell(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        path.chmod(0o755)
        return str(path)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            for one in self._open:
                stack.callback(one.close)


def http_get(port: int, path: str = "/", host: str = "127.0.0.1") -> tuple[int, bytes]:
    """One request on a connection of its own."""
    with socket.create_connection((host, port), timeout=BOUND) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@contextlib.contextmanager
def fifo(path: Path) -> Iterator[int]:
    """A fifo that a process under test may open for writing; the end to read from."""
    os.mkfifo(path, 0o666)
    path.chmod(0o666)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)
