"""The pure parts of circusd-stats: names, the roster, the summary, turns, queues' places."""

from __future__ import annotations

import os
import socket

import pytest

from chaussette.cli.circusdstats import main
from chaussette.facts import Facts, human
from chaussette.settings import stats
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.stats.details import Turns, details_of
from chaussette.stats.link import Socket
from chaussette.stats.queues import Queues
from chaussette.stats.roster import Roster, topic_of
from chaussette.stats.summary import summary


@pytest.mark.parametrize(
    ("watcher", "topic"),
    [("web", "stat.web"), ("My Web", "stat.my_web"), ("a.b.c", "stat.a-b-c")],
)
def test_a_topic_has_a_name_and_a_pid_between_dots(watcher: str, topic: str) -> None:
    assert topic_of(watcher) == topic
    assert topic_of(watcher, 7) == f"{topic}.7"


def known(roster: Roster) -> dict[str, tuple[int, ...]]:
    return dict(roster.watchers())


def test_the_roster_follows_events() -> None:
    roster = Roster()
    roster.replace({"My Web": [1, 2], "empty": [], "a.b": [3]})
    assert known(roster) == {"My Web": (1, 2), "a.b": (3,)}
    roster.hear("watcher.my_web.spawn", {"process_pid": 4})
    roster.hear("watcher.my_web.spawn", {"process_pid": 4})  # the listing knew it already
    roster.hear("watcher.my_web.reap", {"process_pid": 1})
    roster.hear("watcher.a.b.reap", {"process_pid": 3})
    roster.hear("watcher.my_web.kill", {"process_pid": 2})  # it has been told to end, no more
    roster.hear("watcher.new.spawn", {"process_pid": 9})
    assert known(roster) == {"My Web": (2, 4), "new": (9,)}
    roster.hear("watcher.my_web.remove", {})
    roster.hear("watcher.circusd-stats.spawn", {"process_pid": 10})
    roster.hear("watcher.new.spawn", {"process_pid": "no number"})
    roster.hear("watcher.nobody.reap", {"process_pid": 5})
    roster.gone("NEW", 8)
    assert known(roster) == {"new": (9,)}


def info(pid: int, **values: object) -> dict[str, object]:
    return {"pid": pid, "cpu": 1.0, "mem": 0.5, "age": 2.0, "rss": 10, "threads": 1, **values}


def worker(**values: object) -> dict[str, object]:
    return {"state": "serving", "in_flight": 0, "rate": 0.0, "busy": 0.0, **values}


def test_a_watcher_is_the_mean_the_sum_and_the_oldest() -> None:
    told = summary([info(1, cpu=3.0), info(2, age=9.0)])
    assert told == {
        "pid": [1, 2], "cpu": 2.0, "mem": 1.0, "age": 9.0, "processes": 2, "rss": 20, "threads": 2
    }  # fmt: skip
    assert summary([])["age"] == "N/A"
    busy = worker(busy=0.5, rate=3.0, in_flight=2)
    told = summary([info(1, worker=busy), info(2, worker=worker(state="draining")), info(3)])
    assert told["workers"] == {
        "processes": 2, "serving": 1, "in_flight": 2, "rate": 3.0, "busy": 0.25
    }  # fmt: skip


def test_details_are_read_in_turn() -> None:
    turns = Turns(share=1)
    pids = [os.getpid(), os.getppid()]
    seen = []
    for _ in range(3):
        turns.look(pids)
        seen.append(sum(bool(turns.of(pid)) for pid in pids))
    assert seen == [1, 2, 2]
    turns.look([pids[1]])
    assert turns.of(pids[0]) == {}
    assert turns.of(pids[1])


def test_details_of_this_very_process() -> None:
    found = details_of(os.getpid())
    with open(os.devnull, "rb"):  # noqa: PTH123 - a descriptor is what it is about
        assert details_of(os.getpid())["fds"] == found["fds"] + 1
    assert found["io_read_chars"] > 0
    assert {"ctx_voluntary", "ctx_involuntary"} <= set(found)
    assert details_of(2**22 + 1) == {}


def test_facts_of_nobody() -> None:
    assert Facts().of(2**22 + 1) is None
    mine = Facts().of(os.getpid())
    assert mine is not None
    assert mine["mem_info1"] == human(int(str(mine["rss"])))


def test_sockets_that_nobody_listens_on_have_no_queue() -> None:
    queues = Queues()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))  # bound, and not listening
        place = Socket(3, "web", "127.0.0.1", one.getsockname()[1], "", None)
        named = Socket(4, "named", "no.such.host", 80, "", None)
        path = Socket(5, "path", "", 0, "/nowhere/s", None)
        assert queues.look([place, named, path]) == {}
        one.listen()
        assert queues.look([place, named, path]) == {3: 0}
    queues.close()


def test_who_says_where_wants_statistics() -> None:
    assert stats.completed(ArbiterSettings(stats_endpoint="ipc:///x")).statsd
    assert not stats.completed(ArbiterSettings()).statsd
    quiet = stats.watcher(ArbiterSettings(statsd=True, statsd_close_outputs=True))
    assert quiet.close_child_stdout and quiet.close_child_stderr
    assert not quiet.use_sockets


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--intervall", "1"], "did you mean '--interval'?"),
        (["--interval", "0"], "expected a number from 0.01"),
        (["--details", "many"], "expected a number from 0"),
        (["now"], "unexpected word 'now'"),
        (["--statspoint", "tcp://0.0.0.0:5557"], "open to other machines"),
        (["--log-level", "loud"], "expected one of"),
    ],
)
def test_a_wrong_command_line(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) != 0
    assert text in capsys.readouterr().err
