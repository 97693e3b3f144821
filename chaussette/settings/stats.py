"""The watcher that runs circusd-stats, from `[circus]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from chaussette.settings.arbiter import OWN_KEY, ArbiterSettings
from chaussette.settings.watcher import WatcherSettings

NAME = "circusd-stats"
IMPLIED = "stats_endpoint is set, so that statsd = True is meant"


def implied(settings: ArbiterSettings) -> bool:
    """Whether statistics are wanted without `statsd = True`: whoever says where, wants them."""
    return settings.stats_endpoint is not None and not settings.statsd


def completed(settings: ArbiterSettings) -> ArbiterSettings:
    """The settings with `statsd` on where `stats_endpoint` implies it, as in Circus."""
    return replace(settings, statsd=True) if implied(settings) else settings


def watcher(settings: ArbiterSettings, env: Mapping[str, str] | None = None) -> WatcherSettings:
    """One process; where it connects is filled in when it is started.

    It inherits no socket, as Circus's does: a copy of a listening socket in a
    process that never accepts takes connections that nobody answers.
    """
    return WatcherSettings(
        name=NAME,
        cmd=NAME,
        argv=(
            sys.executable,
            "-m",
            "chaussette.cli.circusdstats",
            "--endpoint=$(circus.endpoint)",
            "--pubsub=$(circus.pubsub_endpoint)",
            "--statspoint=$(circus.stats_endpoint)",
            "--log-level=$(circus.loglevel)",
            "--keys-dir=$(circus.keys_dir)",
            f"--endpoint-owner={settings.endpoint_owner or ''}",
        ),
        env={**OWN_KEY, **(env or {})},
        copy_env=True,
        copy_path=True,
        singleton=True,
        readiness="notify",
        heartbeat_timeout=0.0,
        close_child_stdout=settings.statsd_close_outputs,
        close_child_stderr=settings.statsd_close_outputs,
    )
