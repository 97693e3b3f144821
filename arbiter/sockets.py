"""The listening sockets: bound once, before any process starts, and kept.

A socket is never closed or bound anew by a reload, and no process's death
touches it. Sockets sit at the descriptors from 3 on where those are free, so
that processes can be given LISTEN_FDS as systemd does it (sd_listen_fds(3)).
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chaussette.errors import ConfigError, SocketError
from chaussette.settings.sockets import SocketSettings

FIRST_FD = 3
_SO_BINDTODEVICE = getattr(socket, "SO_BINDTODEVICE", 25)


class ListeningSocket:
    """One bound socket and what was asked of it."""

    def __init__(self, settings: SocketSettings, sock: socket.socket, inherited: bool) -> None:
        self.settings = settings
        self.sock = sock
        self.inherited = inherited

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self.settings.name

    @property
    def fd(self) -> int:
        """Its descriptor, the same here and in every process that inherits it."""
        return self.sock.fileno()

    def location(self) -> str:
        """Where it listens, with the real port: `127.0.0.1:8000`, `unix:/run/x.sock`."""
        return describe_address(self.sock.family, self.sock.getsockname())

    def own_copy(self) -> socket.socket:
        """A new socket on the same port, for one process (SO_REUSEPORT)."""
        address = self.sock.getsockname()
        settings = replace(self.settings, port=address[1])
        sock = _bind(settings, self.sock.family, self.sock.type, address)
        sock.listen(settings.backlog)
        return sock

    def end(self) -> None:
        """Closes it everywhere: no process that inherited it can keep its port."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def take_over(self, settings: SocketSettings) -> None:
        """Applies settings that leave it bound where it is."""
        self.settings = settings
        self.sock.setblocking(settings.blocking)
        listens = self.sock.type in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
        if listens and not settings.so_reuseport:
            self.sock.listen(settings.backlog)
        if settings.path is None or settings.path.startswith("@"):
            return
        mode = settings.mode
        if mode is None and settings.umask is not None:
            mode = 0o777 & ~settings.umask
        if mode is not None:
            os.chmod(settings.path, mode)
        if settings.owner:
            os.chown(settings.path, *_owner(settings, settings.owner))

    def close(self) -> None:
        """Closes it, and removes a unix socket's file that is ours."""
        path = self.settings.path
        if path is not None and not self.inherited and self.sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                if self.sock.getsockname() == path and stat.S_ISSOCK(os.stat(path).st_mode):
                    os.unlink(path)
        self.sock.close()


class SocketTable:
    """All sockets of one arbiter, by name."""

    def __init__(self) -> None:
        self._sockets: dict[str, ListeningSocket] = {}
        self._places: list[int] = []

    def get(self, name: str) -> ListeningSocket | None:
        """The socket of that name, or None."""
        return self._sockets.get(name.lower())

    def all(self) -> list[ListeningSocket]:
        """All of them, in the order in which they were bound."""
        return list(self._sockets.values())

    def pick(self, names: Sequence[str]) -> list[ListeningSocket]:
        """The named ones in table order, or all where no name is given."""
        wanted = {name.lower() for name in names}
        return [one for one in self._sockets.values() if not wanted or one.name in wanted]

    def reserve(self, count: int) -> None:
        """Takes descriptors from 3 on, before anything else gets them."""
        while len(self._places) < count:
            fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            if fd < FIRST_FD:
                continue  # A standard stream was closed: this is it from now on.
            if fd >= FIRST_FD + count:
                os.close(fd)
                return
            self._places.append(fd)

    def open(self, wanted: Iterable[SocketSettings], passed: Mapping[str, socket.socket]) -> None:
        """Binds every socket, or none. Raises SocketError or ConfigError.

        `passed` are sockets from systemd by name; one whose name or address
        fits is taken instead of binding.
        """
        for one in self.bind(wanted, passed):
            self.put(one)

    def bind(
        self, wanted: Iterable[SocketSettings], passed: Mapping[str, socket.socket]
    ) -> list[ListeningSocket]:
        """As `open`, but nobody gets to see the sockets before `put`."""
        fresh: list[ListeningSocket] = []
        try:
            for settings in wanted:
                fresh.append(_open(settings, passed))
        except (SocketError, ConfigError):
            for one in fresh:
                one.close()
            raise
        return fresh

    def put(self, one: ListeningSocket) -> ListeningSocket | None:
        """Takes a socket over; returns the one that had its name."""
        before = self._sockets.get(one.name)
        self._sockets[one.name] = self._settle(one)
        return before

    def remove(self, name: str) -> ListeningSocket:
        """Takes a socket out of the table; the caller closes it."""
        return self._sockets.pop(name)

    def close(self) -> None:
        """Closes all sockets and gives the reserved descriptors back."""
        for one in self._sockets.values():
            one.close()
        for fd in self._places:
            os.close(fd)
        self._places.clear()

    def _settle(self, one: ListeningSocket) -> ListeningSocket:
        """Moves a socket to its lasting descriptor; one from systemd stays where it is."""
        if one.inherited:
            return one
        if one.fd in self._places:
            self._places.remove(one.fd)
        elif self._places and one.fd >= FIRST_FD:
            place = self._places.pop(0)
            os.dup2(one.fd, place, inheritable=False)
            moved = socket.socket(fileno=place)
            moved.setblocking(one.settings.blocking)
            one.sock.close()
            one.sock = moved
        return one


