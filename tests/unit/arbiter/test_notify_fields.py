"""What a worker says arrives as it was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaussette.notify import read_fields, write_fields

NAMES = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"), min_size=1)
VALUES = st.text(st.characters(exclude_categories=("Cs",)))


@given(st.dictionaries(NAMES, VALUES))
def test_round_trip(fields: dict[str, str]) -> None:
    assert read_fields(write_fields(fields)) == fields


@given(st.binary())
def test_any_datagram_is_read(message: bytes) -> None:
    assert all(isinstance(value, str) for value in read_fields(message).values())


def test_a_traceback_survives_with_its_lines() -> None:
    text = 'Traceback:\n  File "C:\\new.py"\\n\nValueError: a=b'
    assert read_fields(write_fields({"X": text, "READY": "1"})) == {"X": text, "READY": "1"}
