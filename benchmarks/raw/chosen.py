"""What --only asks for: cases and servers by name or pattern."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence

from benchmarks.raw.cases import Case
from benchmarks.raw.servers import Server

Pairs = tuple[tuple[Case, tuple[Server, ...]], ...]


class UnknownName(ValueError):
    """A name that no case or server has; the message names the nearest."""


def narrow(
    pairs: Pairs, only: Sequence[str], cases: Iterable[str], servers: Iterable[str]
) -> Pairs:
    """Keeps what a CASE, CASE/SERVER or /SERVER of `only` asks for (all, when it is empty).

    `cases` and `servers` are all names that exist. Raises UnknownName.
    """
    wanted = [_wish(text, list(cases), list(servers)) for text in only] or [("*", "*")]
    found = []
    for case, fit in pairs:
        kept = tuple(
            one
            for one in fit
            if any(
                fnmatch.fnmatchcase(case.name, of_case) and fnmatch.fnmatchcase(one.name, of_server)
                for of_case, of_server in wanted
            )
        )
        if kept:
            found.append((case, kept))
    return tuple(found)


def _wish(text: str, cases: list[str], servers: list[str]) -> tuple[str, str]:
    case, _, server = text.partition("/")
    for what, name, known in (("case", case, cases), ("server", server, servers)):
        if name and not fnmatch.filter(known, name):
            near = difflib.get_close_matches(name, known, 1)
            nearest = f", perhaps {near[0]}" if near else ""
            raise UnknownName(f"no {what} {name!r}{nearest}: expected some of {', '.join(known)}")
    return case or "*", server or "*"
