"""The parser of a command line whose flags come from a settings class: help and errors.

`flags.read_plain` reads what workers are usually started with without it.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings.declare import Setting, declared, describe_default, parse_value

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
