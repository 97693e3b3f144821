"""Writes the docs' page on backends from what they declare.

`python -m chaussette.backends.reference` prints it; a test compares that with
docs/backends.md, so the page cannot be stale.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaussette.backends import registry
from chaussette.backends.base import Can, Declaration

INTRODUCTION = """\
# Backends

A backend is the server that drives the application inside a worker. Choose one
with `--backend`; `chaussette --list-backends` shows which are installed, their
versions, and how to install the others. This page is made from what the
backends declare (`python -m chaussette.backends.reference`).

An option that a backend cannot honour is refused at start, with its reason and
the backends that can; nothing is silently ignored. Packages can add backends
through the entry point group `chaussette.backends`; the contract is in
`backends/base.py`.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    names = registry.BUILT_IN
    found = {name: registry.declaration(name) for name in names}
    return "\n".join([INTRODUCTION, *_table(found), "", *_details(found)])


def _table(found: dict[str, Declaration]) -> Iterator[str]:
    yield "| |" + "|".join(f" {name} " for name in found) + "|"
    yield "|---|" + "---|" * len(found)
    for can in Can:
        cells = (" yes " if can in one.can else " – " for one in found.values())
        yield f"| {_words(can)} |" + "|".join(cells) + "|"


def _details(found: dict[str, Declaration]) -> Iterator[str]:
    for name, one in found.items():
        yield f"## {name}\n"
        if one.requirement is not None:
            yield f"Install: `{one.requirement.install}`\n"
        yield from (f"- No {_words(can)}: {why}" for can, why in one.limits.items())
        yield from (f"- {note}" for note in one.notes)
        yield ""


def _words(can: Can) -> str:
    return str(can.name).lower().replace("_", " ")


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is its purpose
