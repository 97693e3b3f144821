"""What may be the next word of a circusctl command line; for the shell and for bash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from chaussette.cli.circusctl import FLAGS, Flags
from chaussette.control.client import Client
from chaussette.control.command import COMMANDS
from chaussette.errors import ChaussetteError

BASH = """\
_circusctl() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD AUTO_COMPLETE=1 \\
        circusctl 2>/dev/null))
}
complete -o default -F _circusctl circusctl"""
KEYS = ("init", "add", "list", "revoke", "show")
ASK_TIMEOUT = 1.0
Ask = Callable[[str, dict[str, object]], Mapping[str, object]]
"""Asks the arbiter something; the fields of its reply, empty where there is none."""


def asker(client: Client) -> Ask:
    """Asks by a client; who completes a word is told of no error."""

    def ask(command: str, properties: dict[str, object]) -> Mapping[str, object]:
        try:
            reply = client.call(command, dict(properties))
        except ChaussetteError:
            return {}
        return reply.fields if reply.ok else {}

    return ask


def candidates(before: Sequence[str], word: str, ask: Ask) -> list[str]:
    """The words that may stand for `word` behind those `before` it; sorted."""
    if not before:
        return _beginning(word, [*COMMANDS, "help", "keys"])
    if before[0] == "keys":
        return _beginning(word, KEYS if len(before) == 1 else ())
    command = COMMANDS.get(before[0])
    if before[0] == "help":
        return _beginning(word, COMMANDS)
    if command is None:
        return []
    if word.startswith("-"):
        return _beginning(word, [f"--{name}" for name in command.options])
    if before[-1] == "--match":
        return _beginning(word, ("simple", "glob", "regex"))
    plain = [one for one in before[1:] if not one.startswith("-")]
    if "name" in command.properties and not plain and command.name != "add":
        return _beginning(word, _names(ask))
    if command.name in ("get", "set") and plain:
        is_value = command.name == "set" and len(plain) % 2 == 0
        return [] if is_value else _beginning(word, _options(ask, plain[0]))
    if command.name == "globaloptions":
        return _beginning(word, _options(ask, None))
    if command.name in ("kill", "signal", "stats") and len(plain) == 1:
        pids = ask("list", {"name": plain[0]}).get("pids", [])
        return _beginning(word, map(str, pids if isinstance(pids, list) else []))
    return []


def complete_bash(environ: Mapping[str, str]) -> str:
    """The candidates for bash, by COMP_WORDS and COMP_CWORD, a line each."""
    text = environ.get("COMP_WORDS", "")
    words = (text.split("\n") if "\n" in text else text.split())[1:]
    try:
        at = int(environ.get("COMP_CWORD", "1")) - 1
    except ValueError:
        at = 0
    word = words[at] if at < len(words) else ""
    try:
        flags = Flags(words[:at])
    except ChaussetteError:
        return ""
    if not flags.rest and word.startswith("-"):
        return "\n".join(_beginning(word, FLAGS))
    with Client(flags.endpoint, ASK_TIMEOUT, flags.credentials) as client:
        return "\n".join(candidates(flags.rest, word, asker(client)))


def _names(ask: Ask) -> list[str]:
    names = ask("list", {}).get("watchers", [])
    return [str(name) for name in names] if isinstance(names, list) else []


def _options(ask: Ask, watcher: str | None) -> list[str]:
    reply = ask("options", {"name": watcher}) if watcher else ask("globaloptions", {})
    options = reply.get("options", {})
    return list(options) if isinstance(options, dict) else []


def _beginning(word: str, words: object) -> list[str]:
    assert hasattr(words, "__iter__")
    return sorted(str(one) for one in words if str(one).startswith(word))
