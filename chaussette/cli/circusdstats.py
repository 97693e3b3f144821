"""The command `circusd-stats`: publishes the statistics of a running circusd.

circusd starts it where `[circus] statsd = True` says so; by hand it serves any
arbiter, PyPI's circusd included.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaussette.arbiter.users import look_up_owner
from chaussette.cli.clientlog import set_up_logging
from chaussette.control.client import ENVIRONMENT
from chaussette.control.curve import CLIENT_KEY
from chaussette.control.places import default_endpoint, default_runtime_dir, is_public_tcp
from chaussette.errors import ChaussetteError, ConfigError
from chaussette.notify import Notifier
from chaussette.settings import flagparser
from chaussette.settings.server import LOG_LEVELS
from chaussette.version import __version__

if TYPE_CHECKING:
    import argparse

_FLAGS = {
    "--endpoint": ("ADDRESS", f"The arbiter's control endpoint. [{ENVIRONMENT}, or the default]"),
    "--pubsub": ("ADDRESS", "The arbiter's pubsub endpoint. [events.sock beside the default]"),
    "--statspoint": ("ADDRESS", "Where to publish. [stats.sock beside the default]"),
    "--interval": ("SECONDS", "Seconds between two samples. [1]"),
    "--details": ("N", "Processes whose details are read anew for each sample. [100]"),
    "--log-level": ("LEVEL", f"One of {', '.join(LOG_LEVELS)}. [info]"),
    "--log-output": ("FILE", "Where to log; -: standard error. [-]"),
    "--keys-dir": ("DIR", "Keys of who may read at a tcp:// statspoint (circusctl help keys)."),
    "--endpoint-owner": ("USER", "Who gets the file of an ipc:// statspoint."),
    "--client-key": ("FILE", "Our key, where the arbiter's endpoints ask for one."),
    "--ssh": ("USER@HOST", "Reach the arbiter through ssh."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    try:
        parser = make_parser()
        namespace, words = parser.read(sys.argv[1:] if argv is None else argv)
        if namespace.help or namespace.version:
            print(parser.format_help() if namespace.help else f"circusd-stats {__version__}")  # noqa: T201
            return 0
        if words:
            raise ConfigError(f"unexpected word {words[0]!r}")
        return _run(namespace)
    except ChaussetteError as error:
        print(f"circusd-stats: error: {error}", file=sys.stderr)  # noqa: T201
        Notifier().boot_error(str(error))
        return error.exit_code


def make_parser() -> flagparser.FlagParser:
    """The parser with every flag of the command."""
    parser = flagparser.FlagParser(
        prog="circusd-stats",
        usage="circusd-stats [flags]",
        description="Publishes what the processes of a running circusd use, each second.",
    )
    for flag, (metavar, text) in _FLAGS.items():
        parser.add_argument(flag, metavar=metavar, help=text)
    parser.add_argument("--version", action="store_true", help="Print the version.")
    parser.add_argument("-h", "--help", action="store_true", help="Print this text.")
    return parser


def _run(namespace: argparse.Namespace) -> int:
    from chaussette.stats.loop import Places, StatsLoop  # zmq: --help needs none

    interval = _number("--interval", namespace.interval, 1.0, 0.01)
    details = int(_number("--details", namespace.details, 100, 0))
    endpoint = namespace.endpoint or os.environ.get(ENVIRONMENT) or default_endpoint()
    pubsub = namespace.pubsub or f"ipc://{default_runtime_dir()}/events.sock"
    statspoint = namespace.statspoint or f"ipc://{default_runtime_dir()}/stats.sock"
    keys_dir = namespace.keys_dir or None
    if is_public_tcp(statspoint) and keys_dir is None:
        raise ConfigError(
            f"--statspoint {statspoint} is open to other machines: use ipc://, keys (--keys-dir), "
            "or tcp://127.0.0.1 behind an ssh tunnel"
        )
    owner_uid = look_up_owner(namespace.endpoint_owner).uid if namespace.endpoint_owner else None
    if namespace.client_key is not None:
        os.environ[CLIENT_KEY] = namespace.client_key
    set_up_logging(namespace.log_level or "info", namespace.log_output or "-")
    notifier = Notifier()
    with contextlib.ExitStack() as tunnels:
        if namespace.ssh is not None:
            from chaussette.control.tunnel import Tunnel  # only where it is asked for

            endpoint = tunnels.enter_context(Tunnel(namespace.ssh, endpoint)).endpoint
            pubsub = tunnels.enter_context(Tunnel(namespace.ssh, pubsub)).endpoint
        places = Places(endpoint, pubsub, statspoint, keys_dir, owner_uid)
        StatsLoop(places, interval, details).run(notifier.ready)
    notifier.stopping()
    return 0


def _number(flag: str, text: str | None, default: float, least: float) -> float:
    try:
        value = float(text) if text is not None else default
    except ValueError:
        value = least - 1
    if not least <= value <= 1e9:
        raise ConfigError(f"{flag} {text!r}: expected a number from {least:g}")
    return value


if __name__ == "__main__":
    sys.exit(main())
