"""What settings become in control files, and what control files say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.arbiter.containment import limits
from chaussette.arbiter.containment.limits import Limit, limits_of, writes
from chaussette.errors import ConfigError
from chaussette.settings.declare import parse_value
from chaussette.settings.watcher import WatcherSettings, containment_mode, tuned


def watcher(**settings: Any) -> WatcherSettings:
    return WatcherSettings(name="w", cmd="true", **settings)


def the_limit(**settings: Any) -> Limit:
    (limit,) = limits_of(watcher(**settings))
    return limit


@pytest.mark.parametrize(
    ("name", "value", "files", "legacy"),
    [
        ("memory_max", 2**26, {"memory.max": "67108864"}, {"memory.limit_in_bytes": "67108864"}),
        ("memory_high", 2**26, {"memory.high": "67108864"}, {}),
        (
            "cpu_max",
            1.5,
            {"cpu.max": "150000 100000"},
            {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
        ),
        ("cpu_weight", 200, {"cpu.weight": "200"}, {"cpu.shares": "2048"}),
        ("pids_max", 30, {"pids.max": "30"}, {"pids.max": "30"}),
        ("io_weight", 50, {"io.weight": "default 50"}, {}),
    ],
)
def test_each_limit_and_its_files(
    name: str, value: float, files: dict[str, str], legacy: dict[str, str]
) -> None:
    limit = the_limit(**{name: value})
    assert (limit.setting, limit.files, limit.legacy_files) == (name, files, legacy)
    assert all(file.startswith(f"{limit.controller}.") for file in {**files, **legacy})


def test_every_limit_has_a_setting_and_a_controller() -> None:
    everything = watcher(
        memory_max=2**20, memory_high=2**20, cpu_max=1.0, cpu_weight=1, pids_max=1, io_weight=1
    )
    assert [limit.setting for limit in limits_of(everything)] == list(limits.CONTROLLERS)
    assert limits_of(watcher()) == []


def test_strict_is_the_default_of_what_has_a_limit() -> None:
    assert containment_mode(watcher()) == "off"
    assert containment_mode(watcher(pids_max=3)) == "strict"
    assert containment_mode(watcher(pids_max=3, containment="best-effort")) == "best-effort"
    assert containment_mode(watcher(containment="strict")) == "strict"


@pytest.mark.parametrize(
    ("before", "after", "follows"),
    [
        ({"pids_max": 3}, {"pids_max": 5}, True),
        ({"pids_max": 3}, {"pids_max": 3, "cpu_max": 1.0}, True),
        ({"pids_max": 3, "cpu_max": 1.0}, {"pids_max": 3}, True),
        ({"containment": "strict"}, {"containment": "strict", "pids_max": 5}, True),
        ({}, {"pids_max": 5}, False),
        ({"pids_max": 5}, {}, False),
        ({"pids_max": 3}, {"pids_max": 5, "containment": "best-effort"}, False),
    ],
)
def test_who_is_in_a_group_already_gets_other_limits_at_once(
    before: dict[str, Any], after: dict[str, Any], *, follows: bool
) -> None:
    assert (tuned(watcher(**before), watcher(**after)) == watcher(**after)) is follows


def test_best_effort_may_need_another_group_for_a_new_limit() -> None:
    def live(before: dict[str, Any], after: dict[str, Any]) -> bool:
        old, new = (watcher(containment="best-effort", **one) for one in (before, after))
        return tuned(old, new) == new

    assert live({"pids_max": 3}, {"pids_max": 5})
    assert live({"pids_max": 3, "cpu_max": 1.0}, {"pids_max": 5})
    assert not live({"pids_max": 3}, {"pids_max": 3, "cpu_max": 1.0})


@pytest.mark.parametrize(
    ("text", "value"), [("150%", 1.5), ("0.5", 0.5), ("2", 2.0), ("1 %", 0.01)]
)
def test_processors(text: str, value: float) -> None:
    assert parse_value(WatcherSettings, "cpu_max", text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cpu_max", "0"),
        ("cpu_max", "-1"),
        ("cpu_max", "0.5%"),
        ("cpu_max", "nan"),
        ("memory_max", "0"),
        ("memory_max", "1023K"),
        ("pids_max", "0"),
        ("cpu_weight", "10001"),
        ("io_weight", "0"),
        ("containment", "maybe"),
    ],
)
def test_what_no_limit_is(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} = "):
        parse_value(WatcherSettings, name, text)


@given(st.floats(0.01, 99999))
def test_a_quota_is_what_the_kernel_takes(cpus: float) -> None:
    quota, period = the_limit(cpu_max=cpus).files["cpu.max"].split()
    assert int(quota) >= 1000
    assert int(quota) / int(period) == pytest.approx(cpus, abs=1e-5)


@given(st.integers(1, 10000))
def test_shares_are_in_the_kernels_bounds(weight: int) -> None:
    assert 2 <= limits.shares_of(weight) <= 262144


@given(st.dictionaries(st.sampled_from(["memory.max", "pids.max"]), st.sampled_from(["1", "2"])))
def test_a_limit_that_is_gone_is_lifted(before: dict[str, str]) -> None:
    now = {"cpu.weight": "7", "pids.max": "2"}
    files = {**before, **writes(now, before)}
    assert files == {**now, **({"memory.max": "max"} if "memory.max" in before else {})}
    assert writes(now, now) == {}


def test_out_of_memory() -> None:
    assert limits.oom_kills("low 0\nhigh 3\nmax 4\noom 2\noom_kill 2\noom_group_kill 9\n") == 2
    assert limits.oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n") == 1
    assert limits.oom_kills("") == 0


def test_pressure() -> None:
    text = (
        "some avg10=1.50 avg60=0.10 avg300=0.00 total=123\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    )
    assert limits.parse_pressure(text) == {
        "some": {"avg10": 1.5, "avg60": 0.1, "avg300": 0.0, "total": 123.0},
        "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 7.0},
    }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_control_files_of_another_kernel_harm_nobody(text: str) -> None:
    limits.parse_pressure(text)
    limits.parse_pressure(f"some {text}")
    limits.oom_kills(text)
    limits.oom_kills(f"oom_kill {text}")
    limits.is_populated(text)


def test_populated() -> None:
    assert limits.is_populated("populated 1\nfrozen 0\n")
    assert not limits.is_populated("populated 0\nfrozen 1\n")
