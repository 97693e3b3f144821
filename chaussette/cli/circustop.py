"""The command `circus-top`: what processes use, from the statistics that are published.

It prints, and is no screen of its own: once for scripts, or sample after sample.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chaussette.control.places import default_runtime_dir
from chaussette.errors import ChaussetteError, ConfigError, NotAnswered
from chaussette.settings import flagparser
from chaussette.stats.board import SORTS, Board, lines
from chaussette.stats.roster import CIRCUS
from chaussette.version import __version__

if TYPE_CHECKING:
    import argparse

    from chaussette.control.consumer import CircusConsumer

TIMEOUT = 5.0
SILENCE = 0.2
"""Seconds without a message that end a sample."""
_CLEAR = "\x1b[H\x1b[2J"
_FLAGS = {
    "--endpoint": ("ADDRESS", "Where statistics are published. [stats.sock of the runtime dir]"),
    "--sort": ("KEY", f"One of {', '.join(SORTS)}. [cpu]"),
    "--timeout": ("SECONDS", f"How long to wait for statistics. [{TIMEOUT:g}]"),
    "--client-key": ("FILE", "Your key, where the endpoint asks for one."),
    "--ssh": ("USER@HOST", "Reach the endpoint through ssh."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    try:
        parser = make_parser()
        namespace, words = parser.read(sys.argv[1:] if argv is None else argv)
        if namespace.help or namespace.version:
            print(parser.format_help() if namespace.help else f"circus-top {__version__}")  # noqa: T201
            return 0
        if words:
            raise ConfigError(f"unexpected word {words[0]!r}")
        with contextlib.suppress(KeyboardInterrupt):
            _run(namespace)
        return 0
    except ChaussetteError as error:
        print(f"circus-top: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except BrokenPipeError:  # who reads has seen enough
        return 0


def make_parser() -> flagparser.FlagParser:
    """The parser with every flag of the command."""
    parser = flagparser.FlagParser(
        prog="circus-top",
        usage="circus-top [flags]",
        description="Prints what the processes of a circusd use (statsd = True), each second.",
    )
    parser.add_argument("--once", action="store_true", help="Print one sample, and end.")
    parser.add_argument("--json", action="store_true", help="Print JSON, a line for each sample.")
    for flag, (metavar, text) in _FLAGS.items():
        parser.add_argument(flag, metavar=metavar, help=text)
    parser.add_argument("--version", action="store_true", help="Print the version.")
    parser.add_argument("-h", "--help", action="store_true", help="Print this text.")
    return parser


def _run(namespace: argparse.Namespace) -> None:
    sort = namespace.sort or "cpu"
    if sort not in SORTS:
        raise ConfigError(f"--sort {sort!r}: expected one of {', '.join(SORTS)}")
    try:
        timeout = float(namespace.timeout or TIMEOUT)
    except ValueError:
        raise ConfigError(f"--timeout {namespace.timeout!r}: expected a number") from None
    from chaussette.control.consumer import CircusConsumer  # zmq: --help needs none
    from chaussette.control.curve import Credentials

    endpoint = namespace.endpoint or f"ipc://{default_runtime_dir()}/stats.sock"
    with CircusConsumer(
        ["stat."],
        endpoint=endpoint,
        ssh_server=namespace.ssh,
        credentials=Credentials(namespace.client_key),
    ) as consumer:
        samples = _samples(consumer, timeout, sort)
        next(samples)  # CPU is counted between two
        for told in samples:
            _show(told, namespace)
            if namespace.once:
                return


def _samples(consumer: CircusConsumer, timeout: float, sort: str) -> Iterator[Mapping[str, Any]]:
    """What is known whenever the arbiter's own figures have come. Raises NotAnswered."""
    board = Board()
    socket = consumer.pubsub_socket
    while True:
        deadline, patience = time.monotonic() + timeout, timeout
        while socket.poll(int(min(patience, max(0.0, deadline - time.monotonic())) * 1000)):
            frames = socket.recv_multipart()
            with contextlib.suppress(ValueError):
                board.take(frames[0].decode("utf-8", "replace"), json.loads(frames[-1]))
            if frames[0] == f"stat.{CIRCUS}".encode():
                patience = SILENCE
        if patience == timeout:
            raise NotAnswered(
                f"no statistics from {consumer.endpoint} within {timeout:g}s: does circusd run, "
                "with `statsd = True`? `circusctl globaloptions stats_endpoint` tells where"
            )
        yield board.told(sort)


def _show(told: Mapping[str, Any], namespace: argparse.Namespace) -> None:
    if namespace.json:
        print(json.dumps(told), flush=True)  # noqa: T201
        return
    on_screen = sys.stdout.isatty() and not namespace.once
    print((_CLEAR if on_screen else "") + "\n".join(lines(told)), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
