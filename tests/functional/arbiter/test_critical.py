"""`critical`: an arbiter without its main watcher is of no use, as in a container."""

from __future__ import annotations

from arbiter_under_test import SLEEP, Arbiters, watcher


def test_the_arbiter_ends_with_a_watcher_that_cannot_be_kept_running(arbiters: Arbiters) -> None:
    arbiter = arbiters(
        watcher("main", "/bin/sh -c 'exit 5'", critical=True, max_retry=1, ready_after=30),
        watcher("other", SLEEP),
    )
    assert arbiter.wait_end() == 5
    assert "main cannot be kept running, and it is critical: the arbiter ends" in arbiter.log


def test_another_watcher_that_fails_ends_nothing(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("main", SLEEP, critical=True),
        watcher("other", "/no/such/program", max_retry=0),
    )
    arbiter.wait("other: given up")
    assert len(arbiter.settled("main")) == 1
