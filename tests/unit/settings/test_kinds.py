"""Kinds of values: every text is a value or a ValueError, and values come back."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chaussette.backends.base
from chaussette.errors import ConfigError
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import build, declared
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
    size,
)
from chaussette.settings.server import MOST_FIELDS, ServerSettings
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.watcher import WatcherSettings

ALL: list[Kind[object]] = [
    what.kind
    for owner in (ArbiterSettings, ServerSettings, SocketSettings, WatcherSettings)
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


@pytest.mark.parametrize(("text", "bytes_"), [("1K", 1024), ("2047", 2047), ("2k", 2048)])
def test_sizes_within_bounds(text: str, bytes_: int) -> None:
    assert size(1024, 2048).parse(text) == bytes_


@pytest.mark.parametrize("text", ["1023", "2049", "1M", "0", "-1", "", "1.5K"])
def test_sizes_out_of_bounds_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        size(1024, 2048).parse(text)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("limit_request_line", "2M", "a number of bytes from 0 to 1048576"),
        ("limit_request_fields", "129", "a whole number from 1 to 128"),
        ("limit_request_head", "1023", "a number of bytes from 1024 to 1048576"),
        ("limit_request_body", "much", "a number of bytes"),
        ("header_timeout", "0", "a time in seconds, 0.1 or more"),
        ("body_rate", "-1", "a whole number from 0"),
    ],
)
def test_limits_out_of_bounds_say_what_was_expected(key: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = .*expected {expected}"):
        build(ServerSettings, {key: text})


def test_gunicorns_names_are_understood() -> None:
    given_ = {
        "limit_request_line": "4094",
        "limit_request_fields": "50",
        "limit_request_field_size": "8190",
        "worker_connections": "500",
    }
    built = build(ServerSettings, given_)
    assert (built.limit_request_line, built.limit_request_fields) == (4094, 50)
    assert (built.limit_request_field_size, built.spawn) == (8190, 500)


def test_the_parser_has_room_for_the_most_fields() -> None:
    header = Path(chaussette.backends.base.__file__).parent / "native" / "parse.h"
    assert f"#define PARSE_MAX_FIELDS {MOST_FIELDS} " in header.read_text()


MEASURES = st.one_of(
    st.text(alphabet="0123.- \t\u0663kKmMgGbBsh\n", max_size=6), st.text(max_size=5)
)


@given(MEASURES)
def test_a_measure_is_a_number_and_a_unit(text: str) -> None:
    word = text.strip().lower()
    a_size = re.fullmatch(r"\d+\s*(b|kb?|mb?|gb?)?", word) is not None
    a_time = re.fullmatch(r"\d+(\.\d+)?\s*(ms|s|m|h)?", word) is not None
    assert _takes(SIZE, text) == a_size
    assert _takes(seconds(), text) == a_time or re.fullmatch(r"-0+(\.0+)?\s*(ms|s|m|h)?", word)


def _takes(kind: Kind[Any], text: str) -> bool:
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True