def listen_environment(given: Mapping[str, int]) -> dict[str, str]:
    """LISTEN_FDS and LISTEN_FDNAMES, where the descriptors are 3, 4, 5 …

    `given` are descriptors by name, as the process gets them. LISTEN_PID cannot
    be known before the process exists; see `listen_pid`.
    """
    by_fd = sorted(given.items(), key=lambda item: item[1])
    if not by_fd or [fd for _, fd in by_fd] != list(range(FIRST_FD, FIRST_FD + len(by_fd))):
        return {}
    # A colon is what separates names (sd_listen_fds_with_names(3)).
    names = ":".join(name.replace(":", "_") for name, _ in by_fd)
    return {"LISTEN_FDS": str(len(by_fd)), "LISTEN_FDNAMES": names}


def from_three_on(given: Mapping[str, int]) -> dict[str, int]:
    """The same sockets in the order of their descriptors, at 3, 4, 5 …"""
    names = sorted(given, key=lambda name: given[name])
    return {name: FIRST_FD + at for at, name in enumerate(names)}


def sockets_from_systemd(environ: Mapping[str, str], pid: int) -> dict[str, socket.socket]:
    """The sockets that systemd passed to this very process (sd_listen_fds(3))."""
    try:
        if int(environ.get("LISTEN_PID", "")) != pid:
            return {}
        count = int(environ.get("LISTEN_FDS", ""))
    except ValueError:
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [f"socket{index}" for index in range(len(names), count)]
    found: dict[str, socket.socket] = {}
    for index in range(count):
        os.set_inheritable(FIRST_FD + index, False)
        name = names[index] or f"socket{index}"
        found[f"{name}.{index}" if name in found else name] = socket.socket(fileno=FIRST_FD + index)
    return found


def describe_address(family: int, address: object) -> str:
    """An address as a user would write it."""
    if family == socket.AF_UNIX:
        text = os.fsdecode(address) if isinstance(address, bytes) else str(address)
        return "unix:" + text.replace("\0", "@")
    assert isinstance(address, tuple)
    host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    return f"{host}:{address[1]}"


def _open(settings: SocketSettings, passed: Mapping[str, socket.socket]) -> ListeningSocket:
    if (given := _passed_for(settings, passed)) is not None:
        _tune(given, settings)
        return ListeningSocket(settings, given, inherited=True)
    kind = settings.type if settings.type is not None else int(socket.SOCK_STREAM)
    if settings.path is not None or settings.family == socket.AF_UNIX:
        return ListeningSocket(settings, _bind_unix(settings, kind), inherited=False)
    try:
        found = socket.getaddrinfo(
            settings.host,
            settings.port,
            settings.family or 0,
            kind,
            _proto(settings),
            socket.AI_PASSIVE,
        )
    except OSError as error:
        raise SocketError(
            f"[socket:{settings.name}] host {settings.host!r}: {error.strerror}"
        ) from None
    # As in Circus, a host that has both is bound by IPv4: `localhost` is 127.0.0.1.
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    family, kind, _, _, address = found[0]
    return ListeningSocket(settings, _bind(settings, family, kind, address), inherited=False)


