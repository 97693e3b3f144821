"""TLS for backends whose loops take Python's ssl contexts."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from chaussette.errors import ConfigError
from chaussette.settings.server import ServerSettings


def server_context(settings: ServerSettings, alpn: Iterable[str]) -> ssl.SSLContext | None:
    """The context for --certfile and --keyfile, or None without them.

    Raises ConfigError that names the file that is no good.
    """
    if settings.certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile)
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(filter(None, (settings.certfile, settings.keyfile)))
        raise ConfigError(f"no TLS with {files}: {error}") from None
    context.set_alpn_protocols(list(alpn))
    return context
