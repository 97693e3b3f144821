"""Immutable records: the annotated names of a class are its fields.

They are what `dataclasses.dataclass(frozen=True)` would make. That module keeps
a megabyte in every worker (it imports inspect, ast and dis, and compiles code
for each class) and takes a third of a worker's start, which pays where many
records are made and read; here a worker makes a few dozen, once.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for typing's own, which is a megabyte, too
if TYPE_CHECKING:
    from typing import Any, ClassVar, NoReturn, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda owner: owner


@dataclass_transform(frozen_default=True)
class Record:
    """The root of all records: values by position or by name, equal when all of them are.

    What `class Name(Record, kw_only=True)` adds is given by name only.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}
    __match_args__: ClassVar[tuple[str, ...]] = ()
    _by_position: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        own = [
            name for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar")
        ]
        defaults = {name: getattr(cls, name) for name in own if name in cls.__dict__}
        cls._names = (*cls._names, *own)
        cls._defaults = {**cls._defaults, **defaults}
        cls._by_position = (*cls._by_position, *(() if kw_only else own))
        cls.__match_args__ = cls._by_position  # type: ignore[misc] # checkers make their own

    def __init__(self, *args: Any, **values: Any) -> None:
        most = len(self._by_position)
        if len(args) > most:
            raise TypeError(f"{type(self).__name__} takes {most} values by position")
        given = dict(zip(self._by_position, args, strict=False))
        if twice := given.keys() & values.keys():
            raise TypeError(f"{type(self).__name__} was given {min(twice)!r} twice")
        given = {**self._defaults, **given, **values}
        if odd := given.keys() ^ set(self._names):
            what = "has no" if min(odd) in given else "needs"
            raise TypeError(f"{type(self).__name__} {what} {min(odd)!r}")
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._names))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__qualname__}({values})"
