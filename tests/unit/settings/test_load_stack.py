"""From a file to a checked configuration: what is refused, how, and what is kept."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from chaussette.errors import ConfigError
from chaussette.settings.load import StackConfig, load_stack


class Folder:
    """A place for one configuration file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> StackConfig:
        file = self.path / "stack.ini"
        file.write_text(text, "utf-8")
        return load_stack(str(file), environ or {})

    def errors(self, text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(text)
        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{self.path}/stack.ini:") for line in lines)
        return [line.removeprefix(f"{self.path}/stack.ini") for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_whole_stack(folder: Folder) -> None:
    config = folder.load("""
[circus]
umask = 027
pidfile = /x/y.pid

[socket:Web]
host = 127.0.0.1
port = 0
umask = 077

[watcher:app]
cmd = chaussette --fd $(circus.sockets.WEB) x
use_sockets = yes
numprocesses = 4
stop_signal = int
graceful_timeout = 5m
rlimit_nofile = 500
rlimit_core =
stdout_stream.filename = /x/out.log
hooks.before_start = a.b
""")
    watcher = config.watcher("app")
    assert watcher is not None
    assert config.arbiter.umask == 0o27
    assert (config.sockets[0].name, config.sockets[0].umask) == ("web", 0o77)
    assert (watcher.numprocesses, watcher.stop_signal) == (4, signal.SIGINT)
    assert watcher.graceful_timeout == 300.0
    assert watcher.rlimits == {"nofile": 500, "core": -1}
    assert watcher.stdout_stream == {"filename": "/x/out.log"}
    assert watcher.hooks == {"before_start": "a.b"}
    assert not config.warnings


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("[circus]\nendpont = x", ":2", ["[circus]", "'endpont'", "'endpoint'"]),
        ("[circus]\nloglevel = inof", ":2", ["'inof'", "one of", "did you mean 'info'"]),
        ("[circus]\numask = 9", ":2", ["umask", "octal"]),
        ("[socket:w]\nprot = 80", ":2", ["[socket:w]", "'prot'", "'proto'"]),
        ("[socket:w]\nport = 70000", ":2", ["port", "from 0 to 65535"]),
        ("[socket:w]\nfamily = AF_INET7", ":2", ["AF_INET, AF_INET6"]),
        ("[socket:w]\nbacklog = 0", ":2", ["1 or more"]),
        ("[watcher:w]\nnumproceses = 2\ncmd = x", ":2", ["'numproceses'", "'numprocesses'"]),
        ("[watcher:w]\ncmd = x\nnumprocesses = some", ":3", ["whole number"]),
        ("[watcher:w]\ncmd = x\nstop_signal = SIGFOO", ":3", ["a signal"]),
        ("[watcher:w]\ncmd = x\nautostart = maybe", ":3", ["true or false"]),
        ("[watcher:w]\ncmd = x\ngraceful_timeout = soon", ":3", ["a time in seconds"]),
        ("[watcher:w]\ncmd = x\nrlimit_nofil = 1", ":3", ["'rlimit_nofil'", "'nofile'"]),
        ("[watcher:w]\ncmd = x\nrlimit_nofile = many", ":3", ["a number, or 'infinity'"]),
        ("[watcher:w]\ncmd = x\nhooks.befor_start = a", ":3", ["'before_start'"]),
        ("[watcher:w]\nnumprocesses = 1", ":1", ["[watcher:w] has no cmd"]),
        ("[watcher]\ncmd = x", ":1", ["[watcher:NAME]"]),
        ("[wacher:w]\ncmd = x", ":1", ["did you mean [watcher:"]),
        ("[watcher:a/b]\ncmd = x", ":1", ["a name has"]),
        ("[watcher:w]\ncmd = x\n[watcher:W]\ncmd = y", ":3", ["taken by [watcher:w]"]),
        ("[socket:s]\n[socket:S]", ":2", ["taken by [socket:s]"]),
        (
            "[watcher:w]\ncmd = x\non_demand = True",
            ":1",
            ["on_demand", "use_sockets"],
        ),
    ],
)
def test_each_error_says_where_what_and_the_nearest(
    folder: Folder, text: str, place: str, says: list[str]
) -> None:
    (line,) = folder.errors(text)
    assert line.startswith(f"{place}: ")
    for part in says:
        assert part in line


@pytest.mark.parametrize(
    "text",
    [
        "cmd = x --fd $(circus.sockets.webb)\nuse_sockets = 1",
        "cmd = x\nargs = ((CIRCUS.SOCKETS.webb))\nuse_sockets = 1",
        "cmd = x\nuse_sockets = 1\nsockets = web, webb",
        "cmd = x\nstdin_socket = webb",
    ],
)
def test_a_missing_socket_is_named_with_the_nearest(folder: Folder, text: str) -> None:
    (line,) = folder.errors(f"[socket:web]\n[watcher:w]\n{text}\n")
    assert "'webb'" in line
    assert "sockets: web" in line
    assert "did you mean 'web'" in line


def test_a_socket_that_is_named_must_be_inherited(folder: Folder) -> None:
    (line,) = folder.errors("[socket:web]\n[watcher:w]\ncmd = x --fd $(circus.sockets.web)\n")
    assert "use_sockets = True" in line


def test_all_errors_at_once(folder: Folder) -> None:
    lines = folder.errors(
        "[circus]\nfoo = 1\n[socket:s]\nport = x\n[watcher:w]\nnumprocesses = x\nstop_signal = x\n"
    )
    assert [line.split(":")[1] for line in lines] == ["2", "4", "6", "7", "5"]


def test_free_options_are_kept_and_said_once(folder: Folder) -> None:
    config = folder.load("[watcher:w]\ncmd = x\nflapping.attempts = 3\nmy_own = $(circus.env.A)\n")
    assert config.watchers[0].options == {"flapping.attempts": "3", "my_own": "$(circus.env.A)"}
    (warning,) = config.warnings
    assert "flapping.attempts, my_own" in warning


def test_sections_of_others_are_left_alone(folder: Folder) -> None:
    config = folder.load("[loggers]\nkeys = root\n[watcher:w]\ncmd = x\n")
    assert "[loggers]" in config.warnings[0]


def test_environment_of_a_watcher(folder: Folder) -> None:
    """[env], then each [env:PATTERN] in the order of the file; `$NAME` is the arbiter's."""
    config = folder.load(
        """
[env]
A = common
B = $HOME/b
C = ${NOWHERE}
[env:web*, other]
A = web
D = $(circus.env.A)-$(circus.env.B)
[env:web1]
A = one
[watcher:web1]
cmd = x
[watcher:job]
cmd = x
""",
        {"HOME": "/root"},
    )
    web, job = config.watchers
    assert job.env == {"A": "common", "B": "/root/b", "C": ""}
    assert web.env == {"A": "one", "B": "/root/b", "C": "", "D": "web-/root/b"}
    assert any("$NOWHERE is not set" in warning for warning in config.warnings)


def test_environment_in_any_value(folder: Folder) -> None:
    """The watcher's own section, then [env], then the arbiter's environment."""
    config = folder.load(
        "[env]\nA = 1\n[env:w]\nA = 2\n[watcher:w]\ncmd = x $(circus.env.a) ((circus.env.B))\n"
        "numprocesses = $(circus.env.N)\n",
        {"A": "0", "B": "b", "N": "7"},
    )
    assert config.watchers[0].cmd == "x 2 b"
    assert config.watchers[0].numprocesses == 7


def test_an_empty_file_is_an_empty_stack(folder: Folder) -> None:
    config = folder.load("")
    assert (config.sockets, config.watchers, config.warnings) == ((), (), ())
