"""`circusctl tail`: the last lines, and those that come."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from arbiter_under_test import SLEEP, Arbiters, ArbiterUnderTest, fifo, watcher


def ctl(arbiter: ArbiterUnderTest, *words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "chaussette.cli.circusctl",
        "--endpoint",
        arbiter.endpoint,
        *words,
    ]


def test_last_lines_of_the_living_and_the_dead(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("w", f"/bin/sh -c 'seq 20; echo oops >&2; exec {SLEEP}'"),
        watcher("dead", "/bin/sh -c 'echo last words; exit 3'", max_retry=0, ready_after=5),
    )
    arbiter.wait("^oops")
    if "dead: given up" not in arbiter.log:
        arbiter.wait("dead: given up")
    lines = arbiter.must("tail", name="w", lines=3)["lines"]
    assert [one["text"] for one in lines if one["stream"] == "stdout"] == ["18", "19", "20"]
    assert [one["text"] for one in lines if one["stream"] == "stderr"] == ["oops"]
    assert [one["text"] for one in arbiter.must("tail", name="dead")["lines"]] == ["last words"]
    assert not arbiter.ask("tail", name="nobody").ok
    shown = arbiters.run(ctl(arbiter, "tail", "w", "-n", "1", "--stdout"))
    shown.wait(r"^w \d+ \| 20$")
    assert shown.wait_end() == 0


def test_following_shows_each_line_once_until_the_end(arbiters: Arbiters, folder: Path) -> None:
    with fifo(folder / "gate") as gate:
        talker = arbiters.shell(
            "talker", f"echo 0; read x < {folder}/gate; seq 5000; echo done; exec {SLEEP}"
        )
        arbiter = arbiters.ready(watcher("w", talker))
        arbiter.wait("^0$")
        following = arbiters.run(ctl(arbiter, "tail", "w", "-f"))
        following.wait(r"\| 0$")
        os.write(gate, b"\n")
        following.wait(r"\| done$")
        arbiter.must("quit", waiting=True)
        assert following.wait_end() == 0
    shown = [int(number) for number in re.findall(r"\| (\d+)$", following.log, re.MULTILINE)]
    missing = sum(int(number) for number in re.findall(r"\[(\d+) lines are", following.log))
    assert shown == sorted(set(shown))
    assert len(shown) + missing == 5001
