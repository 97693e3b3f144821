r"""Regular expressions for names of watchers, in bounded time.

Python's `re` may take longer than the universe for `(a+)+b` and a name of 64 letters,
and holds the loop meanwhile. This follows all ways through an expression at once: a
part of it leads from a set of places in the name to another set, of which there are
at most 65. What would need to look back or ahead is refused, and every step is
counted, so that no expression takes more than a few milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from chaussette.errors import BadMessage

LONGEST_PATTERN = 200
MOST_STEPS = 200_000
"""Of one pattern, with all names that it is matched with: a fraction of a second."""
_LARGEST_COUNT = 1000
_Step = Callable[["_Run", frozenset[int]], frozenset[int]]
_TOKEN = re.compile(
    r"(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<escape>\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^0-9a-zA-Z]|[dDsSwWbBAZnrtfv]))"
    r"|(?P<group>\((?:\?:|\?P<\w+>)?(?!\?))"
    r"|(?P<repeat>(?:[*+?]|\{(?P<low>\d*)(?P<to>,?)(?P<high>\d*)\})\??)"
    r"|(?P<one>[^\\()|*+?\[])",
    re.DOTALL,
)
_SUPPORTED = (
    "letters, ., [sets], (groups), |, *, +, ?, {m,n}, ^, $ and escapes such as \\d, \\w, \\b"
)


class Pattern:
    """One expression, matched with whole names, in any case. Raises BadMessage."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST_PATTERN:
            raise BadMessage(f"name: a pattern has at most {LONGEST_PATTERN} characters")
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise BadMessage(f"name = {text!r}: not a regular expression: {error}") from None
        self._left = MOST_STEPS
        self._at = 0
        self._root = self._choice()
        if self._at < len(text):
            raise self._refusal()

    def matches(self, name: str) -> bool:
        """Whether the whole name is meant. Raises BadMessage where that takes too long."""
        return len(name) in self._root(_Run(self, name), frozenset({0}))

    def count(self, steps: int) -> None:
        """Counts steps. Raises BadMessage where there were too many."""
        self._left -= steps + 1
        if self._left < 0:
            raise BadMessage(f"name = {self.text!r}: matching this takes too long")

    # -- reading: each returns the step that its part of the expression is -----------

    def _choice(self) -> _Step:
        ways = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else partial(_any_of, tuple(ways))

    def _sequence(self) -> _Step:
        steps: list[_Step] = []
        while self._peek() not in ("", "|", ")"):
            token = _TOKEN.match(self.text, self._at)
            if token is None:
                raise self._refusal()
            if token["repeat"] and (token["repeat"][0] != "{" or token["low"] or token["to"]):
                self._at = token.end()
                steps.append(self._repeated(steps.pop(), token))
            elif token["group"]:
                self._at = token.end()
                steps.append(self._choice())
                self._at += 1  # the closing bracket; re has seen that it is there
            else:
                # A { that begins no count stands for itself.
                text = re.escape("{") if token["repeat"] else token[0]
                self._at = self._at + 1 if token["repeat"] else token.end()
                steps.append(partial(_one, re.compile(text, re.IGNORECASE | re.DOTALL)))
        return partial(_in_order, tuple(steps))

    def _repeated(self, step: _Step, token: re.Match[str]) -> _Step:
        kind = token["repeat"][0]
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(kind, (0, None))
        if kind == "{":
            low = int(token["low"] or 0)
            high = (int(token["high"]) if token["high"] else None) if token["to"] else low
        if max(low, high or 0) > _LARGEST_COUNT:
            raise BadMessage(f"name = {self.text!r}: a count is at most {_LARGEST_COUNT}")
        return partial(_repeat, step, low, high)

    def _peek(self) -> str:
        return self.text[self._at : self._at + 1]

    def _refusal(self) -> BadMessage:
        rest = self.text[self._at : self._at + 8]
        return BadMessage(f"name = {self.text!r}: {rest!r} cannot be used here: only {_SUPPORTED}")


class _Run:
    """One name, and what counts the steps that it takes."""

    def __init__(self, pattern: Pattern, name: str) -> None:
        self.name = name
        self.count = pattern.count


def _one(atom: re.Pattern[str], run: _Run, places: frozenset[int]) -> frozenset[int]:
    """A character, a set, or a place such as ^ or \\b: none of them can look further."""
    run.count(len(places))
    found = (atom.match(run.name, place) for place in places)
    return frozenset(match.end() for match in found if match)


def _in_order(steps: tuple[_Step, ...], run: _Run, places: frozenset[int]) -> frozenset[int]:
    for step in steps:
        run.count(0)
        if not places:
            break
        places = step(run, places)
    return places


def _any_of(ways: tuple[_Step, ...], run: _Run, places: frozenset[int]) -> frozenset[int]:
    run.count(len(ways))
    return frozenset().union(*(way(run, places) for way in ways))


def _repeat(
    step: _Step, low: int, high: int | None, run: _Run, places: frozenset[int]
) -> frozenset[int]:
    for _ in range(low):
        run.count(0)
        after = step(run, places)
        if after == places:
            break
        places = after
    reached, fresh, times = places, places, low
    while fresh and (high is None or times < high):
        run.count(0)
        fresh = step(run, fresh) - reached
        reached |= fresh
        times += 1
    return reached
