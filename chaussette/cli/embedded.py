"""`chaussette -w N …`: the arbiter of circusd with one watcher, made from flags.

There is no second process manager: this module writes the configuration that
an ini file would have given, and runs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from chaussette import listener
from chaussette.arbiter.stack import Surroundings, run_stack
from chaussette.errors import ConfigError
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.flags import to_argv
from chaussette.settings.load import StackConfig
from chaussette.settings.server import ServerSettings
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.watcher import WatcherSettings

NAME = "web"
_ARBITERS = (
    "workers",
    "bind",
    "host",
    "port",
    "fd",
    "backlog",
    "reuse_port",
    "address_family",
    "socket_type",
)


def run(settings: ServerSettings, argv: Sequence[str]) -> int:
    """Runs the workers until stopped. Raises ChaussetteError when they cannot be started."""
    del argv
    places = listener.plan(settings, os.environ, os.getpid())
    passed = {
        _name(index): listener.inherit(place.fd)
        for index, place in enumerate(places)
        if isinstance(place, listener.Inherited)
    }
    config = make_config(settings, places)
    return run_stack(config, Surroundings(has_endpoint=False, passed=passed))


def make_config(settings: ServerSettings, places: Sequence[listener.Address]) -> StackConfig:
    """The stack that serves what the settings say. Raises ConfigError."""
    if settings.use_reloader:
        raise ConfigError("--use-reloader works with one process: leave --workers out")
    sockets = tuple(_socket(settings, _name(index), place) for index, place in enumerate(places))
    return StackConfig(
        arbiter=ArbiterSettings(loglevel=settings.log_level, logoutput=settings.log_output),
        sockets=sockets,
        watchers=(_watcher(settings, sockets),),
    )


def _name(index: int) -> str:
    return NAME if index == 0 else f"{NAME}{index}"


def _watcher(settings: ServerSettings, sockets: tuple[SocketSettings, ...]) -> WatcherSettings:
    binds = [f"--bind=fd://$(circus.sockets.{one.name})" for one in sockets]
    words = [sys.executable, "-m", "chaussette", *binds, *to_argv(settings, skip=_ARBITERS)]
    return WatcherSettings(
        name=NAME,
        argv=(*words, settings.application, *settings.app_args),
        cmd="chaussette",
        numprocesses=settings.workers,
        use_sockets=True,
        copy_env=True,
        env={"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {},
        graceful_timeout=settings.graceful_timeout,
        boot_timeout=settings.boot_timeout,
        heartbeat_timeout=settings.timeout,
        readiness="notify",
        critical=True,
        max_retry=0,
    )


def _socket(settings: ServerSettings, name: str, place: listener.Address) -> SocketSettings:
    common = SocketSettings(
        name=name, port=0, backlog=settings.backlog, so_reuseport=settings.reuse_port
    )
    match place:
        case listener.Tcp(host, port):
            family = settings.address_family
            return replace(common, host=host or "0.0.0.0", port=port, family=family)
        case listener.Unix(path):
            return replace(common, path=path)
        case listener.Inherited():
            return common


__all__ = ["make_config", "run"]
