"""The command `circusctl`: sends one command to a running arbiter, or many in a shell."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control import tail
from chaussette.control.client import DEFAULT_TIMEOUT, ENVIRONMENT, Client
from chaussette.control.command import COMMANDS, Command, find
from chaussette.control.places import default_endpoint
from chaussette.control.protocol import Reply
from chaussette.errors import ChaussetteError, ConfigError, ControlError, did_you_mean
from chaussette.settings import flags
from chaussette.version import __version__

DAEMON_ERROR = 3
"""Exit code when the arbiter answered with an error, as Circus's client has it."""
USAGE_ERROR = 2
WAIT_TIMEOUT = 3600.0
"""Seconds that a command with --waiting is waited for, where --timeout says nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        own, rest = _split(words)
        namespace, _ = make_parser().read(own)
        if namespace.help or namespace.version:
            return _say(_help(rest) if namespace.help else f"circusctl {__version__}")
        if not rest or rest[0] == "help":
            return _say(_help(rest[1:]))
        return _one(rest, namespace)
    except ConfigError as error:
        return _fail(f"{error}; see circusctl --help", USAGE_ERROR)
    except ControlError as error:
        return _fail(str(error), 1 if type(error).__name__ == "NotAnswered" else USAGE_ERROR)
    except ChaussetteError as error:
        return _fail(str(error), error.exit_code)


def make_parser() -> flags.FlagParser:
    """The parser of the flags before the command."""
    parser = flags.FlagParser(
        prog="circusctl",
        usage="circusctl [flags] COMMAND [words]",
        description="Controls a running circusd.",
    )
    parser.add_argument(
        "--endpoint",
        metavar="ADDRESS",
        default=os.environ.get(ENVIRONMENT),
        help=f"The arbiter's control endpoint. [{ENVIRONMENT}, or {default_endpoint()}]",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help=f"How long to wait for an answer. [{DEFAULT_TIMEOUT:g}]",
    )
    parser.add_argument("--json", action="store_true", help="Print the reply as JSON.")
    parser.add_argument("--version", action="store_true", help="Print the version.")
    parser.add_argument("-h", "--help", action="store_true", help="Print this text.")
    return parser


def parse_words(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """The properties that the words of a command line mean. Raises ConfigError."""
    plain: list[str] = []
    options: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, sign, value = word[2:].partition("=")
        if name not in command.options:
            if command.passes_on and len(plain) >= command.words[0]:
                plain.append(word)
                continue
            raise ConfigError(
                f"{command.name}: unknown option --{name}{did_you_mean(name, command.options)}"
            )
        if command.options[name] and not sign:
            if not queue:
                raise ConfigError(f"{command.name}: --{name} needs a value")
            value = queue.pop(0)
        options[name] = value
    low, high = command.words
    if not low <= len(plain) <= high:
        raise ConfigError(f"usage: circusctl {command.name} {command.usage}".rstrip())
    return command.read(plain, options)


def _one(rest: list[str], namespace: Any) -> int:
    command = find(rest[0])
    properties = parse_words(command, rest[1:])
    timeout = namespace.timeout
    if timeout is None:
        timeout = WAIT_TIMEOUT if properties.get("waiting") else DEFAULT_TIMEOUT
    with Client(namespace.endpoint or default_endpoint(), timeout) as client:
        if command.name == "tail" and properties.get("follow"):
            return _follow(client, properties, as_json=namespace.json)
        reply = client.call(command.name, properties)
    return _print(command, reply, as_json=namespace.json)


def _follow(client: Client, properties: dict[str, Any], as_json: bool) -> int:
    """Prints output as it comes, until it is interrupted."""
    escape = sys.stdout.isatty()
    try:
        tail.follow(
            client,
            properties,
            lambda line: print(  # noqa: T201 - the answer to a question
                json.dumps(line) if as_json else tail.show_line(line, escape), flush=True
            ),
        )
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _print(command: Command, reply: Reply, as_json: bool) -> int:
    if as_json:
        status = (
            {"status": "ok"}
            if reply.ok
            else {"status": "error", "reason": reply.reason, "errno": reply.errno}
        )
        _say(json.dumps({**status, **reply.fields}))
    elif reply.ok:
        _say(command.show(reply))
    else:
        _fail(reply.reason, DAEMON_ERROR)
    return 0 if reply.ok else DAEMON_ERROR


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The client's own flags, and the command with its words."""
    takes_value = {"--endpoint", "--timeout"}
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in takes_value else 1
    return words[:at], words[at:]


def _help(rest: list[str]) -> str:
    if rest:
        command = find(rest[0])
        return f"circusctl {command.name} {command.usage}\n\n{command.__doc__}"
    width = max(len(f"{name} {one.usage}") for name, one in COMMANDS.items())
    lines = [
        f"  {f'{name} {one.usage}':{width}}  {one.__doc__}"
        for name, one in sorted(COMMANDS.items())
    ]
    return "\n".join([make_parser().format_help(), "Commands:", *lines])


def _say(text: str) -> int:
    try:
        print(text.rstrip(), flush=True)  # noqa: T201 - the answer to a question
    except BrokenPipeError:
        # Whoever reads has seen enough; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _fail(text: str, code: int) -> int:
    print(f"circusctl: error: {text}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
