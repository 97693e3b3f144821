"""Flags made from a settings class, and the settings that the command reads."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.cli import chaussette as command
from chaussette.cli import completion
from chaussette.errors import ConfigError
from chaussette.notify import ARBITER_PID
from chaussette.settings import flagparser, flags
from chaussette.settings.declare import declared
from chaussette.settings.kinds import Kind
from chaussette.settings.server import ServerSettings


def read(*argv: str, **environ: str) -> tuple[ServerSettings, bool]:
    namespace, words = command.make_parser().read(argv)
    return command.read_settings(namespace, words, environ)


def settings(*argv: str, **environ: str) -> ServerSettings:
    return read(*argv, **environ)[0]


def test_nothing_given_is_the_defaults() -> None:
    assert read() == (ServerSettings(), False)


def test_every_flag_of_the_class_is_known_and_in_a_group() -> None:
    text = command.make_parser().format_help()
    for what, _ in declared(ServerSettings).values():
        assert what.group
        for flag in what.flags:
            assert flag in text
    assert flagparser.OTHERS not in text


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["--port", "80", "--host=h"], {"port": 80, "host": "h"}),
        (["-b", "a:1", "--bind", "b:2,c:3"], {"bind": ("a:1", "b:2", "c:3")}),
        (["--address-family", "AF_INET6"], {"address_family": int(socket.AF_INET6)}),
        (["--use-reloader", "--no-monkey"], {"use_reloader": True, "no_monkey": True}),
        (
            ["--python-path", "a:b", "--log-level", "DEBUG"],
            {"python_path": ("a", "b"), "log_level": "debug"},
        ),
        (["--graceful-timeout", "500ms", "--spawn=3"], {"graceful_timeout": 0.5, "spawn": 3}),
        (
            ["m:app", "--port=1", "one", "two"],
            {"application": "m:app", "port": 1, "app_args": ("one", "two")},
        ),
        (["--", "m:app", "--port", "x"], {"application": "m:app", "app_args": ("--port", "x")}),
        (["--pre-hook", "m.f", "--post-hook", "m.g"], {"pre_hook": "m.f", "post_hook": "m.g"}),
    ],
)
def test_flags_become_settings(argv: list[str], values: dict[str, Any]) -> None:
    assert settings(*argv) == ServerSettings(**values)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--bakend", "x"], "did you mean '--backend'?"),
        (["--port", "x"], "--port: 'x': expected a whole number from 0 to 65535"),
        (["--log-level", "inf"], "did you mean 'info'?"),
        (["--prefix-of-nothing=1"], "unknown flag --prefix-of-nothing"),
        (["--port"], "expected one argument"),
        (["--fd", "3", "--host", "h"], "--fd and --host exclude each other"),
        (["--bind", "a:1", "--port", "1"], "--bind and --port exclude each other"),
    ],
)
def test_wrong_flags_are_explained(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(*argv)
    assert words in str(caught.value)


def test_abbreviations_are_not_guessed() -> None:
    with pytest.raises(ConfigError):
        settings("--back", "x")


def test_flags_lie_over_the_environment() -> None:
    environ = {"CHAUSSETTE_PORT": "81", "CHAUSSETTE_APPLICATION": "m:a", "CHAUSSETTE_SPAWN": ""}
    assert settings(**environ) == ServerSettings(port=81, application="m:a")
    assert settings("--port", "82", **environ).port == 82


def test_a_place_on_the_command_line_replaces_the_environment_s() -> None:
    assert settings("--fd", "3", CHAUSSETTE_PORT="81", CHAUSSETTE_HOST="h") == ServerSettings(fd=3)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="environment variable CHAUSSETTE_PORT"):
        settings(CHAUSSETTE_PORT="x")


def test_workers_given_means_the_embedded_arbiter() -> None:
    assert read("-w", "1")[1]
    assert read(CHAUSSETTE_WORKERS="4")[1]


def test_a_worker_does_not_read_how_many_it_is() -> None:
    assert read(CHAUSSETTE_WORKERS="4", **{ARBITER_PID: "1"}) == (ServerSettings(), False)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0,:"), min_size=1).filter(
    lambda text: text == text.strip()
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "port": st.integers(0, 65535),
            "bind": st.lists(WORDS, min_size=1).map(tuple),
            "python_path": st.lists(WORDS, min_size=1).map(tuple),
            "address_family": st.sampled_from([int(socket.AF_INET6), int(socket.AF_UNIX)]),
            "keepalive": st.floats(0, 1e6).map(lambda number: round(number, 6)),
            "log_level": st.sampled_from(["debug", "error"]),
            "use_reloader": st.booleans(),
            "pre_hook": st.sampled_from(["m:f", "m.f"]),
        },
    )
)
def test_settings_written_as_flags_are_read_back(values: dict[str, Any]) -> None:
    wanted = ServerSettings(**values)
    parser = flagparser.FlagParser(prog="x")
    flagparser.add_flags(parser, ServerSettings)
    namespace, words = parser.read(flags.to_argv(wanted))
    assert words == []
    assert ServerSettings(**flags.given(ServerSettings, namespace)) == wanted


FLAGS = sorted({flag for what, _ in declared(ServerSettings).values() for flag in what.flags})
ARGUMENTS = st.one_of(
    st.sampled_from([*FLAGS, "--help", "--version", "--check", "--", "-", "", "-p80", "-kx"]),
    st.sampled_from(["80", "-1", "a:1,b:2", "none", "10s", "debug", "AF_INET", "m:app", "x y"]),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(["", "80", "-1", "no,ne"])),
    st.text(max_size=8),
)


@given(st.lists(ARGUMENTS, max_size=5))
def test_what_is_read_without_the_parser_is_what_it_would_read(argv: list[str]) -> None:
    plain = flags.read_plain(ServerSettings, argv)
    if plain is None:
        return
    namespace, words = command.make_parser().read(argv)
    assert plain[1] == words
    assert flags.given(ServerSettings, plain[0]) == flags.given(ServerSettings, namespace)


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_read_without_the_parser(flag: str) -> None:
    what, default = next(
        pair for pair in declared(ServerSettings).values() if flag in pair[0].flags
    )
    value = [] if isinstance(default, bool) else [_example(what.kind)]
    assert flags.read_plain(ServerSettings, [flag, *value, "m:app"])


def _example(kind: Kind[Any]) -> str:
    """A text that the kind takes."""
    texts = (*kind.choices, "5", "5000", "x-forwarded-for", "::1")
    return next(text for text in texts if _takes(kind, text))


def _takes(kind: Kind[Any], text: str) -> bool:
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_command_line_is_read_or_refused(argv: list[str]) -> None:
    try:
        settings(*argv)
    except ConfigError as error:
        assert str(error)


def test_print_config_shows_every_setting() -> None:
    names = [line.partition(" =")[0] for line in flags.to_lines(ServerSettings())]
    assert names == list(ServerSettings.__annotations__)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_flags(shell: str) -> None:
    text = completion.script(shell, command.make_parser(), {"--backend": ["native"]})
    assert "graceful-timeout" in text and "native" in text


def test_a_variable_that_looks_like_a_setting_is_told() -> None:
    lines = command.warnings({"CHAUSSETTE_BAKCEND": "x", "CHAUSSETTE_RELOADER": "1", "HOME": "/"})
    assert [line for line in lines if "BACKEND" in line]
    assert len(lines) == 1
