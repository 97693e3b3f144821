"""What the kernel tells of the pressure on a watcher is told to clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from arbiter_under_test import SLEEP, Arbiters, watcher


@pytest.mark.skipif(not Path("/proc/pressure/cpu").exists(), reason="this kernel has no PSI")
def test_stats_tell_the_pressure_of_a_watcher(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("held", SLEEP, containment="strict"), watcher("free", SLEEP, containment="off")
    )
    arbiter.settled("held", "free")
    pressure = arbiter.must("stats", name="held")["pressure"]
    assert set(pressure) == {"memory", "cpu", "io"}
    assert 0 <= pressure["cpu"]["some"]["avg10"] <= 100
    assert "pressure" not in arbiter.must("stats", name="free")
    reply = arbiter.must("stats")
    assert set(reply["pressure"]) == {"held"}
    assert set(reply["infos"]) == {"held", "free"}
