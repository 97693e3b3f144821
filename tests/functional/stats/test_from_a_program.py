"""Statistics of an arbiter that a program runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arbiter_under_test import SLEEP
from subscriber import Subscriber

from chaussette import get_arbiter


def test_get_arbiter_with_statsd(folder: Path, subscribe: Callable[..., Subscriber]) -> None:
    point = f"ipc://{folder}/stats.sock"
    arbiter = get_arbiter(
        [{"name": "job", "cmd": SLEEP, "ready_after": 0.05}],
        background=True, statsd=True, stats_endpoint=point, runtime_dir=str(folder / "run"),
    )  # fmt: skip
    arbiter.start()
    try:
        assert len(subscribe(point).wait("stat.job")["pid"]) == 1
    finally:
        arbiter.stop()
