"""Records are what frozen dataclasses of the same fields would be."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.records import Record


class Point(Record):
    """One with a default, and with something that is no field."""

    x: int
    y: int = 0
    unit: ClassVar[str] = "m"

    def moved(self) -> Point:
        return Point(self.x + 1, self.y)


class Named(Point, kw_only=True):
    """One that has the fields of another, too."""

    name: str = ""


@dataclass(frozen=True)
class Model:
    """What Point should be."""

    x: int
    y: int = 0


VALUES = st.lists(st.integers(0, 2), max_size=3)
BY_NAME = st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(0, 2))


def made(owner: Any, args: list[int], values: dict[str, int]) -> Any:
    try:
        return owner(*args, **values)
    except TypeError:
        return None


@given(VALUES, BY_NAME, VALUES, BY_NAME)
def test_a_record_takes_and_compares_what_a_dataclass_does(
    args: list[int], values: dict[str, int], other_args: list[int], other_values: dict[str, int]
) -> None:
    ours, model = made(Point, args, values), made(Model, args, values)
    assert (ours is None) == (model is None)
    if ours is None:
        return
    assert (ours.x, ours.y) == (model.x, model.y)
    assert repr(ours) == repr(model).replace("Model", "Point")
    other, other_model = (
        made(Point, other_args, other_values),
        made(Model, other_args, other_values),
    )
    assert (ours == other) == (model == other_model)
    if ours == other:
        assert hash(ours) == hash(other)


@pytest.mark.parametrize(
    ("args", "values", "words"),
    [
        ((), {}, "Point needs 'x'"),
        ((1, 2, 3), {}, "Point takes 2 values by position"),
        ((1,), {"x": 2}, "Point was given 'x' twice"),
        ((1,), {"z": 2}, "Point has no 'z'"),
        ((1,), {"unit": "cm"}, "Point has no 'unit'"),
    ],
)
def test_an_error_says_which_value(args: Any, values: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Point(*args, **values)


def test_a_record_stays_as_it_is() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"Point\.x cannot be removed"):
        del point.x
    assert point.moved() == Point(2)
    for other in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert other == point


def test_a_record_is_taken_apart_by_position() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
        case _:
            pytest.fail("no match")


def test_a_record_may_extend_another() -> None:
    named = Named(x=1, name="n")
    assert (named.x, named.y, named.name) == (1, 0, "n")
    assert named != Point(1)
    with pytest.raises(TypeError):
        Named(1, 2, "n")  # type: ignore[call-arg]
