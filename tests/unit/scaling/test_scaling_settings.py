"""What limits of scaling are refused, and what they do to a number."""

from __future__ import annotations

from typing import Any

import pytest

from chaussette.settings.kinds import fraction
from chaussette.settings.watcher import WatcherSettings, scaling_faults, within_limits


def faults(**values: Any) -> str:
    return "; ".join(scaling_faults(WatcherSettings(name="w", cmd="true", **values)))


def test_nothing_is_asked_of_a_watcher_that_is_not_scaled() -> None:
    assert faults() == ""
    assert faults(numprocesses=50) == ""
    assert faults(max_processes=4) == ""
    assert faults(min_processes=2, numprocesses=2, max_processes=4) == ""


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"min_processes": 2}, "min_processes = 2 needs max_processes"),
        ({"min_processes": 5, "max_processes": 4}, "min_processes = 5 is more than"),
        ({"numprocesses": 5, "max_processes": 4}, "numprocesses = 5: expected 1 to 4"),
        (
            {"numprocesses": 1, "min_processes": 2, "max_processes": 4},
            "numprocesses = 1: expected 2 to 4",
        ),
        ({"numprocesses": 0, "max_processes": 4}, "numprocesses = 0: expected 1 to 4"),
        ({"max_processes": 4, "scale_up_at": 0.3}, "scale_down_at = 0.3: expected less"),
        ({"max_processes": 4, "singleton": True}, "max_processes = 4, but it is a singleton"),
        ({"max_processes": 4, "respawn": False}, "respawn is off"),
    ],
)
def test_limits_that_make_no_sense_are_refused(values: dict[str, Any], line: str) -> None:
    assert line in faults(**values)


def test_a_number_is_kept_within_the_limits() -> None:
    free = WatcherSettings(name="w", cmd="true")
    bound = WatcherSettings(name="w", cmd="true", min_processes=2, max_processes=4)
    assert [within_limits(free, count) for count in (-1, 0, 99)] == [0, 0, 99]
    assert [within_limits(bound, count) for count in (-1, 0, 3, 99)] == [2, 2, 3, 4]
    assert within_limits(WatcherSettings(name="w", cmd="true", singleton=True), 3) == 1
    assert within_limits(WatcherSettings(name="w", cmd="true", max_processes=3), 0) == 1


def test_fractions() -> None:
    parse = fraction().parse
    assert [parse(text) for text in ("0.8", "80%", " 1 ", "12.5 %")] == [0.8, 0.8, 1.0, 0.125]
    for text in ("", "0", "1.5", "80%%", "x", "-1", "nan"):
        with pytest.raises(ValueError, match=r".*"):
            parse(text)
