"""`[socket:NAME]`: one listening socket that the arbiter owns."""

from __future__ import annotations

from dataclasses import dataclass

from chaussette.settings.declare import Change, setting
from chaussette.settings.kinds import BOOL, MODE, PATH, TEXT, USER, constant, integer


@dataclass(frozen=True, kw_only=True)
class SocketSettings:
    """How a socket is bound. Its name is lower case, as in Circus."""

    name: str
    host: str = setting("localhost", TEXT, "Host name or address to bind.", on_change=Change.RELOAD)
    port: int = setting(
        8080, integer(0, 65535), "Port to bind; 0: any free one, which is reported."
    )
    family: int | None = setting(
        None,
        constant("AF_", ("AF_INET", "AF_INET6", "AF_UNIX")),
        "Address family; none: AF_UNIX with a path, else what the host needs.",
    )
    type: int | None = setting(
        None,
        constant("SOCK_", ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_RDM", "SOCK_SEQPACKET")),
        "Socket type; none: SOCK_STREAM.",
    )
    proto: str | None = setting(None, TEXT, "Protocol, by name as in /etc/protocols, or by number.")
    path: str | None = setting(None, PATH, "Path of a unix socket.")
    umask: int | None = setting(
        None, MODE, "Octal mask for the unix socket's file: 077 is owner only."
    )
    mode: int | None = setting(None, MODE, "Octal mode of the unix socket's file; wins over umask.")
    owner: str | None = setting(None, USER, "Owner of the unix socket's file: user, or user:group.")
    replace: bool = setting(
        True,
        BOOL,
        "Replace a unix socket's file that nobody listens on; false: refuse to start.",
    )
    backlog: int = setting(2048, integer(1), "Length of the queue of connections.")
    so_reuseport: bool = setting(False, BOOL, "Give each process a socket of its own on this port.")
    blocking: bool = setting(False, BOOL, "Hand the socket over in blocking mode.")
    interface: str | None = setting(None, TEXT, "Network interface to bind to (SO_BINDTODEVICE).")
