"""The socket on which processes say that they are ready: the arbiter's NOTIFY_SOCKET.

It is an abstract unix socket, so a process of any user reaches it, and the
kernel vouches for each sender's pid (SCM_CREDENTIALS, unix(7)). Whose process
that is, is for the caller to know.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from chaussette import notify

_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Notice:
    """One message: who sent it, and its fields."""

    pid: int
    fields: dict[str, str]


class Inbox:
    """Receives notices; never blocks."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        self.address = f"@chaussette-{os.getpid()}-{os.urandom(8).hex()}"
        self._socket.bind("\0" + self.address[1:])

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._socket.fileno()

    def read(self) -> Iterator[Notice]:
        """All notices that have come."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(
                    notify.MAX_MESSAGE, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except BlockingIOError:
                return
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    pid = _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[0]
                    yield Notice(pid, notify.read_fields(data))

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def session_of(pid: int) -> int:
    """The session's leader: the process that the arbiter started; 0 when it has gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0
