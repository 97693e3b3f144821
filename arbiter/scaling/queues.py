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
from collections.abc import Iterator
from pathlib import Path

from chaussette.arbiter.sockets import ListeningSocket

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, linux/unix_diag.h
_NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_LISTEN = 10
_SHOW_QUEUE, _QUEUE = 0x10, 4
_HEADER = struct.Struct("=IHHII")
_INET_REQUEST = struct.Struct("=BBBxI")
_INET_PLACE = struct.Struct("!HH16s16s")
_INET_FIGURES = struct.Struct("=IIIII")  # expires, rqueue, wqueue, uid, inode
_INET_SIZE, _INET_FIGURES_AT = 72, 52
_UNIX_REQUEST = struct.Struct("=BBxxIIIII")
_UNIX_SIZE = 16
_ATTRIBUTE = struct.Struct("=HH")
_UNACKED_AT = 24  # tcpi_unacked in linux/tcp.h: for a listening socket, its accept queue


class QueueReader:
    """Reads queues; it owns a netlink socket from the first look on, until `close`."""

    def __init__(self, netlink: bool = True) -> None:
        self._socket: socket.socket | None = None
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
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, one: ListeningSocket) -> int:
        if one.sock.family == socket.AF_UNIX:
            return sum(_unix_queue(body) for body in self._talk(_unix_request(one), dump=False))
        inode = os.fstat(one.fd).st_ino
        place = _place(one.sock)
        bodies = self._talk(_inet_request(one.sock, place), dump=True)
        found = list(_inet_queues(bodies, inode, place, one.settings.so_reuseport))
        if not found and not one.settings.so_reuseport:
            raise OSError("the socket is of another network namespace")
        return sum(found)

    def _talk(self, request: bytes, *, dump: bool) -> Iterator[bytes]:
        """The bodies of the answers. Raises OSError."""
        if self._socket is None:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
            )
            # The kernel answers within send(); nothing is ever waited for.
            self._socket.setblocking(False)
        flags = _REQUEST | (_DUMP if dump else 0)
        self._socket.send(_HEADER.pack(16 + len(request), _BY_FAMILY, flags, 1, 0) + request)
        more = True
        while more:
            more = dump
            data = self._socket.recv(65536)
            while len(data) >= 16:
                length, kind, *_ = _HEADER.unpack_from(data)
                if kind == _DONE:
                    more = False
                elif kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", data, 16)[0], "SOCK_DIAG")
                else:
                    yield data[16:length]
                data = data[(length + 3) & ~3 :]


def _place(sock: socket.socket) -> tuple[int, bytes]:
    """Port and packed address where it listens."""
    host, port = sock.getsockname()[:2]
    return port, socket.inet_pton(sock.family, host.partition("%")[0]).ljust(16, b"\0")


def _inet_request(sock: socket.socket, place: tuple[int, bytes]) -> bytes:
    return (
        _INET_REQUEST.pack(sock.family, socket.IPPROTO_TCP, 0, 1 << _LISTEN)
        + _INET_PLACE.pack(place[0], 0, b"", b"")
        + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    )


def _inet_queues(
    bodies: Iterator[bytes], inode: int, place: tuple[int, bytes], shared: bool
) -> Iterator[int]:
    for body in bodies:
        if len(body) < _INET_SIZE:
            continue
        port, _, source, _ = _INET_PLACE.unpack_from(body, 4)
        _, waiting, _, _, number = _INET_FIGURES.unpack_from(body, _INET_FIGURES_AT)
        if number == inode or (shared and (port, source) == place):
            yield waiting


def _unix_request(one: ListeningSocket) -> bytes:
    inode = os.fstat(one.fd).st_ino
    states = 1 << _LISTEN
    return _UNIX_REQUEST.pack(socket.AF_UNIX, 0, states, inode, _SHOW_QUEUE, 0xFFFFFFFF, 0xFFFFFFFF)


def _unix_queue(body: bytes) -> int:
    at = _UNIX_SIZE
    while at + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _QUEUE and length >= 8:
            return int(struct.unpack_from("=I", body, at + 4)[0])
        at += max(4, (length + 3) & ~3)
    return 0


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