def _passed_for(
    settings: SocketSettings, passed: Mapping[str, socket.socket]
) -> socket.socket | None:
    for name, sock in passed.items():
        if name.lower() == settings.name or _is_at(sock, settings):
            return sock
    return None


def _is_at(sock: socket.socket, settings: SocketSettings) -> bool:
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return bool(settings.path) and address == settings.path
    return settings.path is None and address[:2] == (settings.host, settings.port)


def _proto(settings: SocketSettings) -> int:
    if settings.proto is None:
        return 0
    try:
        return (
            int(settings.proto)
            if settings.proto.isdecimal()
            else socket.getprotobyname(settings.proto)
        )
    except OSError:
        raise ConfigError(
            f"[socket:{settings.name}] proto {settings.proto!r}: no such protocol"
        ) from None


def _bind(settings: SocketSettings, family: int, kind: int, address: object) -> socket.socket:
    sock = socket.socket(family, kind, _proto(settings))
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, settings.host not in ("::", "")
            )
        if settings.so_reuseport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if settings.interface:
            sock.setsockopt(
                socket.SOL_SOCKET, _SO_BINDTODEVICE, settings.interface.encode() + b"\0"
            )
        sock.bind(address)  # type: ignore[arg-type]
        _tune(sock, settings)
        # With so_reuseport the kernel would deal connections to the arbiter, too.
        if kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET) and not settings.so_reuseport:
            sock.listen(settings.backlog)
    except OSError as error:
        sock.close()
        raise _bind_error(settings, describe_address(family, address), error) from None
    return sock


def _tune(sock: socket.socket, settings: SocketSettings) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM:
        # Accepted connections inherit it; asyncio does not set it on sockets
        # that it got by descriptor, and Nagle then delays answers by 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(settings.blocking)


def _bind_unix(settings: SocketSettings, kind: int) -> socket.socket:
    if settings.path is None:
        raise ConfigError(f"[socket:{settings.name}] is AF_UNIX: it needs a path")
    if settings.path.startswith("@"):
        return _bind(settings, socket.AF_UNIX, kind, "\0" + settings.path[1:])  # abstract, unix(7)
    _clear_stale(settings, settings.path, kind)
    mask = settings.umask if settings.mode is None else 0o777 & ~settings.mode
    before = os.umask(mask) if mask is not None else None
    try:
        sock = _bind(settings, socket.AF_UNIX, kind, settings.path)
    finally:
        if before is not None:
            os.umask(before)
    if settings.owner:
        try:
            os.chown(settings.path, *_owner(settings, settings.owner))
        except OSError as error:
            sock.close()
            os.unlink(settings.path)
            raise _bind_error(settings, settings.path, error) from None
    return sock


def _clear_stale(settings: SocketSettings, path: str, kind: int) -> None:
    """Removes a socket's file, once it is sure that nobody listens there."""
    where = f"[socket:{settings.name}] {path}"
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if not Path(path).parent.is_dir():
            raise SocketError(
                f"{where}: there is no directory {str(Path(path).parent)!r}"
            ) from None
        return
    except OSError as error:
        raise SocketError(f"{where}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise SocketError(f"{where}: is there already and is not a socket; it is left alone")
    if not settings.replace:
        raise SocketError(
            f"{where}: is there already; `replace = True` removes a file nobody listens on"
        )
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        if (code := probe.connect_ex(path)) != errno.ECONNREFUSED:
            reason = "somebody listens there" if code in (0, errno.EAGAIN) else os.strerror(code)
            raise SocketError(f"{where}: {reason}; end that process or choose another path")
    os.unlink(path)


def _owner(settings: SocketSettings, owner: str) -> tuple[int, int]:
    user, _, group = owner.partition(":")
    try:
        uid = -1 if not user else int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        gid = -1 if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(
            f"[socket:{settings.name}] owner {owner!r}: no such user or group"
        ) from None
    return uid, gid


def _bind_error(settings: SocketSettings, address: str, error: OSError) -> SocketError:
    hints = {
        errno.EADDRINUSE: "; another process listens there (see: ss -ltnp)",
        errno.EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "; this machine has no such address",
    }
    hint = hints.get(error.errno or 0, "")
    return SocketError(
        f"[socket:{settings.name}] cannot listen on {address}: {error.strerror}{hint}"
    )
