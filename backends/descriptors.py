"""What the kernel knows of a worker's descriptors that a server written in C does not tell.

Such servers own their epoll set and have no way to stop accepting or to close
idle connections. Both can be done from outside: /proc/self/fdinfo lists what an
epoll descriptor watches, and epoll_ctl(2) on it may be called by anybody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import socket
import struct
import termios
from collections.abc import Iterator

_LAST_DATA_SENT, _LAST_DATA_RECEIVED = 44, 52
"""Offsets in struct tcp_info (linux/tcp.h): milliseconds since either happened."""


def watching(fd: int) -> list[tuple[int, int]]:
    """Where this process watches a socket: epoll descriptors, each with the number it uses.

    That number may be another than `fd`, when a library made a copy.
    """
    wanted = os.fstat(fd).st_ino
    return [
        (epoll, each) for epoll in _epolls() for each in watched(epoll) if _inode(each) == wanted
    ]


def _inode(fd: int) -> int:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0


def _epolls() -> Iterator[int]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                yield int(name)


def watched(epoll_fd: int) -> set[int]:
    """The descriptors that an epoll descriptor watches for something; none when it is gone."""
    try:
        with open(f"/proc/self/fdinfo/{epoll_fd}", encoding="ascii") as file:  # noqa: PTH123
            lines = re.findall(r"^tfd:\s+(\d+) events:\s+([0-9a-f]+)", file.read(), re.MULTILINE)
    except OSError:
        return set()
    meant = select.EPOLLIN | select.EPOLLOUT
    return {int(fd) for fd, events in lines if int(events, 16) & meant}


def silence(epoll_fd: int, fd: int) -> None:
    """Makes an epoll set tell nothing of `fd` any more.

    It stays in the set without events, because the server will want to remove
    it; EPOLL_CTL_MOD would not do, it is refused on what EPOLLEXCLUSIVE added.
    """
    own = os.dup(epoll_fd)  # select.epoll closes what it wraps
    with select.epoll.fromfd(own) as epoll:
        epoll.unregister(fd)
        epoll.register(fd, 0)


def connections(epoll_fd: int, listener: socket.socket) -> list[socket.socket]:
    """The connections of a listener that an epoll descriptor watches, as copies to be closed."""
    found = []
    for fd in watched(epoll_fd):
        with contextlib.suppress(OSError):
            copy = socket.socket(fileno=os.dup(fd))
            if _was_accepted(copy, listener):
                found.append(copy)
            else:
                copy.close()
    return found


def _was_accepted(candidate: socket.socket, listener: socket.socket) -> bool:
    """An accepted socket has its listener's port or path; a loop has sockets of its own, too."""
    if candidate.family != listener.family:
        return False
    if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    ours, theirs = candidate.getsockname(), listener.getsockname()
    return bool(ours == theirs if listener.family == socket.AF_UNIX else ours[1] == theirs[1])


def is_idle(connection: socket.socket) -> bool:
    """Whether a connection is between two requests, as far as the kernel can tell.

    On TCP: nothing came since something was sent last, or nothing ever came. A
    unix socket has no such figures: it is idle when no byte waits to be read.
    """
    try:
        if connection.family == socket.AF_UNIX:
            waiting = fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0\0\0\0")
            return waiting == bytes(4)
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    except OSError:
        return True
    sent_ago = struct.unpack_from("I", info, _LAST_DATA_SENT)[0]
    received_ago = struct.unpack_from("I", info, _LAST_DATA_RECEIVED)[0]
    return bool(sent_ago <= received_ago)
