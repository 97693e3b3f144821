"""[plugin:NAME] in a file: the watcher it becomes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaussette.errors import ConfigError
from chaussette.settings.load import StackConfig, load_stack
from chaussette.settings.plugins import CONFIG, our_name

FLAPPING = "use = circus.plugins.flapping.Flapping"


def load(folder: Path, text: str) -> StackConfig:
    path = folder / "circus.ini"
    path.write_text(text, "utf-8")
    return load_stack(str(path), {"HOME": "/home/me", "SECRET": "x y"})


def test_becomes_a_watcher(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "[plugin:mine]\nuse = a.B\nfile = $(circus.env.secret): z\nuid = www\npriority = 7\n"
        "stdout_stream.filename = /tmp/x\n[env:plugin:m*]\nA = b\n",
    )
    (watcher,) = config.watchers
    assert (watcher.name, watcher.priority, watcher.singleton) == ("plugin:mine", 7, True)
    assert watcher.uid == "www"
    assert watcher.argv[-1] == "a.B"
    assert watcher.stdout_stream == {"filename": "/tmp/x"}
    assert watcher.env["A"] == "b"
    options = json.loads(watcher.env[CONFIG])
    assert options["file"] == "x y: z"
    assert options["name"] == "mine"
    assert not any("x y" in word for word in watcher.argv)


def test_priority_is_one_unless_said(tmp_path: Path) -> None:
    assert load(tmp_path, f"[plugin:f]\n{FLAPPING}\n").watchers[0].priority == 1


def test_plugins_option_wins_over_the_watchers(tmp_path: Path) -> None:
    (watcher,) = load(tmp_path, f"[plugin:f]\n{FLAPPING}\nmax_retry = 77\n").watchers
    assert watcher.max_retry == 5
    assert json.loads(watcher.env[CONFIG])["max_retry"] == "77"


def test_inactive_is_not_started(tmp_path: Path) -> None:
    assert not load(tmp_path, f"[plugin:f]\n{FLAPPING}\nactive = no\n").watchers[0].autostart


def test_circus_names_are_ours_and_said_once(tmp_path: Path) -> None:
    config = load(tmp_path, f"[plugin:f]\n{FLAPPING}\n")
    (line,) = config.warnings
    assert "circus.plugins.flapping.Flapping is chaussette.arbiter.plugins" in line
    assert our_name("circus.plugins._statsd.FullStats").endswith(".statsd.FullStats")
    assert our_name("mine.Plugin") == "mine.Plugin"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plugin:f]\nattempts = 1\n", "has no `use = package.module.Class`"),
        (f"[plugin:f]\n{FLAPPING}\nattemps = 1\n", "unknown key 'attemps'; did you mean"),
        (f"[plugin:f]\n{FLAPPING}\nattempts = no\n", "expected a whole number, 1 or more"),
        (f"[plugin:f]\n{FLAPPING}\nactive = perhaps\n", "expected true or false"),
        (f"[plugin:f]\n{FLAPPING}\n[watcher:plugin:f]\ncmd = x\n", "name is taken by"),
        ("[watcher:w]\ncmd = x\nflapping.atempts = 1\n", "did you mean 'attempts'"),
        ("[watcher:w]\ncmd = x\nflapping.window = soon\n", "expected a time in seconds"),
        ("[plugin:s]\nuse = circus.plugins.statsd.StatsdEmitter\nport = 99999\n", "a port from 0"),
        ("[plugin:s]\nuse = circus.plugins.statsd.StatsdEmitter\nsample_rate = 2\n", "at most 1"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert message in str(error.value)
    assert "circus.ini:" in str(error.value)
