"""How each endpoint is bound: who may come in is decided here, for all alike.

`ipc://`: a file of mode 0600, made under umask 077, which may be given to
`endpoint_owner`. `tcp://`: by CURVE with an allow-list where `keys_dir` is set.
Whatever of ours binds a zmq socket that others connect to does so by `Doors.bind`.
"""

from __future__ import annotations

import os
from typing import Any

import zmq

from chaussette.control.guard import Guard
from chaussette.control.keys import KeyStore
from chaussette.errors import SocketError


class Doors:
    """Binds zmq sockets of one context.

    Where there are keys, `guard.fd` is to be watched (or `guard.socket` polled), and
    `guard.answer` called when it is readable. Raises ConfigError for keys that
    cannot be read.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys_dir: str | None = None,
        owner_uid: int | None = None,
    ) -> None:
        self.context = context
        self.guard = Guard(context, KeyStore(keys_dir)) if keys_dir is not None else None
        self._owner = owner_uid

    def bind(self, socket: Any, address: str, setting: str) -> None:
        """Binds a socket; `setting` is named in errors. Raises SocketError."""
        if self.asks_for_key(address):
            assert self.guard is not None
            self.guard.secure(socket)
        before = os.umask(0o077)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            raise SocketError(f"{setting} {address}: {error.strerror}") from None
        finally:
            os.umask(before)
        self._give(address)

    def asks_for_key(self, address: str) -> bool:
        """Whether who connects to an address needs a key."""
        return self.guard is not None and address.startswith("tcp://")

    def close(self) -> None:
        """Lets nobody in any more. Sockets of the context must be closed by then."""
        if self.guard is not None:
            self.guard.close()
        self.context.term()

    def _give(self, address: str) -> None:
        if self._owner is None or not address.startswith("ipc://"):
            return
        path = address.removeprefix("ipc://")
        try:
            os.chown(path, self._owner, -1, follow_symlinks=False)
        except OSError as error:
            raise SocketError(f"endpoint_owner: {path}: {error.strerror}") from None
