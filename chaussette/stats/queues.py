"""How many connections wait on each listening socket: one question for all of them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable

from chaussette.sockdiag import Place, SockDiag, place_of
from chaussette.stats.link import Socket


class Queues:
    """Reads queues; owns a netlink socket."""

    def __init__(self) -> None:
        self._diag = SockDiag()

    def look(self, sockets: Iterable[Socket]) -> dict[int, int]:
        """The length of each queue by the socket's fd; without those that nobody can tell."""
        sockets = list(sockets)
        found: dict[int, int] = {}
        with contextlib.suppress(OSError):
            if any(one.path for one in sockets):
                names = self._diag.unix_by_name()
                found.update(
                    {one.fd: names[key] for one in sockets if (key := _name(one)) in names}
                )
        for family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                found.update(self._tcp(family, sockets))
        return found

    def close(self) -> None:
        """Closes the netlink socket."""
        self._diag.close()

    def _tcp(self, family: int, sockets: Iterable[Socket]) -> dict[int, int]:
        places = {one.fd: place for one in sockets if (place := _place(family, one)) is not None}
        if not places:
            return {}
        waiting: dict[Place, int] = {}
        for one in self._diag.tcp(family):
            # Several where workers have sockets of their own (so_reuseport).
            waiting[one.place] = waiting.get(one.place, 0) + one.queue
        return {fd: waiting[place] for fd, place in places.items() if place in waiting}


def _place(family: int, one: Socket) -> Place | None:
    """Where it listens, or None when it is of another family, or told by a name."""
    host = "127.0.0.1" if one.host == "localhost" else one.host.strip("[]")
    with contextlib.suppress(OSError):
        return place_of(family, host, one.port) if one.host else None
    return None


def _name(one: Socket) -> bytes | None:
    if not one.path:
        return None
    name = os.fsencode(one.path)
    # The kernel ends the name of a file with NUL, and begins an abstract one with it.
    return b"\0" + name[1:] if name.startswith(b"@") else name + b"\0"
