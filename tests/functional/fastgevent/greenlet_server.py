"""Servers of greenlet_apps."""

from __future__ import annotations

from pathlib import Path

from backend_choice import need
from backend_server import Listener, Nursery, Server

HERE = Path(__file__).parent


class GreenletServer(Server):
    """A worker that serves an application of greenlet_apps, or of another module."""

    def _command(self, backend: str, app: str, fds: list[int], args: tuple[str, ...]) -> list[str]:
        command = super()._command(backend, app, fds, args)
        target = app if ":" in app else f"greenlet_apps:{app}"
        return [*command[:-1], "--python-path", str(HERE), target]

    def memory(self) -> int:
        """Bytes that are its own and in memory now."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        parts = dict(line.split(":", 1) for line in text.splitlines()[1:])
        return sum(int(parts[key].split()[0]) for key in ("Private_Clean", "Private_Dirty")) * 1024


class Nest(Nursery):
    """Makes such servers."""

    def serve_greenlets(self, app: str, *args: str) -> GreenletServer:
        """A worker that says it is ready."""
        need("fastgevent")
        listeners: list[Listener] = [self.listen()]
        server = GreenletServer(self.folder, self.gate, "fastgevent", app, listeners, *args)
        self._closers.append(server)
        server.wait_notice("READY")
        return server
