"""The table that `chaussette --list-backends` prints."""

from __future__ import annotations

import textwrap

from chaussette.backends import registry
from chaussette.backends.base import Can
from chaussette.backends.registry import Availability

_INTERFACES = Can.WSGI | Can.ASGI
_WIDTH = 100
_HEAD = ("backend", "version", "serves", "can")


def table() -> str:
    """Those that can run here, then those that cannot and what would change that."""
    found = [registry.probe(name) for name in registry.names()]
    here = [_row(each) for each in found if each.installed]
    missing = [f"  {each.name:<10} {_remedy(each)}" for each in found if not each.installed]
    lines = _aligned([_HEAD, *here])
    return "\n".join([*lines, "", "not installed:", *missing] if missing else lines)


def _row(each: Availability) -> tuple[str, str, str, str]:
    says = each.declaration.can if each.declaration else Can.NOTHING
    return (each.name, each.version or "-", _words(says & _INTERFACES), _words(says & ~_INTERFACES))


def _words(can: Can) -> str:
    names = (str(each.name).lower().replace("_", "-") for each in can)
    return ", ".join(names) or "-"


def _remedy(each: Availability) -> str:
    return each.install or each.reason


def _aligned(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [line for row in rows for line in _lines(row, widths)]


def _lines(row: tuple[str, str, str, str], widths: list[int]) -> list[str]:
    left = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
    indent = " " * len(left)
    return textwrap.wrap(left + row[3], _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
