"""The pure parts of benchmarks/raw: what wrk says, statistics, targets, what is asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from benchmarks.raw import answer, table, wrk
from benchmarks.raw.cases import CASES, TARGETS, Case, Target
from benchmarks.raw.chosen import UnknownName, narrow
from benchmarks.raw.figures import (
    failures,
    good,
    imbalance,
    percentile,
    ratio,
    spread,
    summary,
    verdict,
)
from benchmarks.raw.record import BadRecord, Record
from benchmarks.raw.rounds import Plan, pairs
from benchmarks.raw.servers import FLOOR, SERVERS, variant

WRK = """\
Running 4s test @ http://127.0.0.1:1234/
  1 threads and 64 connections
  Latency   207.26us  570.00us  15.67ms   98.39%
RAW {"requests": 420926, "seconds": 4.010000, "p50_ms": 0.1460, "p99_ms": 1.4200, \
"max_ms": 15.6700, "errors": {"connect": 0, "read": 3, "write": 0, "timeout": 0, "status": 2}}
"""
W1 = CASES[0]


def one_round(server: str, number: int, cpu: float, **more: Any) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(("user_us", "sys_us", "busy", "loader"), 0.5)
    columns["others"] = 0.0
    columns |= dict.fromkeys(("p50_ms", "p99_ms", "rss_mib", "pss_mib"), 1.0)
    head = {"case": "W1", "server": server, "round": number, "cpu_us": cpu, "rps": 1e5}
    return {**head, **columns, "errors": {"read": 0}, "notes": [], **more}


def test_what_wrk_says_is_read() -> None:
    load = wrk.parse(WRK, busy=0.97)
    assert load.requests == 420926
    assert (load.p50_ms, load.p99_ms, load.max_ms) == (0.146, 1.42, 15.67)
    assert load.errors == {"connect": 0, "read": 3, "write": 0, "timeout": 0, "status": 2}
    assert load.busy == 0.97
    assert load.per_second == pytest.approx(104969.08, abs=0.01)


@pytest.mark.parametrize("output", ["", "Running 4s test\n", WRK + WRK, WRK.replace("420926", "0")])
def test_what_is_no_measurement_is_refused(output: str) -> None:
    with pytest.raises(wrk.LoaderFailed):
        wrk.parse(output, busy=0.0)


def test_a_script_names_the_whole_request() -> None:
    text = wrk.script(
        Case("X", "", "wsgi", "", fields=(("X-A", 'say "a\\b"\r'),), upload=b"1\n2", pipeline=16)
    )
    assert 'wrk.method = "POST"' in text
    assert 'wrk.body = "1\\0102"' in text
    assert 'wrk.headers["X-A"] = "say \\034a\\092b\\034\\013"' in text
    assert "string.rep(one, 16)" in text
    assert "request = function" not in wrk.script(W1), "it would cost the loader a call each time"


def test_spreads_percentiles_and_shares() -> None:
    assert spread([3.0, 1.0, 2.0]).median == 2.0
    assert (spread([3.0, 1.0]).least, spread([3.0, 1.0]).most) == (1.0, 3.0)
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([5.0], 0.5) == 5.0
    assert imbalance([10, 10, 10, 10], 4) == 1.0
    assert imbalance([20], 2) == 2.0, "a worker that got nothing counts"
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_a_ratio_compares_rounds_with_the_same_number() -> None:
    ours = [one_round("native", 0, 6.0), one_round("native", 1, 12.0), one_round("native", 5, 99.0)]
    theirs = [one_round("floor", 0, 5.0), one_round("floor", 1, 10.0)]
    assert ratio(ours, theirs) == pytest.approx(1.2)
    assert ratio(ours, []) is None


def test_a_server_that_failed_once_keeps_its_figures() -> None:
    failed = {"case": "W1", "server": "a", "round": 1, "failed": "it ended"}
    other = {"case": "W1", "server": "b", "round": 0, "failed": "wrong body"}
    rounds = [one_round("a", 0, 1.0), failed, other]
    assert list(good(rounds, "W1")) == ["a"]
    assert failures(rounds, "W1") == {"b": "wrong body"}


def test_targets_are_met_missed_or_not_measured() -> None:
    rounds = [one_round("native", 0, 6.0), one_round("floor", 0, 5.0)]
    assert verdict(rounds, Target("W1", "native", "floor", 1.25)).met is True
    assert verdict(rounds, Target("W1", "native", "floor", 1.12)).met is False
    assert verdict(rounds, Target("W1", "native", "bjoern", 1.12)).met is None
    assert verdict(rounds, Target("W1", "native", "floor", least=1.3)).met is False


def test_targets_name_what_there_is() -> None:
    names = {one.name for one in SERVERS}
    cases = {one.name for one in CASES}
    for one in TARGETS:
        assert one.case in cases
        assert {one.ours, one.peer} <= names
        assert (one.most is None) != (one.least is None)


def test_the_table_is_ordered_and_says_what_must_be_known() -> None:
    rounds = [
        one_round("fastwsgi", 0, 9.0, errors={"read": 7}, notes=["no Server"]),
        one_round("native", 0, 6.0),
        one_round("floor", 0, 5.0, loader=0.99),
        {"case": "W1", "server": "bjoern", "round": 0, "failed": "does not start"},
    ]
    text = table.case_table(W1, rounds, {one.name: one for one in SERVERS})
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split()[1] for line in lines] == ["server", "floor", "native", "fastwsgi"]
    assert "native ÷ it" in lines[0]
    assert "loader saturated" in lines[1]
    assert "1.20x" in lines[2]
    assert "0.67x" in lines[3], "native over fastwsgi"
    assert "no Server; 7 read errors" in lines[3]
    assert "No figure: bjoern - does not start" in text
    assert len({len(line) for line in lines}) == 1
    assert summary(rounds[:1])["cpu_us"].median == 9.0


def test_neighbours_are_told() -> None:
    quiet, loud = (
        table.case_table(W1, [one_round("floor", 0, 5.0, others=others)], {})
        for others in (0.1, 1.4)
    )
    assert "Neighbours" not in quiet
    assert "Neighbours used 1.4 of the cores" in loud


def test_a_line_that_cannot_be_compared_says_so() -> None:
    case = next(one for one in CASES if one.name == "W5gen")
    fastwsgi = next(one for one in SERVERS if one.name == "fastwsgi")
    assert "not comparable: buffers" in table.remarks(case, [one_round("x", 0, 1.0)], fastwsgi)


def test_only_narrows_and_names_the_nearest() -> None:
    everything = pairs(CASES, SERVERS, {"bjoern": "not installed"})
    names = [one.name for one in CASES], [one.name for one in SERVERS]
    chosen = narrow(everything, ["W1/floor", "W1/gran*", "A1"], *names)
    found = {case.name: [one.name for one in fit] for case, fit in chosen}
    assert found["W1"] == ["floor", "granian", "granian-bt4", "granian-pf"]
    assert "uvicorn" in found["A1"]
    assert list(found) == ["W1", "A1"]
    assert "bjoern" not in {one.name for one in everything[0][1]}
    with pytest.raises(UnknownName, match="no server 'granan', perhaps granian"):
        narrow(everything, ["W1/granan"], *names)
    with pytest.raises(UnknownName, match="no case 'W99'"):
        narrow(everything, ["W99"], *names)


def test_a_server_for_some_cases_is_in_no_other() -> None:
    fits = {case.name: {one.name for one in fit} for case, fit in pairs(CASES, SERVERS, {})}
    assert {name for name, servers in fits.items() if "native-log" in servers} == {"W1", "W1h"}


def test_each_round_has_each_server_once_and_begins_with_another() -> None:
    servers = tuple(SERVERS[:3])
    plan = Plan(((W1, servers),), rounds=3, seconds=1, warm_up=1, python=Path("python"))
    steps = [(number, server.name) for _, number, server in plan.steps()]
    rounds = [[name for at, name in steps if at == number] for number in range(3)]
    assert all(sorted(one) == sorted(server.name for server in servers) for one in rounds)
    assert len({one[0] for one in rounds}) == 3


def test_the_floor_is_in_every_case_that_has_a_constant_answer() -> None:
    for case, fit in pairs(CASES, SERVERS, {}):
        assert any(one.role == FLOOR for one in fit) is case.floor


def test_words_come_before_the_application() -> None:
    values = {"python": "py", "port": 1, "app": "m:a", "bin": "b", "apps": "", "folder": ""}
    native = next(one for one in SERVERS if one.name == "native")
    assert native.command(values, workers=4)[-3:] == ["-w", "4", "m:a"]
    assert variant("log=native:--access-log x").command(values)[-3:] == ["--access-log", "x", "m:a"]
    floor = next(one for one in SERVERS if one.name == "floor")
    with pytest.raises(ValueError, match="floor has no way to run 4 workers"):
        floor.command(values, workers=4)
    with pytest.raises(ValueError, match="expected NAME=BASE:WORDS"):
        variant("log=nobody:-x")


def test_an_answer_is_read_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-A: b\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert answer.read(io.BytesIO(head + chunked)).body == b"abcde"
    assert answer.read(io.BytesIO(head + b"Content-Length: 2\r\n\r\nabc")).body == b"ab"
    found = answer.read(io.BytesIO(head + b"\r\nall of it"))
    assert (found.status, found.body, found.values("X-a")) == (200, b"all of it", ["b"])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"220 mail.example\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
)
def test_a_cut_answer_is_none(text: bytes) -> None:
    with pytest.raises(answer.BadAnswer):
        answer.read(io.BytesIO(text))


def test_the_check_says_what_is_wrong() -> None:
    with pytest.raises(answer.BadAnswer, match="status 500"):
        answer.check(answer.Answer(500, (), b"oh"), b"ok")
    with pytest.raises(answer.BadAnswer, match=r"wrong body: 2 bytes b'oh', expected 2"):
        answer.check(answer.Answer(200, (), b"oh"), b"ok")


def test_a_run_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "results" / "raw.json"
    first = Record(path, {"seconds": 4.0})
    first.add(one_round("floor", 0, 5.0))
    first.add({"case": "W1", "server": "native", "round": 0, "failed": "it ended"})
    again = Record(path, {"seconds": 4.0})
    again.take_up()
    assert again.has("W1", "floor", 0)
    assert not again.has("W1", "floor", 1)
    assert not again.has("W1", "native", 0), "a failure is tried again"
    again.add(one_round("native", 0, 6.0))
    assert len(again.rounds) == 2
    with pytest.raises(BadRecord, match=r"took 4.0 s; expected 1.0"):
        Record(path, {"seconds": 1.0}).take_up()
    with pytest.raises(BadRecord, match="no results to resume"):
        Record(tmp_path / "none.json", {"seconds": 1.0}).take_up()
