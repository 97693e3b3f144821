"""The Python API of Chaussette 1.3: `make_server(...).serve_forever()`.

For programs that bring their own process: no signal is caught, nothing is
logged to a file, no hook is run. The command's worker is in runner.py.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from chaussette import application, listener
from chaussette.application import Application
from chaussette.backends import registry
from chaussette.backends.base import Task
from chaussette.scoreboard import private_slot
from chaussette.settings.server import ServerSettings


class Server:
    """One application on its sockets, bound from the start."""

    def __init__(
        self, app: Application, settings: ServerSettings, logger: logging.Logger | None = None
    ) -> None:
        self._logger = logger or logging.getLogger("chaussette")
        self._listeners = listener.Listeners()
        name = settings.backend or registry.default_for(app.interface)
        backend = registry.get(name)
        self._listeners.open(listener.plan(settings, {}, os.getpid()), settings)
        sockets = self._listeners.sockets
        self.server_address: Any = sockets[0].getsockname()
        try:
            backend.prepare(settings)
            registry.check(name, settings, app.interface, sockets)
            self._backend = backend(Task(app, sockets, settings, private_slot()))
        except BaseException:
            self._listeners.close()
            raise
        self._what = f"{app.name} ({app.interface.value}) with {name}"

    def serve_forever(self) -> None:
        """Blocks until `shutdown` is called or a signal's handler raises."""
        self._backend.serve(self._ready)

    def shutdown(self) -> None:
        """Lets `serve_forever` finish what is under way and return."""
        self._backend.stop()

    def server_close(self) -> None:
        """Closes the sockets; to be called when `serve_forever` has returned."""
        self._listeners.close()

    def _ready(self) -> None:
        urls = ", ".join(listener.url(each) for each in self._listeners.sockets)
        self._logger.info("serving %s on %s (pid %d)", self._what, urls, os.getpid())


def make_server(
    app: Callable[..., Any],
    host: str | None = None,
    port: int | None = None,
    backend: str | None = None,
    backlog: int | None = None,
    spawn: int | None = None,
    logger: logging.Logger | None = None,
    address_family: int | None = None,
    socket_type: int | None = None,
    graceful_timeout: float | None = None,
    disable_monkeypatch: bool | None = None,
) -> Server:
    """A server for an application object; what is None has the command's default.

    Raises ConfigError, SocketError or BackendUnavailable.
    """
    asked = {
        "host": host,
        "port": port,
        "backend": backend,
        "backlog": backlog,
        "spawn": spawn,
        "address_family": address_family,
        "socket_type": socket_type,
        "graceful_timeout": graceful_timeout,
        "no_monkey": disable_monkeypatch,
    }
    # AF_INET was 1.3's default, which `host="unix:..."` contradicted without effect.
    if str(host or "").startswith(("unix:", "fd://")):
        asked["address_family"] = None
    values: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return Server(application.wrap(app), ServerSettings(**values), logger)
