"""`$(circus.NAME)` in texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaussette.settings.variables import (
    environment_values,
    expand,
    expand_shell,
    names_in,
    watcher_values,
)
from chaussette.settings.watcher import WatcherSettings

VALUES = {"wid": "3", "sockets.web": "5", "env.home": "/root"}


def test_both_spellings_in_any_case() -> None:
    assert expand("$(circus.wid) ((CIRCUS.Sockets.WEB)) $(Circus.env.HOME)", VALUES) == "3 5 /root"


def test_what_nobody_knows_stays() -> None:
    for text in ("$(circus.other)", "$(WID)", "$circus.wid", "((wid))", "$(circus.wid", "$WID"):
        assert expand(text, VALUES) == text


def test_values_are_not_expanded_again() -> None:
    assert expand("$(circus.a)", {"a": "$(circus.b)", "b": "x"}) == "$(circus.b)"


def test_names_are_found() -> None:
    assert list(names_in("a $(circus.sockets.Web) ((circus.wid)) $(x)")) == ["sockets.web", "wid"]


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_a_text_without_variables_is_not_touched(text: str, values: dict[str, str]) -> None:
    if not list(names_in(text)):
        assert expand(text, values) == text


@given(st.text())
def test_every_value_comes_through_whole(value: str) -> None:
    known = environment_values({"X": value})
    assert expand("$(circus.env.x)", known) == value


def test_shell_names() -> None:
    missing: list[str] = []
    text = expand_shell("$A-${b}-$lower-$(circus.wid)-$1-$NO", {"A": "1", "b": "2"}, missing.append)
    assert text == "1-2-$lower-$(circus.wid)-$1-"
    assert missing == ["NO"]


def test_a_watchers_own_settings_and_options() -> None:
    values = watcher_values(
        WatcherSettings(name="w", numprocesses=3, singleton=False, options={"Mine": "x"})
    )
    assert expand("$(circus.name) $(circus.numprocesses) $(circus.mine)", values) == "w 3 x"
    assert values["working_dir"] == ""
