"""Shell completion, written out from a parser; works for any of the programs.

The script is static: completing a word starts no Python.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence

_BASH = """\
_{name}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    case $previous in
{cases}
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W {flags} -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _{name} {program}
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(
    shell: str, parser: argparse.ArgumentParser, values: Mapping[str, Sequence[str]] | None = None
) -> str:
    """The completion script for `bash`, `zsh` or `fish`.

    `values` gives the words after a flag where the parser does not know them.
    """
    words = {**_choices(parser), **(values or {})}
    if shell == "fish":
        return _fish(parser, words)
    bash = _bash(parser, words)
    return bash if shell == "bash" else _ZSH + bash


def _choices(parser: argparse.ArgumentParser) -> dict[str, Sequence[str]]:
    """The words that may follow each flag that takes one of a few."""
    found: dict[str, Sequence[str]] = {}
    for action in _flagged(parser):
        metavar = str(action.metavar or "")
        words = [str(each) for each in action.choices or ()] or metavar.split("|")
        if len(words) > 1:
            found.update(dict.fromkeys(action.option_strings, words))
    return found


def _flagged(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return list({id(each): each for each in parser._option_string_actions.values()}.values())


def _bash(parser: argparse.ArgumentParser, words: Mapping[str, Sequence[str]]) -> str:
    line = '        {flag}) COMPREPLY=($(compgen -W {words} -- "$word")); return ;;'
    cases = [
        line.format(flag=flag, words=shlex.quote(" ".join(each))) for flag, each in words.items()
    ]
    flags = shlex.quote(" ".join(sorted(parser._option_string_actions)))
    name = parser.prog.replace("-", "_")
    return _BASH.format(
        name=name, program=parser.prog, cases="\n".join(cases), flags=flags
    ).rstrip()


def _fish(parser: argparse.ArgumentParser, words: Mapping[str, Sequence[str]]) -> str:
    return "\n".join(_fish_line(parser.prog, each, words) for each in _flagged(parser))


def _fish_line(program: str, action: argparse.Action, words: Mapping[str, Sequence[str]]) -> str:
    parts = ["complete", "-c", program]
    for flag in action.option_strings:
        parts += ["-l", flag[2:]] if flag.startswith("--") else ["-s", flag[1:]]
    following = next((words[flag] for flag in action.option_strings if flag in words), None)
    if following:
        parts += ["-x", "-a", shlex.quote(" ".join(following))]
    elif action.nargs != 0:
        parts.append("-r")
    return " ".join([*parts, "-d", shlex.quote((action.help or "").replace("%%", "%"))])
