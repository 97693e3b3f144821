"""Whatever a client sends to whatever command: a reply or an error reply, nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_commands import FakeControl

from chaussette.control.command import COMMANDS, run
from chaussette.control.options import changed, shown
from chaussette.control.protocol import (
    Reply,
    error_reply,
    read_reply,
    read_request,
    write_reply,
)
from chaussette.errors import BadMessage, ControlError
from chaussette.settings.declare import declared
from chaussette.settings.watcher import WatcherSettings

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["web", "job", "WEB*", "(", "glob", "regex", "KILL", "25%", "\0", "\ud800"]),
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
QUESTIONS = sorted(name for name in COMMANDS if name != "tail")  # which has its own tests
KEYS = sorted({key for one in COMMANDS.values() for key in one.properties} | {"nonsense"})
OPTIONS = [*declared(WatcherSettings), "env", "hooks", "hooks.before_start", "rlimit_nofile"]
OPTIONS += ["stdout_stream", "stdout_stream.filename", "retry_in", "free", "nonsense"]


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(QUESTIONS),
    st.dictionaries(st.sampled_from(KEYS), ANYTHING),
    st.sampled_from(["web", "job", None]),
)
def test_any_property_of_any_command(
    command: str, properties: dict[str, Any], name: str | None
) -> None:
    if name is not None:
        properties = {**properties, "name": name}
    control, replies = FakeControl(), list[Reply]()
    message = {"id": "1", "command": command, "properties": properties}
    frame = json.dumps(message).encode()
    try:
        run(control, read_request(frame), replies.append)
    except ControlError as error:
        assert not replies
        replies.append(error_reply(error))
    for pending in control.pending:
        pending(Reply(True))
    assert len(replies) == 1
    assert read_reply(write_reply("1", replies[0], 0.0))[0] == "1"


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(OPTIONS), ANYTHING))
def test_any_value_of_any_option(options: dict[str, Any]) -> None:
    before = WatcherSettings(name="w", cmd="x", options={"free": "1"}, env={"A": "secret"})
    try:
        after = changed(before, options)
    except BadMessage:
        return
    assert "\0" not in repr(json.loads(json.dumps(shown(after, 1))))
    assert {**options, "env": None}.keys() >= {
        name for name in declared(WatcherSettings) if getattr(after, name) != getattr(before, name)
    } - {"argv"}


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]":,0eE-+.tfn\\u', max_size=60).map(str.encode)
)
def test_any_frame(frame: bytes) -> None:
    try:
        read_request(frame)
    except BadMessage:
        pass


def test_what_is_shown_can_be_set_again() -> None:
    before = WatcherSettings(
        name="w",
        cmd="x --password=abc",
        umask=0o22,
        stop_signal=2,
        max_age=1.5,
        sockets=("a", "b"),
        env={"A": "secret"},
        rlimits={"nofile": 5},
        stdout_stream={"filename": "x"},
    )
    values = shown(before, 1)
    assert "abc" not in json.dumps(values)
    assert values["umask"] == "022"
    assert "secret" not in json.dumps(values)
    del values["cmd"]
    assert changed(before, values) == before
