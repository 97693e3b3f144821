"""Regular expressions for names: as Python's where both answer, and never slow."""

from __future__ import annotations

import re
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaussette.control.pattern import Pattern
from chaussette.errors import BadMessage

ATOMS = st.sampled_from(
    ["a", "b", "-", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "^", "$", r"\b", "1", "{", "[a-c-]"]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("({})".format),
        inner.map("(?:{})".format),
        st.tuples(
            inner.map("(?:{})".format),
            st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{,2}", "*?"]),
        ).map("".join),
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(EXPRESSIONS, st.text(alphabet="abAB1-.", max_size=6))
def test_as_python_has_it(text: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = re.fullmatch(text, name, re.IGNORECASE) is not None
        except re.error:
            return
        try:
            assert Pattern(text).matches(name) == expected
        except BadMessage as error:
            assert "characters" in str(error) or "too long" in str(error)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab()[]{}|*+?\\^$.,123:=!<P>", max_size=30), st.text("ab", max_size=64))
def test_whatever_is_asked_is_answered_soon(text: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.process_time()
        try:
            Pattern(text).matches(name)
        except BadMessage:
            pass
        assert time.process_time() - begin < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+b",
        "(a|a)*b",
        "(a|aa)+b",
        "((a*)*)*b",
        "(.*)*" * 20 + "x",
        "(a{1,64}){1,64}b",
        ".*" * 99,
    ],
)
def test_what_never_ends_in_python_does_here(text: str) -> None:
    begin = time.process_time()
    try:
        pattern = Pattern(text)
        for _ in range(1000):  # as many as there may be watchers
            assert pattern.matches("a" * 64) == text.startswith(".*.*")
    except BadMessage as error:
        assert "takes too long" in str(error)
    assert time.process_time() - begin < 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(a)\\1", "cannot be used here"),
        ("(?=a)a", "cannot be used here"),
        ("(?i)a", "cannot be used here"),
        ("(?<!a)b", "cannot be used here"),
        ("(", "not a regular expression"),
        ("a{1001}", "at most 1000"),
        ("a" * 201, "at most 200"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        Pattern(text)


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("web-[0-9]+", "WEB-12", True),
        ("web-[0-9]+", "web-", False),
        ("(web|api)(-\\d+)?", "api", True),
        ("^plugin:.*$", "plugin:flapping", True),
        ("(?P<kind>web).", "web1", True),
        ("", "x", False),
        ("a{2,3}", "aaaa", False),
        ("a{", "a{", True),
    ],
)
def test_names(text: str, name: str, meant: bool) -> None:
    assert Pattern(text).matches(name) is meant
