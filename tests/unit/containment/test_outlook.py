"""Who is refused, who is warned, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaussette.arbiter.containment.layout import Layout
from chaussette.arbiter.containment.limits import CONTROLLERS
from chaussette.arbiter.containment.outlook import contradiction, look_out
from chaussette.settings.watcher import WatcherSettings

BASE = Path("/cg/x.service")
FULL = Layout(BASE, BASE, frozenset({"memory", "cpu", "pids", "io"}))
HYBRID = Layout(BASE, BASE, legacy={"memory": Path("/v1/memory"), "pids": Path("/v1/pids")})
NOTHING = Layout(obstacle="only cgroup v1 is mounted: mount it")


def watcher(**settings: Any) -> WatcherSettings:
    return WatcherSettings(name="w", cmd="true", **settings)


def test_all_is_there() -> None:
    outlook = look_out(watcher(memory_max=2**26, pids_max=9), FULL)
    assert outlook.has_group and not outlook.faults() and not list(outlook.warnings())
    assert outlook.controllers == {"memory", "pids"}


def test_strict_names_the_limit_the_controller_the_machine_and_the_next_step() -> None:
    text = "; ".join(look_out(watcher(memory_max=2**26), HYBRID).faults())
    assert "memory_max = 67108864 needs the memory controller of cgroup v2" in text
    assert "hybrid" in text and "systemd.unified_cgroup_hierarchy=1" in text
    assert "containment = best-effort" in text


def test_strict_where_no_group_can_be_made() -> None:
    text = "; ".join(look_out(watcher(containment="strict"), NOTHING).faults())
    assert NOTHING.obstacle in text


def test_a_group_alone_needs_no_controller() -> None:
    assert not look_out(watcher(containment="strict"), HYBRID).faults()


def test_best_effort_takes_v1_and_says_so_in_one_line() -> None:
    settings = watcher(containment="best-effort", memory_max=2**26, io_weight=5)
    outlook = look_out(settings, HYBRID)
    assert not outlook.faults()
    assert [limit.setting for limit in outlook.legacy] == ["memory_max"]
    (line,) = outlook.warnings()
    assert "memory_max" in line and "io_weight = 5 needs the io controller" in line
    assert "\n" not in line


def test_a_base_with_others_in_it_hands_nothing_out() -> None:
    busy = Layout(BASE, BASE, FULL.controllers, is_busy=True)
    (fault, _) = look_out(watcher(pids_max=3), busy).faults()
    assert "other processes are in" in fault


def test_a_limit_and_off_contradict_each_other() -> None:
    assert "pids_max = 3" in contradiction(watcher(pids_max=3, containment="off"))
    assert not contradiction(watcher(containment="off"))
    assert not contradiction(watcher(pids_max=3))


LIMITS = st.dictionaries(st.sampled_from(list(CONTROLLERS)), st.just(2**20))
LAYOUTS = st.sampled_from([FULL, HYBRID, NOTHING, Layout(BASE, BASE, FULL.controllers, True)])


@given(LIMITS, st.sampled_from(["strict", "best-effort"]), LAYOUTS)
def test_every_limit_is_set_or_spoken_of(limits: dict[str, int], mode: str, layout: Layout) -> None:
    outlook = look_out(watcher(containment=mode, **limits), layout)
    spoken = " ".join((*outlook.faults(), *outlook.warnings()))
    done = {limit.setting for limit in outlook.limits}
    for name in limits:
        assert name in done or name in spoken
    if mode == "best-effort":
        assert not outlook.faults()
