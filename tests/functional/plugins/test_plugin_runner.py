"""A plugin of one's own under circusd: its options, its events, its commands, its end."""

from __future__ import annotations

import getpass
import signal
import sys
import time
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, ROOT, SLEEP, Arbiters, watcher
from ssh_server import ssh_on_path

PLUGIN = """
from chaussette.arbiter.plugins import CircusPlugin

class Own(CircusPlugin):
    name = "own"
    def handle_init(self):
        watchers = self.call("numwatchers")["numwatchers"]
        print("options:", self.config["greeting"], watchers, flush=True)
    def handle_recv(self, data):
        name, action, message = self.split_data(data)
        message = self.load_message(message)
        if name == "job" and action == "reap":
            print("heard", action, name, message["process_pid"], flush=True)
            self.cast("incr", name="job")
            raise ValueError("on purpose")
    def handle_stop(self):
        print("good bye", flush=True)
"""


def section(name: str, use: str, **options: object) -> str:
    lines = [f"{key.replace('__', '.')} = {value}" for key, value in options.items()]
    return "\n".join([f"[plugin:{name}]", f"use = {use}", *lines, ""])


def here(arbiters: Arbiters) -> str:
    return f"[env:plugin:*]\nPYTHONPATH = {arbiters.folder}:{ROOT}\n"


def test_own_plugin(arbiters: Arbiters) -> None:
    (arbiters.folder / "own.py").write_text(PLUGIN)
    greeting = "it's: a ::: 'quoted' text, with = and #"
    arbiter = arbiters.ready(
        watcher("job", SLEEP, numprocesses=1),
        section("mine", "own.Own", greeting=greeting),
        here(arbiters),
    )
    arbiter.settled("plugin:mine", "job")
    assert arbiter.wait("options: (.*) 2$")[1] == greeting
    (first,) = arbiter.pids("job")
    arbiter.must("signal", name="job", pid=first, signum="KILL")
    assert int(arbiter.wait(r"heard reap job (\d+)")[1]) == first
    # A failing plugin says so and goes on.
    arbiter.wait("ValueError: on purpose")
    arbiter.settled("job")
    assert len(arbiter.pids("job")) == 2
    assert arbiter.status("plugin:mine") == "active"
    arbiter.must("stop", name="plugin:mine", waiting=True)
    arbiter.wait("good bye")
    arbiter.wait("plugin:mine: process .* has ended: exit code 0")


def test_options_are_no_words_of_the_command(arbiters: Arbiters) -> None:
    (arbiters.folder / "own.py").write_text(PLUGIN)
    arbiter = arbiters.ready(
        watcher("job", SLEEP), section("mine", "own.Own", greeting="s3cret"), here(arbiters)
    )
    (pid,) = arbiter.settled("plugin:mine")
    with open(f"/proc/{pid}/cmdline", "rb") as words:  # noqa: PTH123
        assert b"s3cret" not in words.read()


def test_plugin_that_is_not_there_is_said(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("job", SLEEP), section("x", "no.such.Plugin", max_retry=0))
    arbiter.wait("no module 'no'")
    arbiter.wait("plugin:x: given up")
    assert arbiter.status("plugin:x") == "parked"


@pytest.mark.parametrize(
    ("use", "options", "message"),
    [
        ("circus.plugins.flapping.Flapping", {"atempts": 3}, "did you mean 'attempts'"),
        ("chaussette.arbiter.plugins.flapping.Flapping", {"window": "x"}, "expected a time"),
        ("circus.plugins.flapping.Flaping", {}, "no such plugin; did you mean"),
        ("circus.plugins.resource_watcher.ResourceWatcher", {}, "needs `watcher = NAME`"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(
    arbiters: Arbiters, use: str, options: dict[str, object], message: str
) -> None:
    arbiter = arbiters(watcher("job", SLEEP), section("x", use, **options))
    assert arbiter.wait_end() == 1
    assert message in arbiter.log
    assert "started process" not in arbiter.log


def test_by_hand_beside_a_running_arbiter(arbiters: Arbiters) -> None:
    (arbiters.folder / "own.py").write_text(PLUGIN)
    arbiter = arbiters.ready(watcher("job", SLEEP))
    arbiter.settled("job")
    command = [sys.executable, "-m", "chaussette.cli.circusplugin"]
    flags = ["--endpoint", arbiter.endpoint, "--pubsub", f"ipc://{arbiters.folder}/run/events.sock"]
    plugin = arbiters.run(
        [*command, *flags, "--config", "greeting:a b:c:::other:1", "own.Own"],
        {"PYTHONPATH": f"{arbiters.folder}:{ROOT}"},
    )
    assert plugin.wait("options: (.*) 1$")[1] == "a b:c"
    plugin.send(signal.SIGQUIT)
    assert plugin.wait_end() == 0
    assert "good bye" in plugin.log


def test_by_hand_through_ssh(arbiters: Arbiters, sshd: tuple[int, Path]) -> None:
    """It gets events of, and orders, an arbiter whose endpoints it reaches by a tunnel only."""
    port, key = sshd
    arbiter = arbiters.ready(watcher("job", SLEEP))
    arbiter.settled("job")
    (arbiters.folder / "own.py").write_text(PLUGIN)
    wrapper = ssh_on_path(arbiters.folder)
    ssh = arbiters.folder / "bin" / "ssh"
    ssh.write_text(ssh.read_text().replace(" -o LogLevel", f" -i {key} -o LogLevel"))
    events = arbiter.endpoint.replace("control", "events")
    where = f"{getpass.getuser()}@127.0.0.1:{port}"
    words = f"--endpoint {arbiter.endpoint} --pubsub {events} --ssh {where}".split()
    plugin = arbiters.run(
        [sys.executable, "-m", "chaussette.cli.circusplugin", *words, "--config", "greeting:hello",
         "own.Own"],
        {"PYTHONPATH": f"{ROOT}:{arbiters.folder}", "PATH": wrapper},
    )  # fmt: skip
    plugin.wait("options: hello 1")
    # Until the subscription has come through the tunnel, events go by.
    deadline = time.monotonic() + BOUND
    while "heard reap job" not in plugin.log and time.monotonic() < deadline:
        arbiter.must("kill", name="job", waiting=True)
        plugin._read(time.monotonic())
    plugin.wait(r"heard reap job \d+")
    plugin.send(signal.SIGTERM)
    plugin.wait("good bye")
    assert plugin.wait_end() == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected one class"),
        (["json.NoClass"], "has no class"),
        (["--config", "x", "own.Own"], "is not key:value"),
        (["--pubsb", "x", "own.Own"], "did you mean '--pubsub'"),
    ],
)
def test_wrong_words(arbiters: Arbiters, words: list[str], message: str) -> None:
    command = arbiters.run([sys.executable, "-m", "chaussette.cli.circusplugin", *words])
    assert command.wait_end() == 1
    assert message in command.log


def test_reloadconfig_replaces_the_plugin_that_changed(arbiters: Arbiters) -> None:
    use = "circus.plugins.flapping.Flapping"
    arbiter = arbiters.ready(watcher("job", SLEEP), section("f", use, attempts=3))
    before = arbiter.settled("plugin:f", "job")
    jobs = arbiter.pids("job")
    arbiter.ini.write_text(arbiter.ini.read_text().replace("attempts = 3", "attempts = 4"))
    assert arbiter.must("reloadconfig", waiting=True)["info"]["needs_restart"] == []
    assert arbiter.settled("plugin:f") != before
    assert arbiter.pids("job") == jobs
