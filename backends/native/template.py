"""The environ of a request before the request's own keys (PEP 3333), made once per socket."""

from __future__ import annotations

import os
import socket
import sys

from chaussette.scoreboard import ENVIRONMENT
from chaussette.settings.server import ServerSettings

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any

SOFTWARE = "Chaussette"
"""Without a version: that is nobody's business (RFC 9110 section 10.2.4)."""

_ANY = ("0.0.0.0", "::")
"""Every interface, as getsockname(2) has it."""


def template_of(
    listener: socket.socket, settings: ServerSettings, file_wrapper: type[Any]
) -> dict[str, Any]:
    """A fresh dict; the core copies it for each request."""
    name, port = address_of(listener)
    template = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": SOFTWARE,
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "RAW_URI": "/",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": settings.threads > 1,
        "wsgi.multiprocess": ENVIRONMENT in os.environ,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": file_wrapper,
    }
    _make_room(template)
    return template


def _make_room(template: dict[str, Any]) -> None:
    """Lets it grow once, so that its copies need not for the request's own keys.

    CPython copies a dict with the room that it has, as long as not too many of its
    keys have gone.
    """
    size = sys.getsizeof(template)
    spare: list[str] = []
    while sys.getsizeof(template) == size:
        spare.append(f"spare{len(spare)}")
        template[spare[-1]] = None
    for key in spare:
        del template[key]


def address_of(listener: socket.socket) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT: both are never empty (RFC 3875 section 4.1.14)."""
    if listener.family == socket.AF_UNIX:
        return "localhost", "80"
    host, port = listener.getsockname()[:2]
    if host in _ANY:
        host = socket.gethostname()
    return host, str(port)
