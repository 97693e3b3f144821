"""What a program gives to the library's arbiter: from keyword arguments to settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from chaussette.errors import ConfigError
from chaussette.settings import plugins as plugin_settings
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import key_names
from chaussette.settings.values import typed

log = logging.getLogger("chaussette.arbiter")
_CIRCUS_ONLY = (
    "context loop stream_backend ssh_server proc_name prereload_fn endpoint_owner_mode"
).split()
"""Circus's arguments that cannot mean anything here."""


def arbiter_settings(
    settings: dict[str, Any], endpoint: str | None, pubsub_endpoint: str | None
) -> ArbiterSettings:
    """The settings of `[circus]` from keyword arguments. Raises ConfigError."""
    for name in _CIRCUS_ONLY:
        if settings.pop(name, None) is not None:
            log.warning("%s means nothing here: it is Circus's own", name)
    given = {**settings, "endpoint": endpoint, "pubsub_endpoint": pubsub_endpoint}
    try:
        return typed(
            ArbiterSettings,
            {
                key: value
                for key, value in given.items()
                if value is not None or key not in key_names(ArbiterSettings)
            },
        )
    except ConfigError as error:
        raise ConfigError(f"arbiter: {error}") from None


def plugin_from(values: Mapping[str, Any]) -> Any:
    """The watcher that runs a plugin, from a dictionary with `use`. Raises ConfigError."""
    texts = {key: str(value) for key, value in values.items()}
    label = texts.pop("name", "") or texts.get("use", "").rpartition(".")[2].lower()
    try:
        plugin_settings.check(texts)
    except ConfigError as error:
        raise ConfigError(f"plugin {label!r}: {error}") from None
    return plugin_settings.watcher(label, texts)
