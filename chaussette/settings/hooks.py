"""`hooks.NAME = module.function[,ignore_failure]`, as it is written."""

from __future__ import annotations

from chaussette.errors import ConfigError
from chaussette.settings.given import Given
from chaussette.settings.kinds import BOOL


def read_hook(text: str) -> tuple[str, bool]:
    """The function's dotted name, and whether its failure is ignored. Raises ConfigError.

    Of a callable that a program has given, the name is that object (see given.py).
    """
    if isinstance(text, Given):
        return text, text.ignored
    name, comma, flag = (part.strip() for part in text.partition(","))
    dotted = name.replace(":", ".")
    if "." not in dotted.strip(".") or not all(part.isidentifier() for part in dotted.split(".")):
        raise ConfigError(f"{text!r}: expected module.function, or module.function,true")
    try:
        return dotted, bool(comma) and BOOL.parse(flag)
    except ValueError:
        raise ConfigError(f"{text!r}: behind the comma, expected {BOOL.expected}") from None
