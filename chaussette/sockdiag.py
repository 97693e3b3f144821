"""Asks the kernel about listening sockets: SOCK_DIAG over netlink (sock_diag(7)).

Needs no descriptor of the sockets asked about, only to be in their network
namespace. It knows addresses and inodes, and nothing of who listens, or why.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, linux/unix_diag.h
_NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_LISTEN = 10
_SHOW_NAME, _SHOW_QUEUE = 0x1, 0x10
_NAME, _QUEUE = 0, 4
_HEADER = struct.Struct("=IHHII")
_INET_REQUEST = struct.Struct("=BBBxI")
_INET_PLACE = struct.Struct("!HH16s16s")
_INET_FIGURES = struct.Struct("=IIIII")  # expires, rqueue, wqueue, uid, inode
_INET_SIZE, _INET_FIGURES_AT = 72, 52
_UNIX_REQUEST = struct.Struct("=BBxxIIIII")
_UNIX_SIZE = 16
_ATTRIBUTE = struct.Struct("=HH")
_ANY = 0xFFFFFFFF


class Place(NamedTuple):
    """Port and packed address, 16 bytes, where a TCP socket listens."""

    port: int
    address: bytes


class Listener(NamedTuple):
    """A listening TCP socket, and how many connections wait there to be accepted."""

    place: Place
    queue: int
    inode: int


class SockDiag:
    """One netlink socket, open from the first question on until `close`.

    Questions never wait; they raise OSError where netlink is refused.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def tcp(self, family: int) -> Iterator[Listener]:
        """All that listen at TCP ports of AF_INET or AF_INET6."""
        request = (
            _INET_REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << _LISTEN)
            + _INET_PLACE.pack(0, 0, b"", b"")
            + struct.pack("=III", 0, _ANY, _ANY)
        )
        for body in self._talk(request, dump=True):
            if len(body) >= _INET_SIZE:
                at, _, address, _ = _INET_PLACE.unpack_from(body, 4)
                _, waiting, _, _, inode = _INET_FIGURES.unpack_from(body, _INET_FIGURES_AT)
                yield Listener(Place(at, address), waiting, inode)

    def unix(self, inode: int) -> int:
        """How many connections wait on the unix socket of that inode."""
        request = _unix_request(inode, _SHOW_QUEUE)
        return sum(_unix_figures(body)[1] for body in self._talk(request, dump=False))

    def unix_by_name(self) -> dict[bytes, int]:
        """How many wait on each listening unix socket; an abstract name begins with NUL."""
        request = _unix_request(0, _SHOW_NAME | _SHOW_QUEUE)
        return dict(_unix_figures(body) for body in self._talk(request, dump=True))

    def close(self) -> None:
        """Closes the netlink socket; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

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


def place_of(family: int, host: str, port: int) -> Place:
    """Where a socket listens, from its numeric address. Raises OSError for any other."""
    return Place(port, socket.inet_pton(family, host.partition("%")[0]).ljust(16, b"\0"))


def _unix_request(inode: int, show: int) -> bytes:
    return _UNIX_REQUEST.pack(socket.AF_UNIX, 0, 1 << _LISTEN, inode, show, _ANY, _ANY)


def _unix_figures(body: bytes) -> tuple[bytes, int]:
    name, queue, at = b"", 0, _UNIX_SIZE
    while at + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == _NAME:
            name = body[at + 4 : at + length]
        elif kind == _QUEUE and length >= 8:
            queue = int(struct.unpack_from("=I", body, at + 4)[0])
        at += max(4, (length + 3) & ~3)
    return name, queue
