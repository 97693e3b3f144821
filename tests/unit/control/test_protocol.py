"""Control messages: a Request or BadMessage, whatever comes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.control.protocol import (
    MAX_MESSAGE,
    InvalidJson,
    Reply,
    Request,
    error_reply,
    read_reply,
    read_request,
    write_reply,
    write_request,
)
from chaussette.errors import BadMessage, UnknownCommand

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def read(frame: bytes) -> Request | None:
    try:
        return read_request(frame)
    except BadMessage:
        return None


@given(st.binary())
def test_any_bytes(frame: bytes) -> None:
    assert read(frame) is None or isinstance(read(frame), Request)


@given(
    st.dictionaries(
        st.sampled_from(["id", "command", "properties", "msg_type"]) | st.text(), JSON, max_size=6
    )
)
def test_any_object(message: dict[str, object]) -> None:
    request = read(json.dumps(message).encode())
    if request is not None:
        assert isinstance(request.command, str)
        assert isinstance(request.properties, dict)
        assert isinstance(request.id, str)
        assert isinstance(request.waiting, bool)


@given(st.text(max_size=256), st.text(), st.dictionaries(st.text(), JSON), st.booleans())
def test_requests_come_back(
    name: str, command: str, properties: dict[str, object], cast: bool
) -> None:
    request = Request(name, command.lower(), properties, cast)
    again = read_request(write_request(request))
    assert (again.id, again.command, again.properties, again.cast) == (
        name,
        command.lower().lower(),
        properties,
        cast,
    )


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'"stop"',
        b"{}",
        b'{"command": 5}',
        b'{"command": "x", "properties": []}',
        b"[" * 100_000,
        b"1" * 5000,
        b'{"command": "list"}' + b" " * MAX_MESSAGE,
    ],
)
def test_what_is_no_request(frame: bytes) -> None:
    with pytest.raises(BadMessage):
        read_request(frame)


def test_numbers_of_errors_are_circuses() -> None:
    with pytest.raises(InvalidJson) as caught:
        read_request(b"{")
    assert error_reply(caught.value).errno == 1
    assert error_reply(UnknownCommand("x")).errno == 2
    assert error_reply(BadMessage("x")).errno == 3


@given(st.text(), st.text(), st.integers(0, 9))
def test_errors_come_back(name: str, reason: str, errno: int) -> None:
    got, reply, message = read_reply(write_reply(name, Reply(False, {}, reason, errno), 1.5))
    assert (got, reply.ok, reply.reason, reply.errno) == (name, False, reason, errno)
    assert (message["status"], message["time"]) == ("error", 1.5)


def test_a_watchers_status_takes_the_place_of_ok_as_in_circus() -> None:
    _, reply, message = read_reply(write_reply("1", Reply(True, {"status": "stopped"}), 0))
    assert reply.ok
    assert message["status"] == reply.fields["status"] == "stopped"


def test_a_command_is_read_in_any_case() -> None:
    assert read_request(b'{"command": "NumProcesses"}').command == "numprocesses"
