"""Kinds of values: every text is a value or a ValueError, and values come back."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import declared
from chaussette.settings.kinds import (
    BOOL,
    LIMIT,
    MODE,
    SIGNAL,
    SIZE,
    Kind,
    choice,
    constant,
    integer,
    list_of,
    seconds,
    show,
)
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.watcher import WatcherSettings

ALL: list[Kind[object]] = [
    what.kind
    for owner in (ArbiterSettings, SocketSettings, WatcherSettings)
    for what, _ in declared(owner).values()
]


@given(st.sampled_from(ALL), st.text() | st.from_regex(r"-?[0-9a-z._+ ,]{0,12}", fullmatch=True))
def test_any_text_is_a_value_or_a_value_error(kind: Kind[object], text: str) -> None:
    try:
        kind.parse(text)
    except ValueError:
        assert kind.expected


@given(st.integers())
def test_whole_numbers_come_back_and_keep_their_bounds(number: int) -> None:
    assert integer().parse(str(number)) == number
    bounded = integer(-5, 5)
    if -5 <= number <= 5:
        assert bounded.parse(f" {number} ") == number
    else:
        with pytest.raises(ValueError):
            bounded.parse(str(number))


@given(st.integers(0, 0o7777))
def test_modes_are_octal(mode: int) -> None:
    for text in (f"{mode:o}", f"0{mode:o}"[:5], f"0o{mode:o}"):
        assert MODE.parse(text) == mode


@pytest.mark.parametrize("text", ["", "8", "0x1f", "-1", "022 1", "77777", "o22"])
def test_what_is_not_octal(text: str) -> None:
    with pytest.raises(ValueError):
        MODE.parse(text)


@given(st.integers(0, 10**6), st.sampled_from([("", 1), ("k", 2**10), ("MB", 2**20), ("g", 2**30)]))
def test_sizes(number: int, unit: tuple[str, int]) -> None:
    assert (
        SIZE.parse(f"{number}{unit[0]}") == LIMIT.parse(f"{number} {unit[0]}") == number * unit[1]
    )


def test_limits_may_be_endless() -> None:
    assert {LIMIT.parse(text) for text in ("", "infinity", "UNLIMITED", "-1")} == {-1}


@pytest.mark.parametrize("number", list(signal.Signals))
def test_every_signal_by_name_and_number(number: signal.Signals) -> None:
    for text in (number.name, number.name[3:].lower(), str(int(number))):
        assert SIGNAL.parse(text) == number


def test_signals_without_a_name() -> None:
    assert SIGNAL.parse("SIGRTMIN+1") == signal.SIGRTMIN + 1
    for text in ("", "0", "65", "SIGFOO", "TERM+5", "RTMIN+", "RTMIN+99", "RTMIN+-1", "SIG"):
        with pytest.raises(ValueError):
            SIGNAL.parse(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("1.5", 1.5), ("500ms", 0.5), ("2 m", 120), ("1H", 3600)]
)
def test_seconds(text: str, value: float) -> None:
    assert seconds().parse(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1d", "inf", "nan", "1e3", "s", "1,5"])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError):
        seconds().parse(text)


def test_booleans() -> None:
    assert all(BOOL.parse(text) is True for text in ("1", "True", "yes", "ON", "t", "y"))
    assert all(BOOL.parse(text) is False for text in ("0", "False", "no", "OFF", "f", "n"))


def test_choices_lists_and_constants() -> None:
    assert choice("Simple", "glob").parse(" simple ") == "Simple"
    assert list_of(integer()).parse("1, 2,,3") == (1, 2, 3)
    family = constant("AF_", ("AF_INET", "AF_UNIX"))
    assert family.parse("inet") == family.parse("AF_INET")
    for kind, text in ((choice("a"), "b"), (list_of(integer()), "1,x"), (family, "AF_X")):
        with pytest.raises(ValueError):
            kind.parse(text)


@pytest.mark.parametrize("owner", [ArbiterSettings, SocketSettings, WatcherSettings])
def test_every_default_can_be_written_as_text(owner: type) -> None:
    for name, (what, default) in declared(owner).items():
        if default is not None and what.kind is not MODE:
            assert what.kind.parse(show(default)) == default, name
