"""Writes the settings reference of the docs from the declarations.

`python -m chaussette.settings.reference` prints it; a test compares that with
docs/settings.md, so the page cannot be stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import Setting, declared, describe_default
from chaussette.settings.load import HOOKS
from chaussette.settings.server import ServerSettings
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.watcher import RLIMITS, WatcherSettings

INTRODUCTION = """\
# Settings

This page is made from the declarations in the code
(`python -m chaussette.settings.reference`). Keys of ini files may be written in
any case. An unknown key is an error that names the nearest known one; only
`[watcher:NAME]` and `[plugin:NAME]` keep keys of your own, and say so at start.

Times are seconds; `500ms`, `30s`, `5m` and `1h` are understood as well. Sizes
are bytes, or a number with `K`, `M` or `G`.
"""

MORE_OF_WATCHERS = """\
Further keys of a watcher:

- `rlimit_NAME`: a limit of setrlimit(2), soft and hard: {limits}. A number, or
  `infinity`.
- `stdout_stream.KEY`, `stderr_stream.KEY`: where output goes. `class` is
  `FileStream` (with `filename`, `max_bytes`, `backup_count`, `time_format`) or
  `StdoutStream`, the default. With `filename` alone, `FileStream` is meant.
- `hooks.NAME`: {hooks}.
- `[env]` sets environment variables for all watchers, `[env:PATTERN,…]` for
  those whose name matches.

Variables, in `cmd`, `args`, `working_dir`, stream keys and `[env]`:
`$(circus.sockets.NAME)` (a descriptor's number), `$(circus.wid)` (the process's
number in its watcher), `$(circus.python)` (the Python that runs the arbiter),
`$(circus.env.NAME)`, and `$(circus.KEY)` for most keys
of the watcher itself. `((circus.NAME))` means the same.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [
        INTRODUCTION,
        *_section("`[circus]`: the arbiter", ArbiterSettings),
        *_section("`[socket:NAME]`: a listening socket", SocketSettings),
        *_section("`[watcher:NAME]`: a group of processes", WatcherSettings),
        MORE_OF_WATCHERS.format(limits=_names(sorted(RLIMITS)), hooks=_names(HOOKS)),
        *_section("`chaussette`: the runner", ServerSettings),
    ]
    return "\n".join(parts)


def _section(title: str, owner: type[Any]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for name, (what, default) in declared(owner).items():
        yield _row(name, what, default)
    yield ""


def _row(name: str, what: Setting, default: Any) -> str:
    names = ", ".join(f"`{one}`" for one in (name, *what.aliases, *what.flags))
    value = what.kind.metavar.replace("|", "\\|")
    help_text = what.help.replace("|", "\\|")
    return f"| {names} | {value} | {_default(what, default)} | {help_text} |"


def _default(what: Setting, default: Any) -> str:
    if what.kind.metavar == "SIGNAL":
        import signal  # only here, to show a number by its name

        return signal.Signals(default).name
    return describe_default(default)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is its purpose
