"""Statistics of an arbiter that a program runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arbiter_under_test import SLEEP
from subscriber import Subscriber

from chaussette import CircusClient, get_arbiter


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


def test_a_hook_of_the_program_adds_to_stats(folder: Path) -> None:
    def add(*_: object, **kw: object) -> None:
        stats = kw["stats"]
        assert isinstance(stats, dict)
        stats["shop"] = kw["pid"]

    arbiter = get_arbiter(
        [{"name": "job", "cmd": SLEEP, "ready_after": 0.05, "hooks": {"extended_stats": add}}],
        f"ipc://{folder}/c.sock", background=True, runtime_dir=str(folder / "run"),
    )  # fmt: skip
    arbiter.start()
    try:
        with CircusClient(endpoint=f"ipc://{folder}/c.sock") as client:
            info = client.send_message("stats", name="job", extended=True)["info"]
        assert [(one["shop"], one["cmdline"]) for one in info.values()] == [
            (int(pid), "sleep") for pid in info
        ]
    finally:
        arbiter.stop()
