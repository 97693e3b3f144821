"""What the smaller measurements are given, and what they have in common."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.raw.chosen import UnknownName
from benchmarks.raw.servers import Server


@dataclass(frozen=True)
class Tool:
    """The servers that are here, those that --only names, and how long it may take."""

    here: tuple[Server, ...]
    only: tuple[str, ...]
    quick: bool
    python: Path

    def pick(self, names: Sequence[str]) -> list[Server]:
        """Those of --only, or of `names` as far as they are here. Raises UnknownName."""
        known = {one.name: one for one in self.here}
        for name in self.only:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                nearest = f", perhaps {near[0]}" if near else ""
                raise UnknownName(f"{name!r} is not here{nearest}: there are {', '.join(known)}")
        return [known[name] for name in self.only or names if name in known]
