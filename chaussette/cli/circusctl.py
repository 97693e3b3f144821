"""The command `circusctl`: sends one command to a running arbiter, or many in a shell.

It is started often and does little, so it loads little: flags are read by hand,
and the shell, the tunnel, events and libzmq are imported where they are used.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control import tail
from chaussette.control.client import DEFAULT_TIMEOUT, ENVIRONMENT, Client
from chaussette.control.command import COMMANDS, Command, find
from chaussette.control.curve import Credentials
from chaussette.control.places import default_endpoint, seen_from
from chaussette.control.protocol import Reply
from chaussette.errors import (
    ChaussetteError,
    ConfigError,
    ControlError,
    KeyRefused,
    NotAnswered,
    WantsKey,
    did_you_mean,
)
from chaussette.version import __version__

DAEMON_ERROR = 3
"""Exit code when the arbiter answered with an error, as Circus's client has it."""
USAGE_ERROR = 2
WAIT_TIMEOUT = 3600.0
"""Seconds that a command with --waiting is waited for, where --timeout says nothing."""
FLAGS = {
    "--endpoint": ("ADDRESS", "The arbiter's control endpoint"),
    "--timeout": ("SECONDS", "How long to wait for an answer"),
    "--json": ("", "Print the reply as JSON"),
    "--prettify": ("", "Print JSON in many lines"),
    "--client-key": ("FILE", "The key of this client, where the endpoint asks for one"),
    "--server-key": ("KEY", "The public key of the endpoint, if the client's file has none"),
    "--ssh": ("USER@HOST[:PORT]", "Reach the endpoint of another machine through ssh"),
    "--ssh_keyfile": ("FILE", "The private key that ssh shall use"),
    "--completion": ("SHELL", "Print the completion script for bash"),
    "--version": ("", "Print the version"),
    "--help": ("", "Print this text, or what is known of a command"),
}
"""Flags before the command: what follows, and the help."""


class Flags:
    """The flags before the command. Raises ConfigError for what is none."""

    def __init__(self, words: Sequence[str]) -> None:
        self.given: dict[str, str] = {}
        self.rest = list(words)
        while self.rest and self.rest[0].startswith("-"):
            self._read(self.rest.pop(0))
        timeout = self.given.get("--timeout")
        try:
            self.timeout = None if timeout is None else float(timeout)
        except ValueError:
            raise ConfigError(f"--timeout {timeout}: expected seconds") from None
        if self.timeout is not None and not 0 <= self.timeout < 1e9:
            raise ConfigError(f"--timeout {timeout}: expected seconds, 0 or more")

    @property
    def endpoint(self) -> str:
        """The endpoint that is meant."""
        return self.given.get("--endpoint") or os.environ.get(ENVIRONMENT) or default_endpoint()

    @property
    def credentials(self) -> Credentials:
        """The key that is meant."""
        return Credentials(self.given.get("--client-key"), self.given.get("--server-key"))

    def timeout_for(self, properties: dict[str, Any]) -> float:
        """How long to wait for a reply."""
        if self.timeout is not None:
            return self.timeout
        return WAIT_TIMEOUT if properties.get("waiting") else DEFAULT_TIMEOUT

    def __contains__(self, flag: str) -> bool:
        return flag in self.given

    def _read(self, word: str) -> None:
        name, sign, value = word.partition("=")
        name = "--help" if name == "-h" else name
        if name not in FLAGS:
            raise ConfigError(f"unknown flag {name}{did_you_mean(name, FLAGS)}")
        if FLAGS[name][0] and not sign:
            if not self.rest:
                raise ConfigError(f"{name} needs a value")
            value = self.rest.pop(0)
        self.given[name] = value


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    if "AUTO_COMPLETE" in os.environ:
        return _complete()
    try:
        flags = Flags(sys.argv[1:] if argv is None else argv)
        if "--version" in flags:
            return _say(f"circusctl {__version__}")
        if "--completion" in flags:
            return _completion_script(flags.given["--completion"])
        rest = flags.rest
        if "--help" in flags or rest[:1] == ["help"]:
            return _say(help_text(rest[1:] if rest[:1] == ["help"] else rest))
        if rest and rest[-1] in ("--help", "-h"):
            return _say(help_text(rest[:1]))
        if rest[:1] == ["keys"]:
            return _keys(rest[1:])
        with connected(flags) as client:
            return run_words(client, flags, rest) if rest else _shell(client, flags)
    except KeyboardInterrupt:
        return 1
    except (ConfigError, ControlError) as error:
        code = 1 if isinstance(error, NotAnswered) else USAGE_ERROR
        return fail(f"{error}; see circusctl --help" if code == USAGE_ERROR else str(error), code)
    except ChaussetteError as error:
        return fail(str(error), error.exit_code)


def run_words(client: Client, flags: Flags, words: list[str]) -> int:
    """Runs one command line and shows its reply; the exit code. Raises ControlError."""
    command = find(words[0])
    properties = parse_words(command, words[1:])
    client.timeout = flags.timeout_for(properties)
    if command.listens:
        return _listen(client, properties["topics"], flags)
    if command.name == "tail" and properties.get("follow"):
        return _follow(client, properties, as_json="--json" in flags)
    reply = client.call(command.name, properties)
    return _print(command, reply, flags)


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


