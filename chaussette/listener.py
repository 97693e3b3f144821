"""Listening sockets of one worker: inherited by number, or bound here.

`plan` reads settings and environment into addresses and does no I/O; `Listeners`
opens what was planned and closes it again. Accepts nothing and knows no backend.
An inherited socket is looked at before it is used, because a wrong number is the
most usual mistake and "Invalid argument" from accept(2) explains nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping

from chaussette.errors import ConfigError, SocketError
from chaussette.records import Record
from chaussette.settings.declare import declared
from chaussette.settings.server import ServerSettings

FIRST_PASSED_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class Inherited(Record):
    """A descriptor that the process was started with."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


class Tcp(Record):
    """A host and a port; an empty host is every IPv4 interface."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Unix(Record):
    """A path in the file system, or an abstract name that begins with @."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = Inherited | Tcp | Unix


def parse_bind(text: str, default_port: int | None = 8000) -> Address:
    """The address that a text of `--bind` or `--host` means.

    Without a `default_port` the text must name its port. Raises ConfigError.
    """
    text = text.strip()
    if text.startswith("fd://"):
        return Inherited(_number(text[5:], text, 2**31 - 1))
    if text.startswith("unix:"):
        return _unix(text)
    bracketed, bracket, rest = text[1:].partition("]")
    if text[:1] == "[" and bracket and _is_bracketed(bracketed) and rest[:1] in ("", ":"):
        return _tcp(bracketed, rest[1:] if rest else None, text, default_port)
    if text.count(":") > 1:
        raise ConfigError(f"bind {text!r}: write an IPv6 address in brackets, such as [::1]:8000")
    host, colon, port = text.partition(":")
    return _tcp(host, port if colon else None, text, default_port)


def _is_bracketed(host: str) -> bool:
    return bool(host) and "[" not in host


def _unix(text: str) -> Unix:
    path = text[5:]
    path = path[2:] if path.startswith("//") else path
    if not path or "\0" in path:
        raise ConfigError(f"bind {text!r}: expected a path after unix:")
    if len(os.fsencode(path)) > 107:
        raise ConfigError(f"bind {text!r}: the path of a socket has at most 107 bytes, see unix(7)")
    return Unix(path)


def _tcp(host: str, port: str | None, text: str, default_port: int | None) -> Tcp:
    odd = any(each.isspace() or each in "/\0," for each in host)
    if odd or (not host and port is None):
        raise ConfigError(
            f"bind {text!r}: expected HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://N"
        )
    if port is None:
        if default_port is None:
            raise ConfigError(f"bind {text!r}: the port is missing")
        return Tcp(host, default_port)
    return Tcp(host, _number(port, text, 65535))


def _number(digits: str, text: str, high: int) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10) or int(digits) > high:
        raise ConfigError(f"bind {text!r}: expected a number from 0 to {high}, not {digits!r}")
    return int(digits)


def plan(settings: ServerSettings, environ: Mapping[str, str], pid: int) -> tuple[Address, ...]:
    """Where to listen: --fd, --bind, LISTEN_FDS, or --host and --port; the first that is there.

    Raises ConfigError when two of them are given that exclude each other.
    """
    _check_socket_type(settings)
    unset = _has_default(settings, "host") and _has_default(settings, "port")
    if settings.fd is not None and (settings.bind or not unset):
        raise ConfigError(
            "a socket that is inherited (--fd) leaves nothing to bind (--bind, --host, --port)"
        )
    if settings.fd is not None:
        return (Inherited(settings.fd),)
    if settings.bind:
        return _each_once(tuple(parse_bind(text) for text in settings.bind))
    passed = passed_fds(environ, pid) if unset else ()
    return passed or (_from_host(settings),)


def passed_fds(environ: Mapping[str, str], pid: int) -> tuple[Address, ...]:
    """The sockets that systemd, or who speaks its protocol, passed to this process.

    LISTEN_PID may be absent: a parent that sets the environment before it forks
    cannot know the pid. Another pid means that they were another process's.
    """
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal() or environ.get("LISTEN_PID", str(pid)) != str(pid):
        return ()
    return tuple(Inherited(FIRST_PASSED_FD + index) for index in range(int(count)))


