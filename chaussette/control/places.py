"""Where arbiter and clients meet when nobody says otherwise."""

from __future__ import annotations

import os

_ANYWHERE = ("*", "0.0.0.0", "[::]")
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


def seen_from(endpoint: str, address: str) -> str:
    """An address that an arbiter tells of, for a client of `endpoint`.

    Where it listens on all of its machine's addresses, it is the one by which the
    client has reached it.
    """
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not (address.startswith("tcp://") and endpoint.startswith("tcp://")):
        return address
    return f"{endpoint.rpartition(':')[0]}:{port}" if host in _ANYWHERE else address


def default_keys_dir() -> str:
    """Where `circusctl keys` keeps an arbiter's keys when it is told no place."""
    return "/etc/chaussette/keys" if os.geteuid() == 0 else f"{_config_home()}/keys"


def default_client_key() -> str:
    """Where a client looks for its key."""
    return f"{_config_home()}/client.key"


def _config_home() -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return f"{base}/chaussette"
