"""Servers of wire_apps, and a client that shows every byte that it got."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backend_client import WAIT, Response, Wire
from backend_server import Gate, Listener, Nursery, Server

from chaussette import handover

HERE = Path(__file__).parent
BACKENDS = ("native", "fastgevent")
"""Those that keep all of these rules."""


class WireServer(Server):
    """A worker that serves an application of wire_apps; `queue` is what siblings share."""

    queue: handover.Queue | None = None

    def _inherited(self) -> list[int]:
        return list(self.queue.descriptors) if self.queue else []

    def _environment(self, gate: Gate, notify: str) -> dict[str, str]:
        more = {handover.ENVIRONMENT: self.queue.environment()} if self.queue else {}
        return {**super()._environment(gate, notify), **more}

    def _command(self, backend: str, app: str, fds: list[int], args: tuple[str, ...]) -> list[str]:
        command = super()._command(backend, app, fds, args)
        target = app if ":" in app else f"wire_apps:{app}"
        return [*command[:-1], "--python-path", str(HERE), target]

    def seen(self) -> list[dict[str, Any]]:
        """The requests that the application got since this was last asked, in their order."""
        with self.connect() as wire:
            found: list[dict[str, Any]] = json.loads(wire.get("/seen").body)
        return found

    def closed(self) -> list[str]:
        """The names of the bodies that were closed since this was last asked."""
        with self.connect() as wire:
            found: list[str] = json.loads(wire.get("/closed").body)
        return found

    def is_well(self) -> bool:
        """Whether it answers a new connection."""
        with self.connect() as wire:
            return wire.get("/hello").body == b"hello"

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes that are its own and in memory now."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        parts = dict(line.split(":", 1) for line in text.splitlines()[1:])
        return sum(int(parts[key].split()[0]) for key in ("Private_Clean", "Private_Dirty")) * 1024


class Nest(Nursery):
    """Makes such servers; those of one test share `queue`, once it is set."""

    queue: handover.Queue | None = None

    def start(
        self, backend: str, app: str, *args: str, on: list[Listener] | None = None
    ) -> WireServer:
        """A worker that may or may not come up."""
        listeners = on or [self.listen()]
        server = WireServer.__new__(WireServer)
        server.queue = self.queue
        server.__init__(self.folder, self.gate, backend, app, listeners, *args)  # type: ignore[misc]
        self._closers.append(server)
        return server

    def serve(
        self, backend: str, app: str, *args: str, on: list[Listener] | None = None
    ) -> WireServer:
        """A worker that says it is ready."""
        server = self.start(backend, app, *args, on=on)
        server.wait_notice("READY")
        return server


class Shared:
    """One server for each backend, number of threads and family of sockets."""

    def __init__(self, folder: Path, app: str = "app") -> None:
        self._folder = folder
        self._app = app
        self._nests: dict[tuple[str, int, int], tuple[Nest, WireServer]] = {}

    def get(self, backend: str, threads: int = 1, family: int = socket.AF_INET) -> WireServer:
        """Starts it when it is first wanted; what the tests before saw is forgotten."""
        key = (backend, threads, family)
        if key not in self._nests:
            folder = self._folder / f"{backend}-{threads}-{family}"
            folder.mkdir()
            nest = Nest(folder)
            server = nest.serve(
                backend,
                self._app,
                "--threads",
                str(threads),
                on=[nest.listen(socket.AddressFamily(family))],
            )
            self._nests[key] = (nest, server)
        server = self._nests[key][1]
        server.seen()
        server.closed()
        return server

    def close(self) -> None:
        """Ends all of them."""
        for nest, _ in self._nests.values():
            nest.close()


def send_apart(wire: Wire, pieces: Iterable[bytes]) -> None:
    """Sends each piece once the server has read the one before it.

    On a unix socket SIOCOUTQ tells what the other side has not read yet (unix(7)); it has
    no event, so this looks until it is so.
    """
    end = time.monotonic() + WAIT
    for piece in pieces:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.send(piece)
        while wire.socket.family == socket.AF_UNIX and unread(wire.socket):
            assert time.monotonic() < end, "the server does not read"
            if hung_up(wire.socket):
                return
            os.sched_yield()


def unread(end: socket.socket) -> int:
    """Bytes on their way."""
    number: int = struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, b"\0" * 4))[0]
    return number


def hung_up(end: socket.socket) -> bool:
    """Whether the other side has closed."""
    poll = select.poll()
    poll.register(end, select.POLLRDHUP)
    return bool(poll.poll(0))


def read_all(wire: Wire, methods: Iterable[str]) -> list[Response]:
    """The responses to these methods, in their order."""
    return [wire.read(method) for method in methods]


def wait_hangup(wire: Wire, what: str, seconds: float = WAIT) -> None:
    """Waits until the server has closed or reset, without reading anything."""
    poll = select.poll()
    poll.register(wire.socket, select.POLLRDHUP)
    assert poll.poll(seconds * 1000), f"{what}: still open after {seconds} s"
