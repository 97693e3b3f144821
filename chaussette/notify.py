"""What a process tells whoever started it: sd_notify(3), spoken by both sides.

A worker says READY=1, STOPPING=1 and so on to the datagram socket named in
NOTIFY_SOCKET. Under systemd that is systemd; under our arbiter it is the
arbiter, so a program that speaks the protocol is understood by either.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

ENVIRONMENT = "NOTIFY_SOCKET"
ARBITER_PID = "CHAUSSETTE_ARBITER"
"""Set by our arbiter to its pid: a worker then hands its boot error over, too."""
BOOT_ERROR = "X_CHAUSSETTE_BOOT_ERROR"
MAX_MESSAGE = 64 * 1024


class Notifier:
    """The worker's end; every method is a no-op where nobody asked to be told."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._address = environ.get(ENVIRONMENT, "")
        self.under_arbiter = ARBITER_PID in environ and bool(self._address)

    def tell(self, **fields: str) -> bool:
        """Sends the fields in one datagram; False when it reached nobody.

        Values are escaped, because a newline ends a field in this protocol.
        """
        if not self._address:
            return False
        message = write_fields(fields)
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.sendto(message[:MAX_MESSAGE], address)
            return True
        return False

    def ready(self, status: str = "") -> None:
        """The application is loaded and the worker accepts connections."""
        self.tell(READY="1", **({"STATUS": status} if status else {}))

    def stopping(self) -> None:
        """The worker takes no new connection and finishes what it has."""
        self.tell(STOPPING="1")

    def boot_error(self, text: str) -> bool:
        """Hands the reason of a failed start to our arbiter, which logs it once."""
        return self.under_arbiter and self.tell(**{BOOT_ERROR: text})


def write_fields(fields: Mapping[str, str]) -> bytes:
    """The datagram for some fields."""
    lines = (f"{name}={_escape(value)}" for name, value in fields.items())
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def read_fields(message: bytes) -> dict[str, str]:
    """The fields of a datagram; a line that is none is passed over."""
    text = message.decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.split("\n"))
    return {name: _unescape(value) for name, sign, value in pairs if sign and name}


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _unescape(value: str) -> str:
    parts = value.split("\\\\")
    return "\\".join(part.replace("\\n", "\n") for part in parts)
