"""Servers of the applications in this folder."""

from __future__ import annotations

from pathlib import Path

from backend_server import Nursery, Server

HERE = Path(__file__).parent


class FrameworkServer(Server):
    """A worker that serves an application of this folder."""

    def _command(self, backend: str, app: str, fds: list[int], args: tuple[str, ...]) -> list[str]:
        command = super()._command(backend, app, fds, args)
        return [*command[:-1], "--python-path", str(HERE), app]


class Nest(Nursery):
    """Makes such servers."""

    def serve_app(self, app: str, *args: str, backend: str = "native") -> FrameworkServer:
        """A worker that says it is ready."""
        listener = self.listen()
        server = FrameworkServer(self.folder, self.gate, backend, app, [listener], *args)
        self._closers.append(server)
        server.wait_notice("READY")
        return server
