"""What circusd-stats asks of an arbiter: commands in, plain values out.

It works with PyPI's circusd as well; what only ours tells is left out there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import zmq

from chaussette.busyness import threads_of
from chaussette.control.client import Client
from chaussette.control.curve import Credentials
from chaussette.errors import ControlError
from chaussette.settings import variables
from chaussette.stats.roster import OWN

TIMEOUT = 5.0
EVENTS_KEPT = 100_000
"""Events that wait here while a sample is taken; one that is lost is a process missed."""


class Socket(NamedTuple):
    """A listening socket as `listsockets` has it; `host` is empty for a unix socket."""

    fd: int
    name: str
    host: str
    port: int
    path: str
    backlog: int | None

    @property
    def address(self) -> str:
        """As Circus writes it."""
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Listing:
    """What an arbiter has: pids by watcher, its own processes, its scoreboard."""

    pids: Mapping[str, Sequence[int]]
    circus: Mapping[int, str]
    board: tuple[str, int] | None
    """A path to the scoreboard, and its number of slots."""


class Traits(NamedTuple):
    """What is to be known of a watcher of workers."""

    concurrency: int = 1
    sockets: frozenset[str] = frozenset()


class Link:
    """Asks one arbiter. Everything raises ControlError when it says no, or nothing."""

    def __init__(self, endpoint: str) -> None:
        self._client = Client(endpoint, TIMEOUT)

    def listing(self) -> Listing:
        """All that there is."""
        names = [str(name) for name in self._ask("list").get("watchers", [])]
        pids = {name: self._pids(name) for name in names if name.lower() not in OWN}
        info = self._ask("dstats").get("info", {})
        circus = {int(info["pid"]): "circusd", os.getpid(): "circusd-stats"}
        for name in names:
            if name.lower() == "circushttpd":
                circus.update(dict.fromkeys(self._pids(name), name.lower()))
        return Listing(pids, circus, _board(info))

    def sockets(self) -> list[Socket]:
        """All listening sockets."""
        return [
            Socket(
                int(one["fd"]),
                str(one.get("name", "")),
                str(one.get("host", "")),
                int(one.get("port") or 0),
                str(one.get("path") or ""),
                one.get("backlog"),
            )
            for one in self._ask("listsockets").get("sockets", [])
        ]

    def traits(self, watcher: str, sockets: Sequence[Socket]) -> Traits:
        """How many requests a process takes at a time, and where they come from."""
        options = self._ask("options", name=watcher).get("options", {})
        text = f"{options.get('cmd') or ''} {options.get('args') or ''}"
        words: list[str] = []
        with contextlib.suppress(ValueError):
            words = shlex.split(text)
        known = {one.name for one in sockets}
        named = {name[8:] for name in variables.names_in(text) if name.startswith("sockets.")}
        given = named | {str(one).lower() for one in options.get("sockets") or ()}
        if stdin := options.get("stdin_socket"):
            given.add(str(stdin).lower())
        elif not options.get("use_sockets"):
            given = set()
        elif not given:
            given = known
        return Traits(
            int(options.get("scale_concurrency") or threads_of(words)), frozenset(given & known)
        )

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _pids(self, name: str) -> list[int]:
        return [int(pid) for pid in self._ask("list", name=name).get("pids", [])]

    def _ask(self, command: str, **properties: Any) -> Mapping[str, Any]:
        reply = self._client.call(command, properties)
        if not reply.ok:
            raise ControlError(f"{command} {properties.get('name', '')}: {reply.reason}")
        return reply.fields


class Events:
    """Hears what happens to processes, and when an arbiter is there (again)."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, EVENTS_KEPT)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"watcher.")
        self.arrivals = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        Credentials().arm(self.socket, endpoint)
        self.socket.connect(endpoint)

    def read(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What has come: topics and messages."""
        with contextlib.suppress(zmq.Again):
            while True:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
                with contextlib.suppress(ValueError):
                    message = json.loads(frames[-1])
                    if len(frames) == 2 and isinstance(message, dict):
                        yield frames[0].decode("utf-8", "replace"), message

    def has_arrived(self) -> bool:
        """Whether an arbiter has come since this was last asked."""
        came = False
        with contextlib.suppress(zmq.Again):
            while self.arrivals.recv_multipart(zmq.NOBLOCK):
                came = True
        return came

    def close(self) -> None:
        """Closes the connection."""
        self.socket.disable_monitor()
        self.arrivals.close()
        self.socket.close()


def _board(info: Mapping[str, Any]) -> tuple[str, int] | None:
    place = info.get("scoreboard")
    if not isinstance(place, dict):
        return None
    return f"/proc/{int(info['pid'])}/fd/{int(place['fd'])}", int(place["slots"])
