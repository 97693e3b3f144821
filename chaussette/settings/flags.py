"""Command line flags from a settings class: made, read back and written.

One field gives one flag (its spellings, its metavar, its help with the default,
its group); nothing is declared twice. Values come back typed, and only those
that were given, so that flags can be laid over the environment and that over a
file. Knows no program and no particular setting.
"""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings.declare import (
    Setting,
    declared,
    describe_default,
    parse_value,
)
from chaussette.settings.kinds import show

S = TypeVar("S")
OTHERS = "Options"


class FlagParser(argparse.ArgumentParser):
    """A parser whose errors are ConfigErrors that name the nearest known flag.

    Flags may stand before, between and behind the positional words; what
    follows `--` is words. Abbreviations are not guessed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        """Raises what argparse would print before it exits."""
        raise ConfigError(message.removeprefix("argument "))

    def read(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The flags that were given, and the words. Raises ConfigError."""
        argv = list(argv)
        end = argv.index("--") if "--" in argv else len(argv)
        namespace, words = self.parse_known_args(argv[:end])
        unknown = [word for word in words if word.startswith("-") and word != "-"]
        if unknown:
            raise self._unknown(unknown[0])
        return namespace, words + argv[end + 1 :]

    def _unknown(self, word: str) -> ConfigError:
        flag = word.partition("=")[0]
        known = [spelling for spelling in self._option_string_actions if spelling.startswith("--")]
        return ConfigError(f"unknown flag {flag}{did_you_mean(flag, known)}")


class _Help(argparse.HelpFormatter):
    """Help in which a flag's text begins in one column and keeps whole words."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)
        self._width = min(self._width, 100)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return ", ".join(action.option_strings) or super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {action.metavar}"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def add_flags(parser: argparse.ArgumentParser, owner: type[Any]) -> None:
    """Gives the parser one flag for each field of the settings class that has one."""
    groups: dict[str, Any] = {}
    for name, (what, default) in declared(owner).items():
        if what.flags:
            title = what.group or OTHERS
            if title not in groups:
                groups[title] = parser.add_argument_group(title)
            _add(groups[title], owner, name, what, default)


def _add(group: Any, owner: type[Any], name: str, what: Setting, default: Any) -> None:
    options: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
    options["help"] = _help(what, default).replace("%", "%%")
    if isinstance(default, bool):
        group.add_argument(*what.flags, action="store_const", const=not default, **options)
        return
    options["metavar"] = what.kind.metavar
    options["type"] = _reader(owner, name)
    if what.kind.is_list:
        options["action"] = "extend"
    group.add_argument(*what.flags, **options)


def _help(what: Setting, default: Any) -> str:
    return (
        what.help
        if default in (None, (), "", False)
        else f"{what.help} [{describe_default(default)}]"
    )


def _reader(owner: type[Any], name: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return parse_value(owner, name, text)
        except ConfigError as error:
            # argparse puts the flag's name before the text; ours goes.
            raise argparse.ArgumentTypeError(str(error).partition(" = ")[2]) from None

    return read


def given(owner: type[Any], namespace: argparse.Namespace) -> dict[str, Any]:
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
