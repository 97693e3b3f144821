"""The arbiter is heard soon on a busy machine, and what it runs is scheduled as usual."""

from __future__ import annotations

import os
import platform

import pytest
from arbiter_under_test import SLEEP, Arbiters, watcher

from chaussette.arbiter.slice import CALLS

RESET_ON_FORK = 0x40000000
"""SCHED_RESET_ON_FORK of sched(7), which the os module has, too, but not everywhere."""


@pytest.mark.skipif(platform.machine() not in CALLS, reason="the call's number is not known here")
def test_only_the_arbiter_has_a_short_slice(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("job", SLEEP))
    (pid,) = arbiter.settled("job")
    assert os.sched_getscheduler(arbiter.pid) == os.SCHED_OTHER | RESET_ON_FORK
    assert os.sched_getscheduler(pid) == os.SCHED_OTHER
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, arbiter.pid)
