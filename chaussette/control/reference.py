"""Writes the reference of the commands from the commands themselves.

`python -m chaussette.control.reference` prints it; a test compares that with
docs/commands.md, so the page cannot be stale.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control import tail as _tail  # noqa: F401 - the same
from chaussette.control.command import COMMANDS, Command
from chaussette.control.commands.tuning import HARMLESS
from chaussette.control.levels import Level

INTRODUCTION = """\
# Commands

This page is made from the commands in the code
(`python -m chaussette.control.reference`). `circusctl COMMAND` sends one command,
`circusctl` alone is a shell with completion and a history
(`~/.circusctl_history`), and `circusctl help COMMAND` tells what stands here.

Exit code: 0 ok; 3 the arbiter answers with an error; 1 it does not answer; 2 the
command line is wrong. `--json` prints the reply, `--prettify` in many lines.
`--ssh USER@HOST[:PORT]` reaches another machine's endpoint through the program
`ssh`. `eval "$(circusctl --completion bash)"` completes words in bash.

On the wire, a command is one frame of JSON to the control endpoint (ZeroMQ, DEALER
or REQ): `{"id": …, "command": …, "properties": {…}}`, and its reply one frame:
`{"id", "status": "ok", "time", …}` or `{"id", "status": "error", "reason", "errno",
"tb", "time"}`. With `"msg_type": "cast"` there is no reply. `errno` is 1 for what
is not JSON, 2 for an unknown command, 3 for a message that cannot be meant, 4 for
an error of the system, 5 for a command that failed. All is as in Circus, whose
programs and client classes work with this arbiter.

Without `waiting`, the reply comes when the command has begun, with it when it has
ended. Nothing waits for anything else: there is no lock, reads are answered at
once, and a command to one watcher never waits for another one. What a command asks
of a watcher replaces what was asked of it before; who waited for that is told.

Where an endpoint asks for keys (see [security](security.md)), a client's key has a
class, read, operate or configure, and each command needs the one that is named here.

In Python: `chaussette.control.client.CircusClient` and `AsyncCircusClient`
(`send_message(command, **properties)`, `call(message)`, `stop()`), and
`chaussette.control.consumer.CircusConsumer(topics, endpoint=…)` for events.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION]
    for _, command in sorted(COMMANDS.items()):
        parts += _section(command())
    return "\n".join(parts)


def _section(command: Command) -> Iterator[str]:
    yield f"## {command.name}\n"
    yield f"`circusctl {command.name} {command.usage}".rstrip() + "`\n"
    yield f"{command.text()}\n"
    yield f"Class: {_class(command)}.\n"
    if command.properties:
        yield "| property | value | meaning |\n|---|---|---|"
        for name, what in command.properties.items():
            needed = ", required" if what.required else ""
            yield f"| `{name}` | {what.kind}{needed} | {what.help} |"
        yield ""
    if command.replies:
        yield f"Reply: {command.replies}.\n"


def _class(command: Command) -> str:
    if command.name == "set":
        return f"{command.level}; {Level.OPERATE} where only {', '.join(sorted(HARMLESS))} are set"
    return str(command.level)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is its purpose
