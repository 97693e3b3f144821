"""Where arbiter and clients meet when nobody says otherwise."""

from __future__ import annotations

import os

_SUN_PATH_MAX = 107
"""Bytes of a unix socket's path, see unix(7)."""


def default_runtime_dir() -> str:
    """The runtime directory of this user: under /run for root, else XDG_RUNTIME_DIR."""
    if os.geteuid() == 0:
        return "/run/chaussette"
    base = os.environ.get("XDG_RUNTIME_DIR")
    return f"{base}/chaussette" if base else f"/tmp/chaussette-{os.geteuid()}"


def default_endpoint() -> str:
    """Where circusctl looks for an arbiter."""
    return f"ipc://{default_runtime_dir()}/control.sock"


def is_ipc_too_long(path: str) -> bool:
    """Whether a path cannot be a unix socket's."""
    return len(os.fsencode(path)) > _SUN_PATH_MAX


def is_public_tcp(endpoint: str) -> bool:
    """Whether other machines can reach a tcp endpoint: whatever is not plainly loopback."""
    if not endpoint.startswith("tcp://"):
        return False
    host = endpoint[6:].rpartition(":")[0].strip("[]").lower()
    return not (host == "localhost" or host == "::1" or host.startswith("127."))
