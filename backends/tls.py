"""TLS for backends whose loops take Python's ssl contexts."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from chaussette.errors import ConfigError
from chaussette.settings.server import ServerSettings


def server_context(
    settings: ServerSettings,
    alpn: Iterable[str] = ("http/1.1",),
    kind: type[ssl.SSLContext] = ssl.SSLContext,
) -> ssl.SSLContext | None:
    """The context for --certfile and --keyfile, or None without them.

    `kind` is the class of a library that brings its own. Raises ConfigError
    that names the file that is no good.
    """
    if settings.certfile is None:
        return None
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile)
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(filter(None, (settings.certfile, settings.keyfile)))
        raise ConfigError(f"no TLS with {files}: {error}") from None
    context.set_alpn_protocols(list(alpn))
    return context
