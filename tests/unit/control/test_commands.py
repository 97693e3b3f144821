"""Commands, against an arbiter of a few lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chaussette.cli.circusctl import parse_words
from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control.api import (
    Answer,
    KillOrder,
    NewWatcher,
    Rolling,
    SignalOrder,
    SocketInfo,
)
from chaussette.control.command import COMMANDS, find, run
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage, ConfigError, ControlError, UnknownCommand

FACTS: dict[str, object] = {
    "pid": 7,
    "cmdline": "sleep",
    "username": "bob",
    "nice": 0,
    "mem_info1": "1.00M",
    "mem_info2": "2.00M",
    "cpu": 0.1,
    "mem": 0.2,
    "ctime": "0:00.01",
}


class FakeControl:
    """Notes what is asked; answers when it is told to."""

    def __init__(self) -> None:
        self.counts = {"Web": 2, "web-2": 1, "job": 1}
        self.asked: list[tuple[Any, ...]] = []
        self.pending: list[Answer] = []
        self.singletons = {"job"}
        self.failures = {"job": "it is broken"}

    def names(self) -> list[str]:
        return list(self.counts)

    def pids(self, name: str) -> list[int]:
        return list(range(100, 100 + self.counts[name]))

    def wanted(self, name: str) -> int:
        return self.counts[name]

    def starts_by_itself(self, name: str) -> bool:
        return name in self.counts

    def is_singleton(self, name: str) -> bool:
        return name in self.singletons

    def is_stopping(self) -> bool:
        return False

    def status(self, name: str) -> str:
        return "parked" if name in self.failures else "active"

    def failure(self, name: str) -> str:
        return self.failures.get(name, "")

    def sockets(self) -> list[SocketInfo]:
        return [
            SocketInfo("web", 3, "[::1]:80", 5),
            SocketInfo("local", 4, "unix:/run/x", 5),
        ]

    def start(self, names: list[str], answer: Answer) -> None:
        self._note(answer, "start", names)

    def stop(self, names: list[str], answer: Answer) -> None:
        self._note(answer, "stop", names)

    def restart(self, names: list[str], answer: Answer) -> None:
        self._note(answer, "restart", names)

    def reload(self, names: list[str], rolling: Rolling, answer: Answer) -> None:
        self._note(answer, "reload", names, rolling)

    def reopen_logs(self) -> None:
        self.asked.append(("reopen_logs",))

    def reload_config(self, answer: Answer) -> None:
        self._note(answer, "reload_config")

    def options(self, name: str) -> dict[str, object]:
        return {"cmd": f"run {name}", "numprocesses": self.counts[name], "env": {"A": "*"}}

    def global_options(self) -> dict[str, object]:
        return {"endpoint": "ipc://x", "check_delay": 5, "stats_endpoint": None}

    def set_options(self, name: str, options: Mapping[str, object], answer: Answer) -> None:
        self._note(answer, "set", name, options)

    def add(self, wanted: NewWatcher, answer: Answer) -> None:
        self._note(answer, "add", wanted)

    def remove(self, name: str, nostop: bool, answer: Answer) -> None:
        self._note(answer, "remove", name, nostop)

    def stats(self, name: str, pid: int | None, extended: bool) -> dict[int, dict[str, object]]:
        if pid is not None and pid not in self.pids(name):
            raise BadMessage(f"process {pid} not found")
        pids = self.pids(name) if pid is None else [pid]
        return {one: {**FACTS, "pid": one, "children": [FACTS] * extended} for one in pids}

    def extend_stats(
        self, infos: dict[str, dict[int, dict[str, object]]], then: Callable[[], None]
    ) -> None:
        for info in infos.values():
            for facts in info.values():
                facts["more"] = True
        then()

    def pressure(self, name: str) -> Mapping[str, object]:
        return {"cpu": {"some": {"avg10": 1.5}}} if name == "web" else {}

    def own_stats(self) -> dict[str, object]:
        return {**FACTS, "children": [FACTS]}

    def signal(self, name: str, order: SignalOrder) -> None:
        self.asked.append(("signal", name, order))

    def end_processes(self, name: str, order: KillOrder, answer: Answer) -> None:
        self._note(answer, "kill", name, order)

    def scale(self, name: str, count: int, answer: Answer) -> int:
        self.counts[name] = max(0, count)
        self._note(answer, "scale", name, count)
        return self.counts[name]

    def quit(self, answer: Answer) -> None:
        self._note(answer, "quit")

    def _note(self, answer: Answer, *what: Any) -> None:
        self.asked.append(what)
        self.pending.append(answer)


class Conversation:
    """Commands and the replies to them."""

    def __init__(self) -> None:
        self.control = FakeControl()
        self.replies: list[Reply] = []

    def say(self, command: str, **properties: Any) -> Reply:
        self.replies.clear()
        run(self.control, Request("1", command, properties), self.replies.append)
        return self.replies[0] if self.replies else Reply(False, reason="not answered")

    def shown(self, command: str, **properties: Any) -> str:
        return find(command).show(self.say(command, **properties))


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def test_reads(talk: Conversation) -> None:
    assert talk.say("list").fields == {"watchers": ["job", "web", "web-2"]}
    assert talk.shown("list", name="WEB") == "100,101"
    assert talk.say("numprocesses").fields == {"numprocesses": 4}
    assert talk.say("numprocesses", name="web").fields == {
        "numprocesses": 2,
        "watcher_name": "Web",
    }
    assert talk.shown("numwatchers") == "3"
    assert talk.shown("status", name="web") == "active"
    assert talk.shown("status", name="job") == "parked (it is broken)"
    assert "job: parked (it is broken)" in talk.shown("status").splitlines()
    assert talk.shown("listsockets").splitlines() == [
        "3:socket 'web' at [::1]:80",
        "4:socket 'local' at /run/x",
    ]


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({}, ["Web", "web-2", "job"]),
        ({"name": "web"}, ["Web"]),
        ({"name": "WEB*"}, ["Web", "web-2"]),
        ({"name": "web*", "match": "glob"}, ["Web", "web-2"]),
        ({"name": "web", "match": "simple"}, ["Web"]),
        ({"name": "w.*2|JOB", "match": "regex"}, ["web-2", "job"]),
    ],
)
def test_who_is_meant(talk: Conversation, properties: dict[str, str], names: list[str]) -> None:
    for command in ("start", "stop", "restart"):
        talk.say(command, **properties)
        assert talk.control.asked[-1] == (command, names)


def test_the_nearest_is_named() -> None:
    talk = Conversation()
    with pytest.raises(ControlError, match="did you mean 'web-2'"):
        talk.say("list", name="web-22")
    with pytest.raises(ControlError, match="no watcher 'x\\*'"):
        talk.say("stop", name="x*")
    with pytest.raises(UnknownCommand, match="did you mean 'reload'"):
        talk.say("relaod")


@pytest.mark.parametrize(
    ("command", "properties"),
    [
        ("stop", {"name": 5}),
        ("stop", {"name": "(", "match": "regex"}),
        ("stop", {"name": "x", "match": ["glob"]}),
        ("list", {"name": {}}),
        ("incr", {}),
        ("incr", {"name": "web", "nb": "many"}),
        ("incr", {"name": "web", "nb": -1}),
        ("incr", {"name": "web", "nb": True}),
        ("incr", {"name": "web", "nb": 1.5}),
        ("incr", {"name": "web", "nb": 10**6}),
        ("signal", {"name": "web"}),
        ("signal", {"name": "web", "signum": "NOPE"}),
        ("signal", {"name": "web", "signum": 99}),
        ("signal", {"name": "web", "signum": 2, "childpid": 5}),
        ("signal", {"name": "web", "signum": 2, "pid": -1}),
        ("kill", {"name": "web", "graceful_timeout": -1}),
        ("kill", {"name": "web", "graceful_timeout": float("nan")}),
        ("set", {"name": "web"}),
        ("set", {"name": "web", "options": []}),
        ("add", {"name": "x"}),
        ("add", {"name": "x", "cmd": "a\0b"}),
        ("add", {"name": "x", "cmd": "a", "args": [1]}),
        ("get", {"name": "web", "keys": {}}),
        ("rm", {"name": "web", "nostop": "yes"}),
        ("listen", {}),
    ],
)
def test_nonsense_is_refused_before_anything_is_done(
    talk: Conversation, command: str, properties: dict[str, Any]
) -> None:
    with pytest.raises(BadMessage):
        talk.say(command, **properties)
    assert talk.control.asked == []
    assert talk.replies == []


@pytest.mark.parametrize("command", ["start", "stop", "restart", "reload", "quit"])
def test_who_waits_is_answered_at_the_end_and_once(talk: Conversation, command: str) -> None:
    assert talk.say(command).ok
    talk.control.pending.pop()(Reply(False, reason="later"))
    assert len(talk.replies) == 1
    talk.say(command, waiting=True)
    assert talk.replies == []
    talk.control.pending.pop()(Reply(False, reason="later"))
    assert talk.replies == [Reply(False, reason="later")]


@pytest.mark.parametrize(
    ("properties", "asked"),
    [
        ({"name": "*"}, ("reload", ["Web", "web-2", "job"], Rolling())),
        ({"name": "job", "sequential": True}, ("reload", ["job"], Rolling("1"))),
        ({"name": "job", "batch": "25%", "pause": 2}, ("reload", ["job"], Rolling("25%", 2.0))),
        ({"name": "job", "batch": 3, "pause": "0.5"}, ("reload", ["job"], Rolling("3", 0.5))),
        ({"graceful": False, "name": "job"}, ("restart", ["job"])),
    ],
)
def test_kinds_of_reload(
    talk: Conversation, properties: dict[str, Any], asked: tuple[Any, ...]
) -> None:
    talk.say("reload", **properties)
    assert talk.control.asked == [asked]


def test_all_are_reloaded_and_their_logs_opened_anew(talk: Conversation) -> None:
    talk.say("reload")
    everything = ("reload", ["Web", "web-2", "job"], Rolling())
    assert talk.control.asked == [("reopen_logs",), everything]


@pytest.mark.parametrize("batch", ["0", "101%", "0%", "-1", "x", "1.5"])
def test_batches_that_are_none(talk: Conversation, batch: str) -> None:
    with pytest.raises(BadMessage, match="batch"):
        talk.say("reload", batch=batch)


def test_who_waits_for_one_watcher_learns_what_became_of_its_processes(
    talk: Conversation,
) -> None:
    talk.say("restart", name="web", waiting=True)
    talk.control.counts["Web"] = 3
    talk.control.pending.pop()(Reply(True))
    info = {"started": [102], "stopped": [], "kept": [100, 101]}
    assert talk.replies == [Reply(True, {"info": info})]
    talk.say("stop", name="job", waiting=True)
    talk.control.pending.pop()(Reply(True))
    assert talk.replies == [Reply(True, {"info": None})]


def test_options_are_read(talk: Conversation) -> None:
    assert talk.say("options", name="web").fields["options"]["numprocesses"] == 2
    assert talk.shown("get", name="web", keys=["cmd", "env"]) == "cmd: run Web\nenv: A=*"
    assert talk.shown("globaloptions").splitlines()[-1] == "stats_endpoint: "
    assert talk.say("globaloptions", option="endpoint").fields == {
        "options": {"endpoint": "ipc://x"}
    }
    with pytest.raises(BadMessage, match="did you mean 'numprocesses'"):
        talk.say("get", name="web", keys=["numproceses"])
    with pytest.raises(BadMessage, match="did you mean 'check_delay'"):
        talk.say("globaloptions", option="check_dela")


def test_stats_are_shown_as_circus_does(talk: Conversation) -> None:
    line = "sleep bob 0 1.00M 2.00M 0.1 0.2 0:00.01"
    assert talk.shown("stats", name="web") == f"Web:\n100: 100  {line}\n101: 101  {line}"
    assert talk.shown("stats", name="job", process=100) == f"100: 100  {line}"
    assert talk.shown("stats", extended=True).startswith(f"Web:\n100: 100  {line}\n   7  {line}")
    assert talk.shown("dstats") == f"Main Process:\n    7  {line}\nChildren:\n    7  {line}"
    with pytest.raises(BadMessage):
        talk.say("stats", process=100)


@pytest.mark.parametrize(
    ("command", "properties", "asked"),
    [
        ("signal", {"signum": "hup"}, SignalOrder(1)),
        ("signal", {"signum": "SIGRTMIN+1", "pid": 7}, SignalOrder(35, 7)),
        ("signal", {"signum": 2, "pid": "7", "childpid": 8}, SignalOrder(2, 7, 8)),
        ("signal", {"signum": 2, "recursive": True}, SignalOrder(2, recursive=True)),
        ("kill", {}, KillOrder()),
        ("kill", {"pid": 7, "signum": "INT"}, KillOrder(7, 2)),
        ("kill", {"graceful_timeout": "0.5"}, KillOrder(None, None, 0.5)),
    ],
)
def test_signals(
    talk: Conversation, command: str, properties: dict[str, Any], asked: object
) -> None:
    assert talk.say(command, name="web", **properties).ok
    assert talk.control.asked == [(command, "Web", asked)]


def test_watchers_come_and_go(talk: Conversation) -> None:
    talk.say("add", name="new", cmd="x", args=["-v"], options={"shell": True}, start=True)
    talk.say("rm", name="JOB", nostop=True)
    talk.say("set", name="job", options={"cmd": "y"})
    assert talk.control.asked == [
        ("add", NewWatcher("new", "x", ["-v"], {"shell": True}, True)),
        ("remove", "job", True),
        ("set", "job", {"cmd": "y"}),
    ]


def test_scaling(talk: Conversation) -> None:
    assert talk.say("incr", name="web").fields == {"numprocesses": 3}
    assert talk.say("incr", name="web", nb="2").fields == {"numprocesses": 5}
    assert talk.say("decr", name="web", nb=9).fields == {"numprocesses": 0}
    assert talk.say("incr", name="job").fields == {"numprocesses": 1, "singleton": True}
    assert talk.control.asked == [("scale", "Web", 3), ("scale", "Web", 5), ("scale", "Web", -4)]


def test_scaling_with_patience(talk: Conversation) -> None:
    talk.say("incr", name="web", waiting=True)
    assert talk.replies == []
    talk.control.pending.pop()(Reply(True))
    assert talk.replies == [Reply(True, {"numprocesses": 3})]


@pytest.mark.parametrize(
    ("words", "properties"),
    [
        ("list", {}),
        ("list web", {"name": "web"}),
        ("incr web 3 --waiting", {"name": "web", "nb": 3, "waiting": True}),
        ("stop web* --match=glob", {"name": "web*", "match": "glob"}),
        ("start --match regex w.*", {"name": "w.*", "match": "regex"}),
        ("reload", {"graceful": True, "sequential": False}),
        ("reload web --sequential", {"name": "web", "graceful": True, "sequential": True}),
        ("reload web --terminate", {"name": "web", "graceful": False, "sequential": False}),
        ("quit --waiting", {"waiting": True}),
        (
            "set web numprocesses 3 shell yes graceful_timeout 2.5 max_age 7 --waiting",
            {
                "name": "web",
                "waiting": True,
                "options": {
                    "numprocesses": 3,
                    "shell": True,
                    "graceful_timeout": 2.5,
                    "max_age": 7,
                },
            },
        ),
        ("set w env A=1,B=2", {"name": "w", "options": {"env": {"A": "1", "B": "2"}}}),
        ("get web cmd env", {"name": "web", "keys": ["cmd", "env"]}),
        ("add --start web sleep --long 5", {"name": "web", "start": True, "cmd": "sleep --long 5"}),
        ("rm web --nostop", {"name": "web", "nostop": True}),
        ("stats --extended web 7", {"name": "web", "process": 7, "extended": True}),
        (
            "signal web 7 --recursive HUP",
            {"name": "web", "pid": 7, "signum": "HUP", "children": False, "recursive": True},
        ),
        (
            "kill web --signum INT --graceful_timeout 3",
            {"name": "web", "signum": "INT", "graceful_timeout": 3.0},
        ),
        ("globaloptions endpoint", {"option": "endpoint"}),
        ("listen", {"topics": [""]}),
        ("reloadconfig --waiting", {"waiting": True}),
        (
            "reload web --batch 25% --pause 2",
            {"name": "web", "graceful": True, "sequential": False, "batch": "25%", "pause": "2"},
        ),
    ],
)
def test_command_lines(words: str, properties: dict[str, Any]) -> None:
    name, *rest = words.split()
    assert parse_words(find(name), rest) == properties


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("list a b", "usage: circusctl list"),
        ("incr", "usage: circusctl incr"),
        ("quit now", "usage"),
        ("stop --waitin", "did you mean 'waiting'"),
        ("stop --match", "needs a value"),
    ],
)
def test_command_lines_that_are_none(words: str, says: str) -> None:
    name, *rest = words.split()
    with pytest.raises(ConfigError, match=says):
        parse_words(find(name), rest)


def _all(part: Callable[[str], bool] = bool) -> list[str]:
    return [name for name in COMMANDS if part(name)]


@pytest.mark.parametrize("name", _all())
def test_every_command_shows_errors_and_explains_itself(name: str) -> None:
    command = find(name.upper())
    assert "broken" in command.show(Reply(False, reason="broken"))
    assert command.__doc__
