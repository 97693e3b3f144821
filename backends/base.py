"""The contract between the runner and a backend, and nothing of any one backend.

A backend is one small class in a module of its own. It gets listening sockets
that are bound already, one application and its settings; it serves until it is
told to stop, lets requests under way finish, and returns. It declares what it
can do, so that what it cannot is refused at start and never ignored in silence.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from chaussette.application import Application, Interface
from chaussette.records import Record
from chaussette.scoreboard import Slot
from chaussette.settings.server import ServerSettings

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import ClassVar, Protocol
else:
    Protocol = object


class Can(enum.Flag):
    """What a backend can do."""

    NOTHING = 0
    WSGI = enum.auto()
    ASGI = enum.auto()
    TCP = enum.auto()
    UNIX_SOCKET = enum.auto()
    MANY_SOCKETS = enum.auto()
    THREADS = enum.auto()
    TLS = enum.auto()
    WEBSOCKET = enum.auto()
    LIFESPAN = enum.auto()
    GRACEFUL = enum.auto()
    KEEPALIVE = enum.auto()
    KEEPALIVE_TIMEOUT = enum.auto()
    CHUNKED_REQUEST = enum.auto()
    STREAMING = enum.auto()
    SPAWN_LIMIT = enum.auto()
    GREENLET = enum.auto()
    MONKEY_PATCH = enum.auto()
    ACCESS_LOG = enum.auto()
    PROXY_HEADERS = enum.auto()
    PROXY_PROTOCOL = enum.auto()
    LIMITS = enum.auto()
    BODY_LIMIT = enum.auto()
    WEBSOCKET_LIMITS = enum.auto()


REASONS: Mapping[Can, str] = {
    Can.ACCESS_LOG: "it counts requests and logs none: let the proxy in front log them",
    Can.PROXY_HEADERS: "it reports the peer as it is: let a middleware read the proxy's fields",
    Can.PROXY_PROTOCOL: "it expects HTTP from the first byte on",
    Can.GREENLET: "it has no other way to run requests in greenlets",
    Can.LIMITS: "its sizes and times of requests are fixed, or other ones",
    Can.BODY_LIMIT: "it does not bound bodies so: let the proxy in front or the application",
    Can.WEBSOCKET_LIMITS: "it has no WebSockets, or their limits are its own",
}
"""Why a backend lacks a capability, where it does not give a reason of its own in `limits`."""


class Requirement(Record):
    """The library behind a backend: what to import, what to install, and how."""

    module: str
    distribution: str
    install: str


class Task(Record):
    """All that a backend is given for one run."""

    app: Application
    sockets: Sequence[socket.socket]
    settings: ServerSettings
    slot: Slot
    shared: bool = True
    """Whether other workers may accept from the same sockets."""


class Declaration(Record):
    """What a backend says of itself before it is asked to serve.

    `limits` gives the reason for each capability that users would expect and
    that is missing; `only_for` names capabilities that it has for one interface
    and not for the other; `notes` tells what its library does differently where
    no setting of ours is concerned.
    """

    can: Can
    requirement: Requirement | None = None
    limits: Mapping[Can, str] = MappingProxyType({})
    only_for: Mapping[Can, Interface] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def offers(self, wanted: Can, interface: Interface) -> bool:
        """Whether the backend can do this for applications of the interface."""
        return wanted in self.can and self.only_for.get(wanted, interface) is interface

    def reason(self, missing: Can) -> str:
        """Why it cannot do this, as the end of a sentence."""
        return self.limits.get(missing) or REASONS.get(missing, "it has no such thing")


class Backend(Protocol):
    """One server implementation.

    Class attribute `declaration` is readable without the library: a backend's
    module imports its library inside functions only.
    """

    declaration: ClassVar[Declaration]

    def __init__(self, task: Task) -> None:
        """Builds the server; nothing is accepted yet. Raises ConfigError or SocketError."""

    @classmethod
    def prepare(cls, settings: ServerSettings) -> None:
        """Runs before the application is imported: the place for monkey-patching."""

    def serve(self, ready: Callable[[], None]) -> None:
        """Serves until stopped; calls `ready` once, when connections are accepted.

        While it serves, the slot's `beat` is called at least every
        `heartbeat_period(settings)` seconds from the loop that does the work.
        On return nothing of the server is left, and the listening sockets are
        still open: they belong to the caller.
        """

    def stop(self) -> None:
        """Begins the drain: no new connection, requests under way are answered.

        Called in the main thread, between two bytecodes, by the handler of
        SIGTERM; so it may only set flags and wake the loop up. A request that
        comes on a connection that is kept alive is still answered, with
        `Connection: close`; idle connections are closed after a short grace.
        `serve` returns when all is done, at the latest `graceful_timeout`
        seconds later. A second call changes nothing.
        """


class Reopens:
    """What a backend inherits that writes a file of its own, such as an access log."""

    def reopen(self) -> None:
        """Opens it anew by its path, as whoever rotates logs asks for with SIGUSR1.

        Called in the main thread, between two bytecodes. Raises ConfigError when it cannot
        be opened; then the old one stays.
        """
        raise NotImplementedError


def heartbeat_period(settings: ServerSettings) -> float:
    """Seconds between two signs of life that keep a worker within its timeout."""
    return min(5.0, settings.timeout / 3) if settings.timeout else 5.0


IDLE_GRACE = 2.0
"""Seconds that an idle kept-alive connection is left open once a drain began.

Longer than a busy client pauses between two requests, so that its next request
meets an open connection and is answered with `Connection: close`.
"""
