"""From settings to the numbers that the core counts with: bytes and milliseconds."""

from __future__ import annotations

import math
import os
import resource
import sys

from chaussette.backends.base import IDLE_GRACE, heartbeat_period
from chaussette.backends.counting import request_limit
from chaussette.errors import ConfigError
from chaussette.settings.server import ServerSettings

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any

CHUNK_LINE = 4096
"""Bytes of one chunk-size line with its extension."""
CHUNK_EXTENSIONS = 16 * 1024
"""Bytes of extensions of all chunks of a body."""
MOST_CONNECTIONS = 10_000
OUT_MEMORY = 1024 * 1024
"""Bytes of one response that are kept in memory for a client that reads slowly."""
OUT_FILE = 1024 * 1024 * 1024
"""Bytes of it that are kept in a file; past that the application waits for the client."""


def options_of(settings: ServerSettings) -> dict[str, Any]:
    """What `_core.Server` takes as its options. Raises ConfigError for what cannot be opened."""
    return {
        **_limits(settings),
        **_times(settings),
        **_log(settings),
        "directory": _temporary_directory(),
        "drop_underscore": True,
        "requests": request_limit(settings.max_requests, settings.max_requests_jitter),
        "trust": settings.forwarded_allow_ips or None,
        "believe": settings.forwarded_fields,
        "proxy_protocol": settings.proxy_protocol,
        "proxy_trust": settings.proxy_allow_ips or None,
    }


def _limits(settings: ServerSettings) -> dict[str, int]:
    head = settings.limit_request_head
    return {
        "request_line": settings.limit_request_line or head,
        "field_line": settings.limit_request_field_size or head,
        "fields": settings.limit_request_fields,
        "head": head,
        "chunk_line": CHUNK_LINE,
        "chunk_extensions": CHUNK_EXTENSIONS,
        "trailers": head,
        "trailer_fields": settings.limit_request_fields,
        "body": settings.limit_request_body,
        "body_memory": settings.body_memory,
        "out_memory": OUT_MEMORY,
        "out_file": OUT_FILE,
        "ws_message": settings.ws_max_size,
        "min_rate": settings.body_rate,
        "connections": settings.spawn or most_connections(),
    }


def _times(settings: ServerSettings) -> dict[str, int]:
    return {
        "head_ms": _ms(settings.header_timeout),
        "body_ms": _ms(settings.body_timeout),
        "idle_ms": _ms(settings.keepalive),
        "write_ms": _ms(settings.write_timeout),
        "ping_ms": _ms(settings.ws_ping_interval),
        "beat_ms": _ms(heartbeat_period(settings)),
        "drain_ms": _ms(settings.graceful_timeout),
        "grace_ms": _ms(IDLE_GRACE),
    }


def most_connections() -> int:
    """What the limit of descriptors allows, with some left for the application."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, soft - max(32, soft // 8)))


def _temporary_directory() -> str:
    """The first of TMPDIR, TEMP, TMP, /tmp, /var/tmp, /usr/tmp and here that can be written to.

    As tempfile.gettempdir() has it, which would bring five modules along. Raises
    ConfigError where there is none.
    """
    named = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    for path in (*filter(None, named), "/tmp", "/var/tmp", "/usr/tmp", "."):
        if os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK, effective_ids=True):
            return os.path.abspath(path)
    raise ConfigError("no directory for temporary files can be written to: set TMPDIR to one")


def _ms(seconds: float) -> int:
    return min(math.ceil(seconds * 1000), 0xFFFFFFFF)


def _log(settings: ServerSettings) -> dict[str, Any]:
    if settings.accesslog is None:
        return {}
    return {"log_format": settings.access_log_format, "log_fd": _open(settings.accesslog)}


def _open(path: str) -> int:
    """A descriptor that the core duplicates."""
    if path == "-":
        return sys.stdout.fileno()
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigError(f"cannot open the access log {path!r}: {error.strerror}") from None
