"""Command line flags of a settings class: read, and written.

One field gives one flag (its spellings, its metavar, its help with the default,
its group); nothing is declared twice. Values come back typed, and only those
that were given, so that flags can be laid over the environment and that over a
file. Knows no program and no particular setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace

from chaussette.errors import ConfigError
from chaussette.settings.declare import Setting, declared, parse_value
from chaussette.settings.kinds import show

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any


def read_plain(owner: type[Any], argv: Sequence[str]) -> tuple[SimpleNamespace, list[str]] | None:
    """What FlagParser.read would return, without argparse: half a megabyte that workers save.

    None for a command line that has more in it than words and flags of the
    class with good values: the parser then finds out what it means, or what is
    wrong with it.
    """
    settings = declared(owner)
    names = {flag: name for name, (what, _) in settings.items() for flag in what.flags}
    values: dict[str, Any] = {}
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words += rest
        elif word == "-" or not word.startswith("-"):
            words.append(word)
        else:
            flag, equals, text = word.partition("=")
            name = names.get(flag, "")
            try:
                value = _plain_value(owner, name, text if equals else None, rest)
            except ValueError:
                return None
            what = settings[name][0]
            values[name] = (*values.get(name, ()), *value) if what.kind.is_list else value
    return SimpleNamespace(**values), words


def _plain_value(owner: type[Any], name: str, text: str | None, rest: Iterator[str]) -> Any:
    """The value of one flag, with what follows `=`. Raises ValueError for what is not plain."""
    if not name:
        raise ValueError(name)
    default = declared(owner)[name][1]
    if isinstance(default, bool):
        if text is not None:
            raise ValueError(text)
        return not default
    if text is None:
        text = next(rest, "-")
        if text.startswith("-"):  # the next flag, or a number below zero
            raise ValueError(text)
    try:
        return parse_value(owner, name, text)
    except ConfigError as error:
        raise ValueError(text) from error


def given(owner: type[Any], namespace: object) -> dict[str, Any]:
    """The typed values of the flags that stood on the command line."""
    values = {
        name: getattr(namespace, name) for name in declared(owner) if hasattr(namespace, name)
    }
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def from_environment(owner: type[Any], environ: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """The typed values of the variables PREFIX + NAME; an empty one counts as absent."""
    values: dict[str, Any] = {}
    for name, (what, _) in declared(owner).items():
        spellings = (prefix + name.upper(), *what.variables)
        variable = next((each for each in spellings if environ.get(each, "") != ""), None)
        if variable:
            try:
                values[name] = parse_value(owner, name, environ[variable])
            except ConfigError as error:
                raise ConfigError(f"environment variable {variable}: {error}") from None
    return values


def to_argv(settings: Any, skip: Iterable[str] = ()) -> list[str]:
    """The flags that would give these settings, without those that are at their default.

    Fields without a flag are left out; so are those named in `skip`.
    """
    argv: list[str] = []
    for name, (what, default) in declared(type(settings)).items():
        value = getattr(settings, name)
        if what.flags and name not in skip and value != default:
            argv += _written(what, value)
    return argv


def _written(what: Setting, value: Any) -> list[str]:
    flag = max(what.flags, key=lambda spelling: spelling.startswith("--"))
    if isinstance(value, bool):
        return [flag]
    if what.kind.is_list:
        return [f"{flag}={_text(what, part, (part,))}" for part in value]
    return [f"{flag}={_text(what, value, value)}"]


def _text(what: Setting, value: Any, wanted: Any) -> str:
    """The text that the setting's kind reads back as `wanted`."""
    import shlex  # which needs re; a worker writes no flags

    octal = [f"{value:o}"] if isinstance(value, int) else []
    exact = [f"{value:.12f}"] if isinstance(value, float) else [shlex.quote(str(value))]
    for text in (show(value), *exact, *octal, *what.kind.choices):
        try:
            if what.kind.parse(text) == wanted:
                return text
        except ValueError:
            continue
    raise ConfigError(f"{what.flags[0]}: {value!r} cannot be written as a flag")


def to_lines(settings: Any) -> list[str]:
    """The settings as lines of a configuration file, in order."""
    return [
        f"{name} = {show(getattr(settings, name))}".rstrip() for name in declared(type(settings))
    ]
