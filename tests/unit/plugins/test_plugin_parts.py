"""What plugins decide, without a process or a socket."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import chaussette
from chaussette.arbiter.plugins import CircusPlugin
from chaussette.arbiter.plugins.command_reloader import fingerprint
from chaussette.arbiter.plugins.flapping import Case, Verdict, watcher_options
from chaussette.arbiter.plugins.resource_watcher import offences
from chaussette.arbiter.plugins.statsd import gauges, to_bytes
from chaussette.arbiter.plugins.watchdog import Hearts
from chaussette.cli.circusplugin import load_class, split_config
from chaussette.errors import ConfigError
from chaussette.settings import plugins
from chaussette.settings.plugins import FlappingOptions, Memory, ResourceOptions

HERE = Path(chaussette.__file__).parent / "arbiter" / "plugins"


def test_plugins_import_nothing_of_the_arbiter() -> None:
    for path in HERE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("chaussette.arbiter") or name.startswith(
                    "chaussette.arbiter.plugins"
                ), f"{path.name} imports {name}"


@pytest.mark.parametrize("name", plugins.BUILT_IN)
def test_every_plugin_is_there_and_takes_its_options(name: str) -> None:
    for use in (f"{plugins.PACKAGE}.{name}", f"circus.plugins.{name}"):
        found = load_class(use)
        assert found.Options is plugins.options_of(use)
        assert issubclass(found, CircusPlugin)


# -- flapping -------------------------------------------------------------------


def case(**options: object) -> Case:
    return Case(dataclasses.replace(FlappingOptions(), **options))  # type: ignore[arg-type]


def die(one: Case, at: float, pid: int, age: float = 0.1) -> Verdict:
    one.feed("spawn", pid, at - age)
    return one.feed("reap", pid, at)


def test_two_early_deaths_are_flapping() -> None:
    one = case()
    assert die(one, 10.0, 1) is Verdict.NOTHING
    assert die(one, 10.5, 2) is Verdict.REST


def test_deaths_apart_or_of_the_old_are_not() -> None:
    one = case()
    assert [die(one, at, int(at)) for at in (10.0, 12.0, 14.0)] == [Verdict.NOTHING] * 3
    assert [die(one, 20 + at, at, age=5) for at in (1, 2, 3)] == [Verdict.NOTHING] * 3


def test_what_was_asked_for_is_no_death() -> None:
    one = case(attempts=1)
    one.feed("spawn", 7, 10.0)
    one.feed("kill", 7, 10.1)
    assert one.feed("reap", 7, 10.2) is Verdict.NOTHING


def test_a_healthy_sibling_is_not_stopped() -> None:
    one = case()
    one.feed("spawn", 99, 0.0)
    assert [die(one, 10.0, 1), die(one, 10.1, 2), die(one, 10.2, 3)] == [Verdict.NOTHING] * 3


def test_giving_up_sticks_until_somebody_starts_it() -> None:
    one = case(max_retry=1, retry_in=1.0)
    assert [die(one, 10.0, 1), die(one, 10.1, 2)][-1] is Verdict.REST
    one.started = 11.1
    assert [die(one, 11.2, 3), die(one, 11.3, 4)][-1] is Verdict.GIVE_UP
    assert [die(one, 11.4, 5), die(one, 11.5, 6)] == [Verdict.NOTHING] * 2
    assert one.feed("start", 0, 20.0) is Verdict.LET_GO
    assert [die(one, 21.0, 7), die(one, 21.1, 8)][-1] is Verdict.REST


def test_own_stop_and_start_are_not_taken_for_the_users() -> None:
    one = case()
    one.own_stops = 1
    assert one.feed("stop", 0, 1.0) is Verdict.NOTHING
    assert one.feed("stop", 0, 2.0) is Verdict.LET_GO
    one.own_start = True
    assert one.feed("start", 0, 3.0) is Verdict.NOTHING
    assert one.feed("start", 0, 4.0) is Verdict.LET_GO


def test_being_well_for_long_begins_anew() -> None:
    one = case(max_retry=1, retry_in=1.0)
    assert [die(one, 10.0, 1), die(one, 10.1, 2)][-1] is Verdict.REST
    one.started = 11.1
    assert [die(one, 50.0, 3), die(one, 50.1, 4)][-1] is Verdict.REST


def test_inactive_watcher_is_left_alone() -> None:
    own = watcher_options(FlappingOptions(), {"flapping.active": "false", "cmd": "x"}, "job")
    one = Case(own)
    assert [die(one, 10.0, 1), die(one, 10.1, 2)] == [Verdict.NOTHING] * 2


# -- figures --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"), [("12M", 12 * 2**20), ("1.5G", 1.5 * 2**30), ("512", 512), ("N/A", 0)]
)
def test_sizes(text: str, size: float) -> None:
    assert to_bytes(text) == size


def test_gauges() -> None:
    one = {"cpu": 10.0, "mem": 1.0, "mem_info1": "1M"}
    two = {"cpu": "N/A", "mem": 2.5, "mem_info1": "3M"}
    assert gauges([one, two]) == {
        "watchers_num": 2,
        "cpu_max": 10.0,
        "cpu_sum": 10.0,
        "mem_pct_max": 2.5,
        "mem_pct_sum": 3.5,
        "mem_max": 3 * 2**20,
        "mem_sum": 4 * 2**20,
    }
    assert gauges([]) == {"watchers_num": 0}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, []),
        ({"max_cpu": 40.0}, ["over_cpu"]),
        ({"max_cpu": 0.0}, []),
        ({"min_cpu": 60.0}, ["under_cpu"]),
        ({"max_mem": Memory(10.0, True)}, ["over_memory"]),
        ({"max_mem": Memory(2.0**20, False)}, ["over_memory"]),
        ({"min_mem": Memory(2.0**30, False)}, ["under_memory"]),
        ({"health_threshold": 30.0}, ["over_health"]),
    ],
)
def test_offences(options: dict[str, object], found: list[str]) -> None:
    info = {"cpu": 50.0, "mem": 20.0, "mem_info1": "100M"}
    limits = dataclasses.replace(ResourceOptions(watcher="x"), **options)  # type: ignore[arg-type]
    assert offences(limits, info) == found


def test_hearts() -> None:
    hearts = Hearts()
    hearts.born("web", 1, 0.0)
    hearts.born("web", 2, 0.0)
    assert hearts.beat(1, 5.0)
    assert not hearts.beat(3, 5.0)
    assert hearts.silent(4.0) == [2]
    hearts.gone(2)
    assert hearts.silent(4.0) == []


def test_fingerprint_follows_links_and_words(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "link").symlink_to("a.py")
    before = fingerprint("python link --flag", str(tmp_path))
    assert str(tmp_path / "a.py") in [one[0] for one in before]
    (tmp_path / "b.py").write_text("2")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("b.py")
    assert fingerprint("python link --flag", str(tmp_path)) != before


# -- configuration ----------------------------------------------------------------


def test_split_config() -> None:
    assert split_config("a:b:c::: d : e f ") == {"a": "b:c", "d": "e f"}
    with pytest.raises(ConfigError):
        split_config("a")


def test_split_data_keeps_dots() -> None:
    assert CircusPlugin.split_data((b"watcher.a.b.spawn", b"{}")) == ("a.b", "spawn", b"{}")


def test_a_plugin_option_is_no_watcher_key() -> None:
    texts = {"use": "circus.plugins.flapping.Flapping", "max_retry": "9", "uid": "1"}
    assert plugins.is_option(texts, "max_retry")
    assert not plugins.is_option(texts, "uid")
    plugins.check(texts)


def test_page_is_current() -> None:
    page = (HERE.parents[2] / "docs" / "plugins.md").read_text("utf-8")
    made = page.split("<!-- options -->\n")[1].split("<!-- /options -->")[0]
    assert made == plugins.reference(), (
        "stale: python -m chaussette.settings.plugins prints what belongs there"
    )
