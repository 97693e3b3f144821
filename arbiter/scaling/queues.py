"""How many connections wait on a listening socket to be accepted, asked of the kernel.

SOCK_DIAG (sock_diag(7)) answers for TCP and unix sockets, also for those that
only the workers hold (so_reuseport). Where netlink is refused, TCP_INFO of our
own socket, or /proc/net/unix, says nearly as much.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

from chaussette.arbiter.sockets import ListeningSocket
from chaussette.sockdiag import SockDiag, place_of

_UNACKED_AT = 24  # tcpi_unacked in linux/tcp.h: for a listening socket, its accept queue


class QueueReader:
    """Reads queues; it owns a netlink socket from the first look on, until `close`."""

    def __init__(self, netlink: bool = True) -> None:
        self._diag = SockDiag()
        self._refused = not netlink

    def length(self, one: ListeningSocket) -> int:
        """How many connections wait; 0 also where nobody can tell. Never waits."""
        if one.fd < 0 or one.sock.type not in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            return 0
        with contextlib.suppress(OSError):
            if not self._refused:
                return self._ask(one)
        # Netlink is refused, as by RestrictAddressFamilies= of systemd.
        self._refused = True
        self.close()
        with contextlib.suppress(OSError):
            if one.sock.family == socket.AF_UNIX:
                return _unix_from_proc(one.sock.getsockname())
            return _from_tcp_info(one.sock)
        return 0

    def close(self) -> None:
        """Closes the netlink socket; the next look opens another."""
        self._diag.close()

    def _ask(self, one: ListeningSocket) -> int:
        inode = os.fstat(one.fd).st_ino
        if one.sock.family == socket.AF_UNIX:
            return self._diag.unix(inode)
        place = place_of(one.sock.family, *one.sock.getsockname()[:2])
        shared = one.settings.so_reuseport
        found = [
            other.queue
            for other in self._diag.tcp(one.sock.family)
            if other.inode == inode or (shared and other.place == place)
        ]
        if not found and not shared:
            raise OSError("the socket is of another network namespace")
        return sum(found)


def _from_tcp_info(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_AT + 4)
    return int(struct.unpack_from("=I", info, _UNACKED_AT)[0])


def _unix_from_proc(address: str | bytes) -> int:
    """Connections that nobody has accepted are listed as connecting (02)."""
    name = os.fsencode(address).replace(b"\0", b"@")
    waiting = 0
    for line in Path("/proc/net/unix").read_bytes().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        waiting += len(fields) == 8 and fields[5] == b"02" and fields[7] == name
    return waiting
