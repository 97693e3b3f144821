"""A watcher with real children in this process: nothing is lost however fast they die."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.sockets import SocketTable
from chaussette.arbiter.streams import StreamTable, Writer
from chaussette.arbiter.tree import descendants
from chaussette.settings.load import StackConfig
from chaussette.settings.watcher import WatcherSettings

Event = tuple[str, str]


class Stage:
    """An arbiter in this process, and the events of its watchers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.streams = StreamTable(Writer())
        self.arbiter: Arbiter | None = None

    def run(self, *watchers: WatcherSettings, until: Event, count: int = 1) -> list[Event]:
        """Runs until the event has been seen so often, then stops; bounded by the test's own."""
        arbiter = Arbiter(StackConfig(watchers=watchers), SocketTable(), self.streams)

        def heard(name: str, topic: str, _: object) -> None:
            self.events.append((name, topic))
            if self.events.count(until) == count and not arbiter.stopping:
                arbiter.stop()

        arbiter.listeners.append(heard)
        assert arbiter.run() == 0
        return self.events

    def close(self) -> None:
        self.streams.close(5)


@pytest.fixture
def stage() -> Iterator[Stage]:
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    opened = os.listdir("/proc/self/fd")
    children = set(descendants(os.getpid()))  # of fixtures that other files share
    made = Stage()
    yield made
    made.close()
    gc.collect()  # the memory of the scoreboard goes with the last slot
    assert set(descendants(os.getpid())) <= children, "children were left behind"
    assert {number: signal.getsignal(number) for number in signals} == signals
    assert len(os.listdir("/proc/self/fd")) <= len(opened), "descriptors were left open"


def settings(name: str, *argv: str, **options: object) -> WatcherSettings:
    return WatcherSettings(name=name, argv=argv, **{"ready_after": 0.0, **options})  # type: ignore[arg-type]


def test_children_that_die_at_once_are_all_reaped(stage: Stage) -> None:
    events = stage.run(
        settings("w", "true", numprocesses=20, respawn=False), until=("w", "reap"), count=20
    )
    assert events.count(("w", "spawn")) == events.count(("w", "reap")) == 20


@pytest.mark.parametrize("attempt", range(5))
def test_ready_and_dead_in_one_breath(stage: Stage, attempt: int) -> None:
    """What it said comes before its death, in whatever order the kernel reports them."""
    del attempt
    say = (
        "import os, socket\n"
        "with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:\n"
        "    out.sendto(b'READY=1', chr(0) + os.environ['NOTIFY_SOCKET'][1:])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    events = stage.run(
        settings("w", "python3", "-c", say, readiness="notify", respawn=False, copy_env=True),
        until=("w", "reap"),
    )
    assert [topic for _, topic in events][:4] == ["start", "spawn", "ready", "reap"]


def test_a_process_nobody_knows_cannot_say_that_another_is_ready(stage: Stage) -> None:
    """The kernel vouches for the sender; what the message claims does not count."""
    lie = (
        "import os, socket, subprocess, sys\n"
        "code = 'import os,socket;s=socket.socket(1,2);'\\\n"
        '       \'s.sendto(b"READY=1\\\\nMAINPID=1", chr(0)+os.environ["NOTIFY_SOCKET"][1:])\'\n'
        "subprocess.run([sys.executable, '-c', code], start_new_session=True)\n"
    )
    events = stage.run(
        settings("w", "python3", "-c", lie, readiness="notify", respawn=False, copy_env=True),
        until=("w", "reap"),
    )
    assert ("w", "ready") not in events
