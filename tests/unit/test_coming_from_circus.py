"""docs/coming-from-circus.md has every command and key there is, and names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import chaussette.control.commands  # noqa: F401 - fills COMMANDS
from chaussette.control.command import COMMANDS
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import key_names
from chaussette.settings.load import HOOKS, NOT_HERE
from chaussette.settings.plugins import BUILT_IN
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.streams import CLASSES
from chaussette.settings.watcher import WatcherSettings

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "coming-from-circus.md").read_text("utf-8")
WORDS = {word for span in re.findall(r"`([^`]+)`", PAGE) for word in re.findall(r"[\w-]+", span)}
NAMED = sorted(set(re.findall(r"`((?:\w+/)?\w+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize("owner", [ArbiterSettings, WatcherSettings, SocketSettings])
def test_every_key_is_on_the_page(owner: type) -> None:
    assert not set(key_names(owner)) - WORDS


def test_everything_with_a_table_is_on_the_page() -> None:
    plugins = {name.rpartition(".")[2] for name in BUILT_IN}
    theirs = {key for _, key in NOT_HERE}
    for names in (set(COMMANDS), set(HOOKS), set(CLASSES), plugins, theirs):
        assert not names - WORDS


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda one: one)
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    found = list(TESTS.rglob(file))
    assert any(f"def test_{name}(" in one.read_text("utf-8") for one in found), f"{file}::{name}"
