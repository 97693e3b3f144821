"""Where circusd's own log goes: syslog, and logging's configuration files."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, SLEEP, Arbiters, ArbiterUnderTest, watcher


@pytest.fixture
def syslog(folder: Path) -> Iterator[socket.socket]:
    """What /dev/log is: a unix datagram socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{folder}/log")
        server.settimeout(BOUND)
        yield server


def heard(server: socket.socket, text: str) -> str:
    while text not in (line := server.recv(65536).decode()):
        pass
    return line


@pytest.mark.parametrize("by_flag", [True, False])
def test_syslog(arbiters: Arbiters, folder: Path, syslog: socket.socket, *, by_flag: bool) -> None:
    place = f"syslog://{folder}/log?local3"
    flags = ["--log-output", place] if by_flag else []
    arbiter = arbiters(
        watcher("w", SLEEP), flags=flags, circus="" if by_flag else f"logoutput = {place}"
    )
    line = heard(syslog, "process")
    # 19 (local3) * 8 + 6 (info); RFC 3164, section 4.1.1.
    assert line.startswith(f"<158>circusd[{arbiter.pid}]: [INFO] w: started process")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("syslog:///dev/log?deamon", "did you mean 'daemon'"),
        ("syslog:///no/such/place", "logoutput = 'syslog:///no/such/place'"),
    ],
)
def test_a_wrong_syslog(arbiters: Arbiters, place: str, says: str) -> None:
    arbiter = arbiters(watcher("w", SLEEP), circus=f"logoutput = {place}")
    assert arbiter.wait_end() != 0
    assert says in arbiter.log


JSON = """{"version": 1, "disable_existing_loggers": false,
 "formatters": {"plain": {"format": "MINE %%(message)s"}},
 "handlers": {"file": {"class": "logging.FileHandler", "filename": "own.log",
                       "formatter": "plain"}},
 "loggers": {"chaussette": {"level": "INFO", "handlers": ["file"], "propagate": false}}}
""".replace("%%", "%")
YAML = JSON  # JSON is YAML
INI = """[loggers]
keys = root,chaussette
[handlers]
keys = file
[formatters]
keys = plain
[logger_root]
handlers =
[logger_chaussette]
level = INFO
handlers = file
qualname = chaussette
propagate = 0
[handler_file]
class = FileHandler
args = ("own.log",)
formatter = plain
[formatter_plain]
format = MINE %(message)s
"""


@pytest.mark.parametrize("kind", ["json", "yaml", "ini"])
def test_logger_config(arbiters: Arbiters, folder: Path, kind: str) -> None:
    if kind == "yaml" and importlib.util.find_spec("yaml") is None:
        pytest.skip("PyYAML is not installed")
    (folder / f"log.{kind}").write_text({"json": JSON, "yaml": YAML, "ini": INI}[kind])
    arbiter: ArbiterUnderTest = arbiters(
        watcher("w", SLEEP), flags=["--logger-config", f"{folder}/log.{kind}"]
    )
    assert len(arbiter.settled("w")) == 1
    assert "MINE w: started process" in (folder / "own.log").read_text()


def test_yaml_without_pyyaml(arbiters: Arbiters, folder: Path) -> None:
    (folder / "log.yaml").write_text(YAML)
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "yaml.py").write_text("raise ModuleNotFoundError('No module', name='yaml')\n")
    arbiter = arbiters(
        watcher("w", SLEEP),
        circus=f"loggerconfig = {folder}/log.yaml",
        environ={"PYTHONPATH": f"{Path(__file__).parents[3]}:{hidden}"},
    )
    assert arbiter.wait_end() != 0
    assert "pip install PyYAML, or write it as .json" in arbiter.log
