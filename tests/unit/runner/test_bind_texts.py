"""Where to listen, from settings and environment; no socket is opened."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.errors import ChaussetteError, ConfigError
from chaussette.listener import Inherited, Tcp, Unix, parse_bind, plan
from chaussette.settings.server import ServerSettings

PID = 4711


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Tcp("127.0.0.1", 80)),
        ("localhost", Tcp("localhost", 8000)),
        (":9000", Tcp("", 9000)),
        ("[::1]:0", Tcp("::1", 0)),
        ("[::]", Tcp("::", 8000)),
        ("unix:/run/a.sock", Unix("/run/a.sock")),
        ("unix:///run/a.sock", Unix("/run/a.sock")),
        ("unix:a.sock", Unix("a.sock")),
        ("unix:@name", Unix("@name")),
        ("fd://7", Inherited(7)),
    ],
)
def test_texts_that_mean_an_address(text: str, address: Any) -> None:
    assert parse_bind(text) == address


@pytest.mark.parametrize(
    "text",
    ["", ":", "a:b", "a:70000", "::1", "::1:80", "[::1", "fd://", "fd://x", "fd://-1", "unix:",
     "a:-1", "http://a:80", "a b:80", "unix:" + "x" * 108, "a:٣", "fd://99999999999"],
)  # fmt: skip
def test_texts_that_mean_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_bind(text)


@given(
    st.one_of(st.text(), st.from_regex(r"(unix:|fd://|\[)?[a-z0-9:\]@/.]{0,12}", fullmatch=True))
)
def test_any_text_is_an_address_or_an_error_of_ours(text: str) -> None:
    try:
        address = parse_bind(text)
    except ChaussetteError:
        return
    assert parse_bind(str(address)) == address


def planned(environ: dict[str, str] | None = None, **values: Any) -> Any:
    return plan(ServerSettings(**values), environ or {}, PID)


def test_the_defaults_are_chaussette_s() -> None:
    assert planned() == (Tcp("localhost", 8080),)


def test_host_may_be_any_place() -> None:
    assert planned(host="unix:/a") == (Unix("/a"),)
    assert planned(host="fd://3") == (Inherited(3),)
    assert planned(host="::1", port=1) == (Tcp("::1", 1),)
    assert planned(host="/a", address_family=int(socket.AF_UNIX)) == (Unix("/a"),)


def test_binds_come_in_their_order() -> None:
    assert planned(bind=("a:1", "fd://5")) == (Tcp("a", 1), Inherited(5))


def test_passed_sockets_are_taken_when_nothing_is_said() -> None:
    environ = {"LISTEN_FDS": "2", "LISTEN_PID": str(PID)}
    assert planned(environ) == (Inherited(3), Inherited(4))
    assert planned({"LISTEN_FDS": "1"}) == (Inherited(3),)
    assert planned(environ, port=9) == (Tcp("localhost", 9),)
    assert planned(environ, fd=7) == (Inherited(7),)


@pytest.mark.parametrize("environ", [{"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x"}])
def test_another_process_s_sockets_are_not_ours(environ: dict[str, str]) -> None:
    assert planned(environ) == (Tcp("localhost", 8080),)


@pytest.mark.parametrize(
    "values",
    [
        {"fd": 3, "bind": ("a:1",)},
        {"fd": 3, "port": 1},
        {"fd": 3, "host": "b"},
        {"bind": ("a:1", "a:1")},
        {"socket_type": int(socket.SOCK_DGRAM)},
    ],
)
def test_what_excludes_each_other_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        planned(**values)


def test_two_ports_of_choice_are_two_sockets() -> None:
    assert len(planned(bind=("a:0", "a:0"))) == 2