def _check_socket_type(settings: ServerSettings) -> None:
    if settings.socket_type not in (None, socket.SOCK_STREAM):
        raise ConfigError("socket_type: HTTP needs a stream; SOCK_STREAM is the one that works")


def _has_default(settings: ServerSettings, name: str) -> bool:
    return bool(getattr(settings, name) == declared(ServerSettings)[name][1])


def _each_once(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    for index, address in enumerate(addresses):
        if address in addresses[:index] and not (isinstance(address, Tcp) and address.port == 0):
            raise ConfigError(f"bind {address}: given twice")
    return addresses


def _from_host(settings: ServerSettings) -> Address:
    host = settings.host
    if settings.address_family == socket.AF_UNIX and not host.startswith("unix:"):
        return _unix(f"unix:{host}")
    if host.startswith(("unix:", "fd://")):
        return parse_bind(host)
    return Tcp(host.strip("[]"), settings.port)


class Listeners:
    """The open sockets of a worker, in the order they were asked for.

    Owns what it opened. An inherited descriptor stays open under its number as
    long as this object, so that a new arbiter finds it there (pidfd_getfd(2)).
    """

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self._inherited: list[int] = []
        self._paths: list[tuple[str, int, int]] = []

    def open(self, addresses: tuple[Address, ...], settings: ServerSettings) -> None:
        """Opens all of them, or none: SocketError leaves nothing behind."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            for address in addresses:
                self._open(address, settings)
            undo.pop_all()

    def _open(self, address: Address, settings: ServerSettings) -> None:
        if isinstance(address, Inherited):
            self.sockets.append(inherit(address.fd))
            self._inherited.append(address.fd)
            return
        listener = bind(address, settings)
        self.sockets.append(listener)
        if isinstance(address, Unix) and not address.path.startswith("@"):
            found = os.stat(address.path)
            self._paths.append((os.path.abspath(address.path), found.st_dev, found.st_ino))

    @property
    def are_inherited(self) -> bool:
        """Whether other processes may have one of the sockets, and accept from it, too."""
        return bool(self._inherited)

    def close(self) -> None:
        """Closes all, and removes the paths of sockets that were bound here and are still ours."""
        for listener in self.sockets:
            listener.close()
        for fd in self._inherited:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.remove_paths()
        self.sockets.clear()
        self._inherited.clear()

    def remove_paths(self) -> None:
        """The part of `close` that outlives a process that leaves at once."""
        for path, device, inode in self._paths:
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if (found.st_dev, found.st_ino) == (device, inode):
                    os.unlink(path)
        self._paths.clear()


def inherit(fd: int) -> socket.socket:
    """A socket object on a listening socket that this process inherited as `fd`.

    `fd` itself stays open; both are closed on exec from now on. Raises
    SocketError that says what the descriptor is instead.
    """
    with _borrowed(fd) as look:
        _refuse_unless_listening(fd, look)
        family, kind, protocol = look.family, look.type, look.proto
    os.set_inheritable(fd, False)
    listener = socket.fromfd(fd, family, kind, protocol)
    _tune(listener)
    return listener


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """A socket object to look at a descriptor with, that does not close it."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        raise SocketError(f"fd {fd} is not open; was it passed to this process?") from None
    if not stat.S_ISSOCK(mode):
        raise SocketError(f"fd {fd} is {_kind_of_file(fd, mode)}, not a listening socket")
    look = socket.socket(fileno=fd)
    try:
        yield look
    finally:
        look.detach()


def _kind_of_file(fd: int, mode: int) -> str:
    if stat.S_ISCHR(mode) and os.isatty(fd):
        return "a terminal"
    names = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a block device",
    }
    name = names.get(stat.S_IFMT(mode), "something else")
    with contextlib.suppress(OSError):
        name += f" ({os.readlink(f'/proc/self/fd/{fd}')})"
    return name


