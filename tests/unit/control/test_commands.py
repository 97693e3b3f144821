"""Commands, against an arbiter of a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaussette.cli.circusctl import parse_words
from chaussette.control import commands as _register  # noqa: F401 - fills the table of commands
from chaussette.control.api import Answer, SocketInfo
from chaussette.control.command import COMMANDS, find
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage, ConfigError, ControlError, UnknownCommand


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

    def reload(self, names: list[str], surge: int | None, answer: Answer) -> None:
        self._note(answer, "reload", names, surge)

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
        find(command).execute(self.control, Request("1", command, properties), self.replies.append)
        return self.replies[0] if self.replies else Reply(False, reason="not answered")

    def shown(self, command: str, **properties: Any) -> str:
        return find(command).show(self.say(command, **properties))


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def test_reads(talk: Conversation) -> None:
    assert talk.say("list").fields == {"watchers": ["Web", "job", "web-2"]}
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
        ({}, ("reload", ["Web", "web-2", "job"], None)),
        ({"sequential": True}, ("reload", ["Web", "web-2", "job"], 1)),
        ({"graceful": False, "name": "job"}, ("restart", ["job"])),
    ],
)
def test_kinds_of_reload(
    talk: Conversation, properties: dict[str, Any], asked: tuple[Any, ...]
) -> None:
    talk.say("reload", **properties)
    assert talk.control.asked == [asked]


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
