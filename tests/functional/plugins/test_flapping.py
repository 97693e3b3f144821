"""The flapping plugin under a real arbiter: rests, gives up, and respects the user."""

from __future__ import annotations

from arbiter_under_test import Arbiters, ArbiterUnderTest, watcher
from test_plugin_runner import section

FLAPPING = "circus.plugins.flapping.Flapping"


def flapping(arbiters: Arbiters, **options: object) -> ArbiterUnderTest:
    """A plugin that hears events, and a watcher that dies young once it is started."""
    arbiter = arbiters.ready(
        watcher(
            "job",
            arbiters.shell("job", "exit 3"),
            autostart=False,
            ready_after=0,
            max_retry=100,
            flapping__attempts=3,
        ),
        section("flap", FLAPPING, window=5, **options),
    )
    arbiter.wait(rf"{FLAPPING} is chaussette.arbiter.plugins.flapping.Flapping here")
    arbiter.settled("plugin:flap")
    arbiter.must("start", name="job")
    return arbiter


def test_gives_up_for_good(arbiters: Arbiters) -> None:
    arbiter = flapping(arbiters, retry_in=0.1, max_retry=2)
    for tries in ("1 of 2", "2 of 2"):
        arbiter.wait(rf"job is flapping: it rests for 0.1s \(try {tries}\)")
    arbiter.wait("job is given up after 2 tries")
    arbiter.must("stop", name="job", waiting=True)
    assert arbiter.status("job") == "stopped"
    # A user may start it again, and is helped again.
    arbiter.must("start", name="job")
    arbiter.wait(r"job is flapping: it rests for 0.1s \(try 1 of 2\)")


def test_what_a_user_stops_stays_stopped(arbiters: Arbiters) -> None:
    arbiter = flapping(arbiters, retry_in=0.5, max_retry=-1)
    arbiter.wait("job is flapping")
    arbiter.must("stop", name="job", waiting=True)
    arbiter.wait("somebody else has taken over")
    assert arbiter.status("job") == "stopped"


def test_a_restart_is_no_flapping(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("job", "sleep 1000", numprocesses=4),
        section("flap", FLAPPING, window=30, attempts=2),
    )
    arbiter.settled("plugin:flap", "job")
    arbiter.must("restart", name="job", waiting=True)
    arbiter.must("stop", name="plugin:flap", waiting=True)  # all events have been heard
    assert "is flapping" not in arbiter.log
    assert arbiter.status("job") == "active"