def help_text(rest: Sequence[str] = ()) -> str:
    """What is known of a command, or of all."""
    if rest and rest[0] == "keys":
        from chaussette.cli.keys import HELP

        return HELP
    if rest:
        command = find(rest[0])
        return f"circusctl {command.name} {command.usage}\n\n{command.text()}"
    flags = {f"{flag} {value}".rstrip(): text for flag, (value, text) in FLAGS.items()}
    commands = {
        f"{name} {one.usage.partition(' [--')[0]}".rstrip(): one().text().partition("\n")[0]
        for name, one in sorted(COMMANDS.items())
    }
    commands["keys"] = "Make, list and revoke the keys that tcp:// endpoints ask for."
    width = max(map(len, (*flags, *commands)))
    return "\n".join(
        [
            "usage: circusctl [flags] COMMAND [words]",
            "       circusctl [flags]            (a shell)",
            "",
            f"Controls a running circusd, by default the one at {default_endpoint()}",
            f"(--endpoint, or {ENVIRONMENT}). Exit code: 0 ok; 3 the arbiter says no;",
            "1 it does not answer; 2 the command line is wrong.",
            "",
            "Flags:",
            *(f"  {name:{width}}  {text}." for name, text in flags.items()),
            "",
            "Commands (circusctl help COMMAND tells more):",
            *(f"  {name:{width}}  {text}" for name, text in sorted(commands.items())),
        ]
    )


@contextlib.contextmanager
def connected(flags: Flags) -> Iterator[Client]:
    """A client of the endpoint that is meant, through a tunnel where one is asked for."""
    with contextlib.ExitStack() as stack:
        endpoint = flags.endpoint
        if "--ssh" in flags:
            from chaussette.control.tunnel import Tunnel  # only where it is asked for

            key = flags.given.get("--ssh_keyfile")
            endpoint = stack.enter_context(Tunnel(flags.given["--ssh"], endpoint, key)).endpoint
        timeout = flags.timeout or DEFAULT_TIMEOUT
        yield stack.enter_context(Client(endpoint, timeout, flags.credentials))


def fail(text: str, code: int) -> int:
    """Says what went wrong; the code."""
    print(f"circusctl: error: {text}", file=sys.stderr)  # noqa: T201
    return code


def _keys(words: Sequence[str]) -> int:
    from chaussette.cli.keys import run  # the only part of it that writes files

    return run(words)


def _shell(client: Client, flags: Flags) -> int:
    from chaussette.cli.ctlshell import Shell  # a single command needs none of it

    return Shell(client, flags).run()


def _listen(client: Client, topics: list[str], flags: Flags) -> int:
    """Prints events until it is interrupted."""
    from chaussette.control.consumer import CircusConsumer  # brings libzmq with it

    # An endpoint that answers no question is taken for the one that publishes.
    client.timeout = flags.timeout or (1.0 if "--endpoint" in flags else DEFAULT_TIMEOUT)
    endpoint = flags.endpoint
    try:
        options = client.call("globaloptions", {"option": "pubsub_endpoint"}).fields["options"]
        endpoint = seen_from(client.endpoint, options["pubsub_endpoint"])
    except (NotAnswered, ControlError) as error:
        if "--endpoint" not in flags or isinstance(error, WantsKey | KeyRefused):
            raise
    server = flags.given.get("--ssh")
    key = flags.credentials
    with CircusConsumer(topics, endpoint=endpoint, ssh_server=server, credentials=key) as consumer:
        for topic, message in consumer:
            _say(f"{topic.decode('utf-8', 'replace')}: {message.decode('utf-8', 'replace')}")
    return 0


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


def _print(command: Command, reply: Reply, flags: Flags) -> int:
    if "--json" in flags or "--prettify" in flags:
        status = (
            {"status": "ok"}
            if reply.ok
            else {"status": "error", "reason": reply.reason, "errno": reply.errno}
        )
        pretty = {"indent": 2, "sort_keys": True} if "--prettify" in flags else {}
        _say(json.dumps({**status, **reply.fields}, **pretty))  # type: ignore[arg-type]
    elif reply.ok:
        _say(command.show(reply))
    else:
        fail(reply.reason, DAEMON_ERROR)
    return 0 if reply.ok else DAEMON_ERROR


def _complete() -> int:
    from chaussette.cli.ctlwords import complete_bash  # asked for by the shell's completion

    _say(complete_bash(os.environ))
    return 1


def _completion_script(shell: str) -> int:
    from chaussette.cli.ctlwords import BASH

    if shell != "bash":
        raise ConfigError(f"--completion {shell}: expected bash")
    return _say(BASH)


def _say(text: str) -> int:
    try:
        print(text.rstrip(), flush=True)  # noqa: T201 - the answer to a question
    except BrokenPipeError:
        # Whoever reads has seen enough; nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
