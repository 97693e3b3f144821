"""Objects of a program that embeds the arbiter, in places where a file has texts."""

from __future__ import annotations

from typing import Any


class Given(str):
    """A callable or a stream of the program; as a text it says what it is.

    It stays one object wherever settings go: it is compared by what it holds
    and never copied, and JSON and logs show the text.
    """

    __slots__ = ("ignored", "value")
    value: Any
    ignored: bool
    """Of a hook: whether its failure is ignored."""

    def __new__(cls, value: Any, *, ignored: bool = False) -> Given:
        """Wraps an object."""
        name = getattr(value, "__qualname__", type(value).__qualname__)
        module = getattr(value, "__module__", None) or type(value).__module__
        made = super().__new__(cls, f"<{module}.{name} at {id(value):#x}>")
        made.value = value
        made.ignored = ignored
        return made

    def __deepcopy__(self, _: dict[int, Any]) -> Given:
        return self


def is_stream(value: Any) -> bool:
    """Whether output can be handed to an object: it can be called, or has `write`."""
    return callable(value) or callable(getattr(value, "write", None))
