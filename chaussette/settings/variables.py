"""`$(circus.NAME)` and `((circus.NAME))` in configuration values.

Names are not case-sensitive. A name that nobody knows stays as it was written,
as in Circus: a later stage (or the process itself) may know it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from chaussette.settings.kinds import show
from chaussette.settings.watcher import WatcherSettings

_VARIABLE = re.compile(r"\$\(circus\.([\w.-]+)\)|\(\(circus\.([\w.-]+)\)\)", re.IGNORECASE)
_SHELL = re.compile(r"\$(?:([A-Z_][A-Z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def expand(text: str, values: Mapping[str, str]) -> str:
    """The text with every known variable filled in; keys of `values` are lower case."""

    def fill(match: re.Match[str]) -> str:
        name = (match[1] or match[2]).lower()
        return values.get(name, match[0])

    return _VARIABLE.sub(fill, text) if "circus." in text.lower() else text


def names_in(text: str) -> Iterator[str]:
    """The names of all variables in a text, lower case."""
    for match in _VARIABLE.finditer(text):
        yield (match[1] or match[2]).lower()


def environment_values(env: Mapping[str, str]) -> dict[str, str]:
    """`env.NAME` for each variable of an environment."""
    return {f"env.{name.lower()}": value for name, value in env.items()}


def expand_shell(text: str, environ: Mapping[str, str], unset: Callable[[str], None]) -> str:
    """`$NAME` and `${NAME}` filled in from an environment, as Circus does in [env].

    A name that is not set becomes empty, and is told to `unset`.
    """

    def fill(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in environ:
            unset(name)
        return environ.get(name, "")

    return _SHELL.sub(fill, text)


def watcher_values(watcher: WatcherSettings) -> dict[str, str]:
    """What cmd and args may name of their own watcher, free options included."""
    names = (
        "shell args working_dir uid gid executable numprocesses priority singleton max_retry "
        "graceful_timeout max_age max_age_variance warmup_delay stop_signal"
    ).split()
    values = {name: show(getattr(watcher, name)) for name in names}
    values.update({name.lower(): value for name, value in watcher.options.items()})
    values["name"] = values["watcher"] = watcher.name
    return values
