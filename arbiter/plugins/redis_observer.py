"""Sends a Redis server's figures; may restart a watcher when it does not answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from chaussette.arbiter.plugins.remote import RemoteObserver
from chaussette.errors import ConfigError
from chaussette.settings.plugins import RedisOptions

log = logging.getLogger("chaussette.plugin.redis_observer")
OBSERVED = (
    "pubsub_channels connected_slaves lru_clock connected_clients keyspace_misses used_memory "
    "used_memory_peak total_commands_processed used_memory_rss total_connections_received "
    "pubsub_patterns used_cpu_sys used_cpu_sys_children blocked_clients used_cpu_user "
    "client_biggest_input_buf mem_fragmentation_ratio expired_keys evicted_keys "
    "client_longest_output_list uptime_in_seconds keyspace_hits"
).split()
"""Figures of INFO, with Circus's names; a server that does not have one leaves it out."""


class RedisObserver(RemoteObserver):
    """Asks a server for INFO."""

    name = "redis_observer"
    Options = RedisOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        try:
            import redis  # an extra: only who uses this plugin needs it
        except ModuleNotFoundError:
            raise ConfigError("redis is missing: pip install 'chaussette[redis]'") from None
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        try:
            self._server = redis.Redis.from_url(
                self.options.redis_url,
                socket_timeout=self.options.timeout,
                socket_connect_timeout=self.options.timeout,
            )
        except ValueError as error:
            raise ConfigError(f"redis_url = {self.options.redis_url!r}: {error}") from None

    def look(self) -> Mapping[str, Any] | str:
        """What the server says of itself, or why it does not."""
        try:
            return dict(self._server.info())
        except self._errors as error:
            return str(error) or type(error).__name__

    def seen(self, outcome: Mapping[str, Any] | str) -> None:
        """Sends the figures, or restarts what is to be restarted."""
        if isinstance(outcome, str):
            log.warning("redis: %s", outcome)
            self.statsd.increment("redis_stats.error")
            if self.options.restart_on_timeout:
                self.statsd.increment("redis_stats.restart_on_error")
                self.restart(self.options.restart_on_timeout)
            return
        for name in OBSERVED:
            if isinstance(value := outcome.get(name), int | float):
                self.statsd.gauge(f"redis_stats.{name}", value)
