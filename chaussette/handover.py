"""The queue through which the workers of a watcher hand waiting connections to each other.

A pair of connected unix sockets, made by the arbiter for each watcher and inherited
by all its workers: what a busy one writes, an idle one reads. It outlives them all,
so a connection in it is not lost with the worker that put it there. This module owns
how it is named in the environment; what is written is the backend's own affair.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

ENVIRONMENT = "CHAUSSETTE_HANDOVER"


class Queue:
    """Both ends. SOCK_SEQPACKET keeps each connection's message whole (unix(7))."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    @property
    def descriptors(self) -> tuple[int, int]:
        """The numbers of the end to read and the end to write, in this process."""
        return self._reader.fileno(), self._writer.fileno()

    def environment(self) -> str:
        """The value of CHAUSSETTE_HANDOVER for a worker that inherits both ends."""
        return "{}:{}".format(*self.descriptors)

    def close(self) -> None:
        """Closes both ends here; connections in it are cut when no worker is left."""
        self._reader.close()
        self._writer.close()


def queue_from_environment(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """The two descriptors that the arbiter gave this process, or None.

    A value that leads nowhere (another socket manager's leftovers) counts as none.
    """
    try:
        reader, writer = (int(part) for part in environ[ENVIRONMENT].split(":"))
        for fd in (reader, writer):
            with socket.socket(fileno=os.dup(fd)) as end:
                if end.type != socket.SOCK_SEQPACKET:
                    return None
    except (KeyError, ValueError, OSError):
        return None
    return reader, writer