def _refuse_unless_listening(fd: int, look: socket.socket) -> None:
    if look.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        raise SocketError(f"fd {fd} is a socket of family {int(look.family)}, not TCP or unix")
    if look.type == socket.SOCK_DGRAM:
        kind = "unix datagram" if look.family == socket.AF_UNIX else "UDP"
        raise SocketError(f"fd {fd} is a {kind} socket, not a listening one")
    if look.type != socket.SOCK_STREAM:
        raise SocketError(f"fd {fd} is a socket of type {int(look.type)}, not a stream")
    if not look.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise SocketError(f"fd {fd} is {_idle_socket(look)}")


def _idle_socket(look: socket.socket) -> str:
    try:
        peer = look.getpeername()
    except OSError:
        return f"a socket on {show_name(look)} on which listen() was not called"
    return f"a connected socket (to {_show(look.family, peer)}), not a listening one"


def _tune(listener: socket.socket) -> None:
    """What every backend needs of a listening socket that several workers share.

    It does not block: all of them may wake up for one connection, and who comes
    second must not wait in accept(2). Accepted connections inherit TCP_NODELAY,
    also in backends that do not see that this is TCP.
    """
    listener.setblocking(False)
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def stand_in(address: Address) -> socket.socket:
    """A socket of the family that the address would have, bound to nothing."""
    if isinstance(address, Inherited):
        return inherit(address.fd)
    if isinstance(address, Unix):
        return socket.socket(socket.AF_UNIX)
    return socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)


def bind(address: Tcp | Unix, settings: ServerSettings) -> socket.socket:
    """A new listening socket. Raises SocketError that names the address."""
    try:
        listener = (
            _bind_unix(address) if isinstance(address, Unix) else _bind_tcp(address, settings)
        )
    except OSError as error:
        raise SocketError(f"cannot listen on {address}: {_reason(error)}") from None
    listener.listen(settings.backlog)
    return listener


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use"
    return error.strerror or str(error)


def _bind_tcp(address: Tcp, settings: ServerSettings) -> socket.socket:
    family, target = _resolve(address, settings.address_family)
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _tune(listener)
        listener.bind(target)
    except OSError:
        listener.close()
        raise
    return listener


def _resolve(address: Tcp, family: int | None) -> tuple[int, tuple[object, ...]]:
    """The first IPv4 address of a host, or else its first; clients try 127.0.0.1 for localhost."""
    if not address.host:
        return (family or socket.AF_INET, ("::" if family == socket.AF_INET6 else "", address.port))
    # As bytes, a name does not go through the idna codec, which is half a megabyte.
    host = address.host.encode() if address.host.isascii() else address.host
    found = socket.getaddrinfo(
        host, address.port, family or 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
    )
    first = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return first[0], first[4]


def _bind_unix(address: Unix) -> socket.socket:
    name = "\0" + address.path[1:] if address.path.startswith("@") else address.path
    if name[0] != "\0":
        _make_way(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(name)
    except OSError:
        listener.close()
        raise
    return listener


def _make_way(path: str) -> None:
    """Removes the socket file that a dead server left; refuses whatever else is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketError(f"cannot listen on unix:{path}: something that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        refused = probe.connect_ex(path) == errno.ECONNREFUSED
    if not refused:
        raise SocketError(f"cannot listen on unix:{path}: the address is in use")
    os.unlink(path)


def show_name(listener: socket.socket) -> str:
    """The address of a socket, as `--bind` would take it."""
    return _show(listener.family, listener.getsockname())


def _show(family: int, name: object) -> str:
    if family == socket.AF_UNIX:
        path = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
        return f"unix:{path.replace(chr(0), '@')}"
    assert isinstance(name, tuple)
    return str(Tcp(name[0], name[1]))


def url(listener: socket.socket, tls: bool = False) -> str:
    """Where a browser finds the server; a unix socket's path where none could."""
    name = show_name(listener)
    return name if name.startswith("unix:") else f"http{'s' if tls else ''}://{name}"
