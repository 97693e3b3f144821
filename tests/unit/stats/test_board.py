"""circus-top's table, and its command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaussette.cli.circustop import main
from chaussette.stats.board import Board, lines


def process(pid: int, **values: Any) -> dict[str, Any]:
    return {"pid": pid, "cpu": 1.0, "mem": 0.5, "age": 9.0, "cmdline": "sleep", **values}


def board() -> Board:
    made = Board()
    for one in (process(2, cpu=8.0, age=1.0), process(1, mem=3.0), process(3)):
        made.take(f"stat.my-job.{one['pid']}", one)
    made.take("stat.my-job", {"watcher": "my.job", "pid": [1, 2], "cpu": 4.5, "mem": 3.5})
    made.take("stat.circus", {"pid": [], "cpu": "N/A", "mem": "N/A"})
    made.take("stat.sockets.7", {"fd": 7, "reads": 3, "address": "127.0.0.1:80", "queue": 2})
    made.take("stat.sockets.6", {"fd": 6, "reads": 0, "address": "/s", "name": "x", "queue": None})
    made.take("stat.sockets", {"addresses": [], "reads": 3})
    made.take("nonsense.of.somebody.else", {})
    return made


@pytest.mark.parametrize(
    ("sort", "pids"), [("cpu", [2, 1]), ("mem", [1, 2]), ("age", [1, 2]), ("pid", [1, 2])]
)
def test_who_has_ended_is_left_out_and_others_are_sorted(sort: str, pids: list[int]) -> None:
    told = board().told(sort)
    assert [one["pid"] for one in told["watchers"]["my.job"]["processes"]] == pids
    assert [one["fd"] for one in told["sockets"]] == [6, 7]
    assert set(told["watchers"]) == {"circus", "my.job"}
    json.dumps(told)


def test_the_table() -> None:
    assert list(lines(board().told())) == [
        "circus: 0 processes, CPU 0.0 % (mean), MEM 0.0 %",
        "      PID   CPU %   MEM %      RSS  THR   FDS      AGE s  PROGRAM",
        "my.job: 2 processes, CPU 4.5 % (mean), MEM 3.5 %",
        "      PID   CPU %   MEM %      RSS  THR   FDS      AGE s  PROGRAM",
        "        2     8.0    0.50        -    -     -        1.0  sleep",
        "        1     1.0    3.00        -    -     -        9.0  sleep",
        "sockets",
        "       FD   QUEUE   READS  ADDRESS",
        "        6       -       0  /s  x",
        "        7       2       3  127.0.0.1:80",
    ]


def test_workers_have_columns_of_their_own() -> None:
    made = Board()
    worker = {"rate": 12.5, "busy": 0.25, "in_flight": 3}
    made.take("stat.web.5", process(5, rss=2**20, threads=2, fds=9, worker=worker))
    made.take("stat.web", {"pid": [5], "cpu": 1.0, "mem": 0.5, "workers": worker})
    head, names, row = lines(made.told())
    assert head.endswith("12.5 requests/s, busy 25 %, 3 in flight")
    assert names.split()[-4:] == ["REQ/s", "BUSY", "%", "NOW", "PROGRAM"][-4:]
    assert row.split() == ["5", "1.0", "0.50", "1.00M", "2", "9", "9.0", "12.5", "25", "3", "sleep"]


def test_a_name_cannot_command_the_terminal() -> None:
    made = Board()
    made.take("stat.web.5", process(5, cmdline="\x1b[2Jevil"))
    made.take("stat.web", {"watcher": "w\x07", "pid": [5], "cpu": 1.0, "mem": 0.5})
    text = "\n".join(lines(made.told()))
    assert "\x1b" not in text and "\x07" not in text
    assert "?[2Jevil" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--sort", "name"], "expected one of cpu, mem, age, pid"),
        (["--timeout", "soon"], "expected a number"),
        (["--onse"], "did you mean '--once'"),
        (["web"], "unexpected word 'web'"),
        (["--once", "--timeout", "0.05", "--endpoint", "ipc:///nowhere/s"], "statsd = True"),
    ],
)
def test_a_wrong_command_line(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) != 0
    assert text in capsys.readouterr().err
