"""The command `chaussette`: serves one application from this process.

Reads flags and environment into ServerSettings, answers the questions that
need no server (--version, --list-backends, --check ...), and hands over to the
runner, the reloader or the embedded arbiter, each imported only when it is
used. Decides nothing about serving.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from chaussette.errors import ChaussetteError, ConfigError, did_you_mean
from chaussette.notify import ARBITER_PID
from chaussette.settings import flags
from chaussette.settings.declare import declared
from chaussette.settings.server import ServerSettings
from chaussette.version import __version__

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from chaussette.settings import flagparser

PREFIX = "CHAUSSETTE_"
_QUESTIONS = "Questions"
_PLACES = ("fd", "bind", "host", "port")
"""Settings that say where to listen: given on one level, they replace all of the level below."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        plain = flags.read_plain(ServerSettings, argv)
        if plain is not None:
            return _serve(*_told(*plain), argv)
        namespace, words = make_parser().read(argv)
        answer = _answer(namespace)
        if answer is not None:
            return answer()
        return _act(namespace, words, argv)
    except ChaussetteError as error:
        print(f"chaussette: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code


def make_parser() -> flagparser.FlagParser:
    """The parser with every flag of the command."""
    from chaussette.settings import flagparser  # see flags.read_plain

    parser = flagparser.FlagParser(
        prog="chaussette",
        usage="chaussette [flags] [APPLICATION [ARGUMENT ...]]",
        description="Serves a WSGI or ASGI application. "
        "APPLICATION is module:name, module.name, module:factory('x') or paste:file.ini#name; "
        "without one, a page that says hello.",
        epilog="Each flag can be set in the environment, too: CHAUSSETTE_PORT=8000 is --port 8000.",
    )
    flagparser.add_flags(parser, ServerSettings)
    _add_questions(parser)
    return parser


def _add_questions(parser: flagparser.FlagParser) -> None:
    group = parser.add_argument_group(_QUESTIONS)
    texts = {
        "--check": "Load the application, say whether all is well, and leave.",
        "--print-config": "Print the settings that result from flags and environment.",
        "--list-backends": "Print the backends, what they can do and how to install them.",
        "--version": "Print the version.",
        "--help": "Print this text.",
    }
    for flag, text in texts.items():
        names = ("-h", flag) if flag == "--help" else (flag,)
        group.add_argument(*names, action="store_true", help=text)
    group.add_argument(
        "--completion",
        choices=("bash", "zsh", "fish"),
        metavar="SHELL",
        help="Print the completion for bash, zsh or fish.",
    )


def _answer(namespace: argparse.Namespace) -> Callable[[], int] | None:
    """The question that was asked, if it needs no settings."""
    if namespace.help:
        return lambda: _say(make_parser().format_help().rstrip())
    if namespace.version:
        return lambda: _say(f"chaussette {__version__}")
    if namespace.list_backends:
        return _list_backends
    if namespace.completion:
        return lambda: _complete(namespace.completion)
    return None


def _act(namespace: argparse.Namespace, words: list[str], argv: Sequence[str]) -> int:
    settings, embedded = _told(namespace, words)
    if namespace.print_config:
        return _say("\n".join(flags.to_lines(settings)))
    if namespace.check:
        return _check(settings)
    return _serve(settings, embedded, argv)


def _told(namespace: object, words: list[str]) -> tuple[ServerSettings, bool]:
    """What `read_settings` returns, for this process; near misses in the environment are told."""
    told = read_settings(namespace, words, os.environ)
    for line in warnings(os.environ):
        print(f"chaussette: warning: {line}", file=sys.stderr)  # noqa: T201
    return told


def _serve(settings: ServerSettings, embedded: bool, argv: Sequence[str]) -> int:
    if embedded:
        from chaussette.cli import embedded as arbiter

        return int(arbiter.run(settings, argv))
    if settings.use_reloader:
        from chaussette import reloader

        return reloader.run(settings)
    from chaussette import runner

    return runner.run(settings)


def read_settings(
    namespace: object, words: list[str], environ: Mapping[str, str]
) -> tuple[ServerSettings, bool]:
    """The settings, and whether the number of workers was given. Raises ConfigError."""
    below = flags.from_environment(ServerSettings, environ, PREFIX)
    if ARBITER_PID in environ:
        # It is the arbiter's variable that says how many there are; this is one of them.
        below.pop("workers", None)
    above = flags.given(ServerSettings, namespace)
    if words:
        above.update(application=words[0], app_args=tuple(words[1:]))
    _refuse_conflicts(above)
    if any(name in above for name in _PLACES):
        below = {name: value for name, value in below.items() if name not in _PLACES}
    _refuse_conflicts(below)
    values: dict[str, Any] = {**below, **above}
    return ServerSettings(**values), "workers" in values


def _refuse_conflicts(values: Mapping[str, Any]) -> None:
    """Each of these says where to listen, and they cannot all be meant."""
    places = [name for name in ("fd", "bind") if name in values]
    if "host" in values or "port" in values:
        places.append("host" if "host" in values else "port")
    if len(places) > 1:
        first, second = (f"--{name}" for name in places[:2])
        raise ConfigError(f"{first} and {second} exclude each other: both say where to listen")


def _say(text: str) -> int:
    print(text)  # noqa: T201 - the answer to a question
    return 0


def _check(settings: ServerSettings) -> int:
    from chaussette import runner

    return _say(runner.check(settings))


def _list_backends() -> int:
    from chaussette.cli import backendlist

    return _say(backendlist.table())


def _complete(shell: str) -> int:
    from chaussette.backends import registry
    from chaussette.cli import completion

    names = registry.names()
    flagged = dict.fromkeys(("-k", "--backend", "--worker-class"), names)
    return _say(completion.script(shell, make_parser(), flagged))


def warnings(environ: Mapping[str, str]) -> list[str]:
    """One line for each variable that looks like a setting's and is none."""
    if ARBITER_PID in environ:  # its variables are its own, and one warning is enough
        return []
    known = {name.upper() for name in declared(ServerSettings)} | {"RELOADER", "SCOREBOARD"}
    ours = (name.removeprefix(PREFIX) for name in sorted(environ) if name.startswith(PREFIX))
    hints = ((name, did_you_mean(name, known)) for name in ours if name not in known)
    return [
        f"{PREFIX}{name} in the environment is no setting{hint}" for name, hint in hints if hint
    ]
