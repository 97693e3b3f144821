"""The command `circusd`: runs the stack that an ini file describes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaussette.errors import ChaussetteError, ConfigError
from chaussette.settings import flagparser, flags
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.load import StackConfig, load_stack, with_overrides
from chaussette.version import __version__

if TYPE_CHECKING:
    import argparse


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    try:
        namespace, words = make_parser().read(sys.argv[1:] if argv is None else argv)
        if namespace.help or namespace.version:
            return _say(make_parser().format_help() if namespace.help else f"circusd {__version__}")
        if len(words) != 1:
            raise ConfigError(
                f"expected one configuration file, got {len(words)}; see circusd --help"
            )
        config = _load(words[0], namespace)
        return _check(config) if namespace.check else _run(config, namespace.daemon)
    except ChaussetteError as error:
        for line in str(error).splitlines():
            print(f"circusd: error: {line}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def make_parser() -> flagparser.FlagParser:
    """The parser with every flag of the command."""
    parser = flagparser.FlagParser(
        prog="circusd",
        usage="circusd [flags] FILE.ini",
        description="Binds sockets, starts processes and watches over them.",
        epilog="Signals: TERM and INT stop in order (twice: at once), QUIT at once, HUP reloads, "
        "USR1 reopens log files.",
    )
    flagparser.add_flags(parser, ArbiterSettings)
    group = parser.add_argument_group("Running")
    for flag, text in {
        "--check": "Check the file, say what is wrong with it, and leave.",
        "--daemon": "Go to the background.",
        "--version": "Print the version.",
        "--help": "Print this text.",
    }.items():
        names = ("-h", flag) if flag == "--help" else (flag,)
        group.add_argument(*names, action="store_true", help=text)
    return parser


def _load(path: str, namespace: argparse.Namespace) -> StackConfig:
    """The file's configuration, with the command line's flags over it."""
    config = load_stack(path, os.environ)
    over = flags.given(ArbiterSettings, namespace)
    return with_overrides(config, over)


def _check(config: StackConfig) -> int:
    from chaussette.arbiter.checks import check_system
    from chaussette.arbiter.stack import without_effect

    check_system(config)
    for line in (*config.warnings, *without_effect(config)):
        print(f"circusd: {line}", file=sys.stderr)  # noqa: T201
    sockets, watchers = len(config.sockets), len(config.watchers)
    return _say(f"{config.files[0]}: ok ({sockets} sockets, {watchers} watchers)")


def _run(config: StackConfig, daemon: bool) -> int:
    from chaussette.arbiter.stack import Surroundings, run_stack

    if not daemon:
        return run_stack(config)
    from chaussette.cli.background import Background  # rarely wanted

    return run_stack(config, Surroundings(announce=Background().announce))


def _say(text: str) -> int:
    print(text.rstrip())  # noqa: T201 - the answer to a question
    return 0


if __name__ == "__main__":
    sys.exit(main())
