"""A real `python -m chaussette` on inherited sockets, and what a test may wait for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import backend_apps
from backend_client import WAIT, Wire

import chaussette
from chaussette.notify import ENVIRONMENT as NOTIFY
from chaussette.notify import read_fields
from chaussette.scoreboard import ENVIRONMENT as SCOREBOARD
from chaussette.scoreboard import Scoreboard, SlotView

HERE = Path(__file__).parent
CHECKOUT = Path(chaussette.__file__).parent.parent
GRACEFUL_TIMEOUT = 10


def wait_readable(fd: int, what: str, seconds: float = WAIT) -> None:
    """Blocks until `fd` is readable; a test that waits in vain fails and says for what."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(seconds * 1000), f"no {what} within {seconds} s"


class Gate:
    """The test's end of `backend_apps.pass_gate`."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(self.path)
        self._socket.listen(128)
        self._held: list[socket.socket] = []

    def wait(self, name: str) -> socket.socket:
        """Waits until the application is at this point; closing what is returned lets it go on."""
        said, arrived = self.wait_any(name)
        assert said == name
        return arrived

    def wait_any(self, name: str = "any point") -> tuple[str, socket.socket]:
        """The same for whoever comes first, with its name."""
        wait_readable(self._socket.fileno(), f"application at {name!r}")
        arrived, _ = self._socket.accept()
        self._held.append(arrived)
        arrived.settimeout(WAIT)
        with arrived.makefile("rb") as stream:
            return stream.readline().decode().rstrip("\n"), arrived

    def is_quiet(self) -> bool:
        """Whether nobody is waiting to be let in."""
        return not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        """Lets everybody go."""
        for each in [*self._held, self._socket]:
            each.close()


class Listener:
    """A listening socket that the test owns, as an arbiter would."""

    def __init__(self, family: int = socket.AF_INET, path: str = "") -> None:
        self.family = family
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_UNIX:
            self.socket.bind(path)
        else:
            self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.listen(128)
        self._wires: list[Wire] = []

    def connect(self) -> Wire:
        """A new connection to whoever serves the socket; closed with it at the latest."""
        self._wires.append(Wire(self.socket.getsockname(), self.family))
        return self._wires[-1]

    def adopt(self, wire: Wire) -> None:
        """Closes this one, too, in the end."""
        self._wires.append(wire)

    def close(self) -> None:
        """The end of the socket and of all connections."""
        for wire in self._wires:
            wire.socket.close()
        self.socket.close()


class Server:
    """One worker process. Its end is awaited, and its whole process group must be gone."""

    def __init__(
        self,
        folder: Path,
        gate: Gate,
        backend: str,
        app: str,
        listeners: list[Listener],
        *args: str,
    ) -> None:
        self.listeners = listeners
        self._log = folder / f"log-{time.monotonic_ns()}"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(folder / f"notify-{time.monotonic_ns()}")
        self._notify.bind(address)
        self._board = Scoreboard.create(1)
        fds = [each.socket.fileno() for each in listeners]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command(backend, app, fds, args),
                env=self._environment(gate, address),
                pass_fds=[*fds, self._board.fd, *self._inherited()],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pidfd = os.pidfd_open(self.process.pid)

    def _command(self, backend: str, app: str, fds: list[int], args: tuple[str, ...]) -> list[str]:
        binds = ["--fd", str(fds[0])]
        if len(fds) > 1:
            binds = [word for fd in fds for word in ("--bind", f"fd://{fd}")]
        return [
            *(sys.executable, "-m", "chaussette", *binds, "--backend", backend),
            *("--graceful-timeout", str(GRACEFUL_TIMEOUT), "--python-path", str(HERE)),
            *(*args, f"backend_apps:{app}"),
        ]

    def _environment(self, gate: Gate, notify: str) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONFAULTHANDLER": "1",
            NOTIFY: notify,
            SCOREBOARD: self._board.environment(0),
            backend_apps.GATE: gate.path,
        }

    def _inherited(self) -> list[int]:
        """Further descriptors that it gets."""
        return []

    def connect(self) -> Wire:
        """A new connection on the first socket."""
        return self.listeners[0].connect()

    def wait_notice(self, field: str) -> None:
        """Waits until the worker says this: READY or STOPPING."""
        poll = select.poll()
        poll.register(self._notify, select.POLLIN)
        poll.register(self.pidfd, select.POLLIN)
        while True:
            ready = poll.poll(WAIT * 1000)
            assert ready, f"no {field} within {WAIT} s\n{self.log()}"
            assert (self._notify.fileno(), select.POLLIN) in ready, f"it ended\n{self.log()}"
            if field in read_fields(self._notify.recv(65536)):
                return

    def terminate(self) -> None:
        """Tells it to drain, and waits until it has understood."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)
        self.wait_notice("STOPPING")

    def wait_exit(self, seconds: float = GRACEFUL_TIMEOUT + 5) -> int:
        """Waits for its end; the exit status."""
        wait_readable(self.pidfd, f"end of the worker\n{self.log()}", seconds)
        return self.process.wait()

    def slot(self) -> SlotView:
        """What the worker says of itself."""
        return self._board.slot(0).read()

    def wait_slot(self, holds: Callable[[SlotView], bool]) -> SlotView:
        """Waits until the slot is so; memory has no descriptor, so this looks time and again."""
        end = time.monotonic() + WAIT
        while not holds(view := self.slot()):
            assert time.monotonic() < end, f"{view}\n{self.log()}"
            select.select([self.pidfd], [], [], 0.02)
        return view

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """Kills what is left of it and gives everything back; a leftover child is an error."""
        if self.process.poll() is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            wait_readable(self.pidfd, "death")
        self.process.wait()
        os.close(self.pidfd)
        os.close(self._board.fd)
        self._notify.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"it left a child behind\n{self.log()}")


class Nursery:
    """Makes servers and sockets for one test, and ends all of them with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = Gate(folder)
        self._closers: list[Server | Listener] = []

    def listen(self, family: int = socket.AF_INET) -> Listener:
        """A new listening socket."""
        listener = Listener(family, str(self.folder / f"web-{len(self._closers)}"))
        self._closers.append(listener)
        return listener

    def serve(self, backend: str, app: str, *args: str, on: list[Listener] | None = None) -> Server:
        """A worker that says it is ready."""
        server = self.start(backend, app, *args, on=on)
        server.wait_notice("READY")
        return server

    def start(self, backend: str, app: str, *args: str, on: list[Listener] | None = None) -> Server:
        """A worker that may or may not come up."""
        listeners = on or [self.listen()]
        server = Server(self.folder, self.gate, backend, app, listeners, *args)
        self._closers.append(server)
        return server

    def close(self) -> None:
        """Ends everything, the last first."""
        self.gate.close()
        with contextlib.ExitStack() as stack:
            for each in self._closers:
                stack.callback(each.close)


@contextlib.contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """A nursery that ends with the block."""
    made = Nursery(folder)
    try:
        yield made
    finally:
        made.close()
