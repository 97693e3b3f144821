"""Both halves of the statistics with the other half of PyPI's circus 0.19."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, SLEEP, Arbiters, Running, listening, watcher
from subscriber import Subscriber

from benchmarks.ops import peers
from chaussette.control.consumer import CircusConsumer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Subscribe = Callable[..., Subscriber]
ROWS, COLUMNS = 60, 400
"""PyPI's circus-top cuts its lines at the edge, and a command line may be long."""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of their environment; it is made when it is first needed."""
    try:
        return peers.python_of(peers.CIRCUS)
    except peers.PeerUnavailable as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no circus: {error}")
        raise


class Terminal:
    """A program in a terminal of its own; what it paints is read as it comes."""

    def __init__(self, argv: list[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {**os.environ, "TERM": "xterm", "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.painted = ""

    def wait(self, *wanted: str) -> None:
        """Waits until all of it has been painted, in any order."""
        deadline = time.monotonic() + BOUND
        while not all(re.search(one, self.text()) for one in wanted):
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._master], [], [], left)[0]
            assert ready, f"waited for {wanted}; painted:\n{self.text()}"
            try:
                self.painted += os.read(self._master, 65536).decode("utf-8", "replace")
            except OSError:
                raise AssertionError(f"it has ended; painted:\n{self.text()}") from None

    def text(self) -> str:
        """All that was painted, without what moves the cursor."""
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])", " ", self.painted)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(BOUND)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            os.close(self._master)


def test_their_circus_top_shows_our_arbiter(arbiters: Arbiters, python: Path) -> None:
    arbiter = arbiters.ready(
        listening("web"),
        watcher("my.job", SLEEP, numprocesses=2),
        watcher("api", SLEEP, use_sockets=True),
        circus="statsd = True",
    )
    jobs = arbiter.settled("my.job", "api", "circusd-stats")
    point = arbiter.must("globaloptions")["options"]["stats_endpoint"]
    argv = [str(python), "-W", "ignore", "-m", "circus.stats.client", "--endpoint", point]
    top = Terminal(argv)
    try:
        # A name with a dot ends their painter where a topic holds it; a line may be cut.
        top.wait(
            "Circus Top", r"my\.job", "api", *(rf"\b{pid}\b" for pid in jobs),
            rf"{arbiter.pid} \(circusd\)", "circusd-stats", r"\(avg\)", r"\(olde",
            "ADDRESS", rf"127\.0\.0\.1:{arbiter.port('web')}",
        )  # fmt: skip
        # It is still alive, and sees who comes.
        arbiter.must("incr", name="api", waiting=True)
        top.wait(rf"\b{arbiter.pids('api')[1]}\b")
        assert "Traceback" not in top.text()
    finally:
        top.close()


def test_their_circusd_stats_reads_our_arbiter(
    arbiters: Arbiters, python: Path, folder: Path, subscribe: Subscribe
) -> None:
    arbiter = arbiters.ready(watcher("job", SLEEP, numprocesses=2))
    pids = arbiter.settled("job")
    point = f"ipc://{folder}/theirs.sock"
    code = "from circus import stats; stats.main()"
    argv = [str(python), "-W", "ignore", "-c", code, "--endpoint", arbiter.endpoint]
    argv += ["--pubsub", f"ipc://{folder}/run/events.sock", "--statspoint", point]
    theirs = arbiters.run(argv, {"PYTHONPATH": ""})
    stats = subscribe(point)
    assert stats.wait("stat.job", lambda one: len(one["pid"]) == 2)["pid"] == pids
    assert stats.wait(f"stat.circus.{arbiter.pid}")["name"] == "circusd"
    os.kill(pids[0], signal.SIGKILL)
    stats.wait("stat.job", lambda one: len(one["pid"]) == 2 and pids[0] not in one["pid"])
    theirs.send(signal.SIGTERM)
    theirs.wait_end()


class Theirs(Running):
    """PyPI's circusd with a socket, two watchers and its statistics."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.endpoint, self.pubsub = f"ipc://{folder}/ctl", f"ipc://{folder}/pub"
        self.point = f"ipc://{folder}/stats"
        (folder / "circus.ini").write_text(
            f"[circus]\nendpoint = {self.endpoint}\npubsub_endpoint = {self.pubsub}\n"
            f"statsd = True\nstats_endpoint = {self.point}\n"
            "[socket:web]\nhost = 127.0.0.1\nport = 0\n"
            f"[watcher:web]\ncmd = {SLEEP}\nnumprocesses = 2\n[watcher:job]\ncmd = {SLEEP}\n"
        )
        argv = [str(python), "-W", "ignore", "-m", "circus.circusd", "circus.ini"]
        super().__init__(argv, folder, {"PYTHONPATH": ""})


@pytest.fixture
def theirs(folder: Path, python: Path) -> Iterator[Theirs]:
    """One that is up."""
    running = Theirs(folder, python)
    try:
        running.wait("Arbiter now waiting for commands")
        yield running
    finally:
        running.close()


@pytest.fixture
def bounded() -> Iterator[None]:
    """Ends a consumer that gets nothing: it waits without a bound of its own."""
    signal.alarm(int(BOUND))
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("bounded")
def test_our_consumer_reads_their_statistics(theirs: Theirs) -> None:
    consumer = CircusConsumer(["stat."], endpoint=theirs.point)
    wanted = {"stat.web", "stat.job", "stat.circus", "stat.sockets"}
    for topic, message in consumer:
        told = json.loads(message)
        if topic == b"stat.web" and len(told["pid"]) != 2:
            continue
        wanted.discard(topic.decode())
        if not wanted:
            break
    consumer.stop()


def test_our_circusd_stats_reads_their_arbiter(
    theirs: Theirs, arbiters: Arbiters, folder: Path, subscribe: Subscribe
) -> None:
    point = f"ipc://{folder}/ours.sock"
    argv = [sys.executable, "-m", "chaussette.cli.circusdstats", "--endpoint", theirs.endpoint]
    ours = arbiters.run([*argv, "--pubsub", theirs.pubsub, "--statspoint", point])
    mine, their = subscribe(point), subscribe(theirs.point)
    both = mine.wait("stat.web", lambda one: len(one["pid"]) == 2)
    same = their.wait("stat.web", lambda one: len(one["pid"]) == 2)
    assert sorted(both["pid"]) == sorted(same["pid"])
    pid = both["pid"][0]
    one, other = mine.wait(f"stat.web.{pid}"), their.wait(f"stat.web.{pid}")
    assert set(other) <= set(one)
    for key in ("pid", "username", "nice", "cmdline", "children", "subtopic", "name"):
        assert one[key] == other[key], key
    assert mine.wait(f"stat.circus.{theirs.pid}")["name"] == "circusd"
    sockets, their_sockets = mine.wait("stat.sockets"), their.wait("stat.sockets")
    assert sockets["addresses"] == their_sockets["addresses"]
    os.kill(pid, signal.SIGKILL)
    mine.wait("stat.web", lambda one: pid not in one["pid"])
    ours.send(signal.SIGTERM)
    assert ours.wait_end() == 0


def test_their_keys_are_among_ours(
    theirs: Theirs, arbiters: Arbiters, tmp_path: Path, subscribe: Subscribe
) -> None:
    """Message by message: of a process, of a watcher, of a socket, and of all sockets."""
    folder = tmp_path / "ours"
    folder.mkdir()
    arbiter = arbiters.ready(
        listening("web"), watcher("web", SLEEP), circus="statsd = True", folder=folder
    )
    arbiter.settled("web", "circusd-stats")
    mine = subscribe(arbiter.must("globaloptions")["options"]["stats_endpoint"])
    their = subscribe(theirs.point)

    def shapes(stats: Subscriber) -> dict[str, set[str]]:
        stats.wait("stat.web"), stats.wait("stat.circus"), stats.wait("stat.sockets")
        stats.wait("stat.web"), stats.wait("stat.circus"), stats.wait("stat.sockets")
        found: dict[str, set[str]] = {}
        for topic, message in stats.last.items():
            found.setdefault(re.sub(r"\d+$", "N", topic), set()).update(message)
        return found

    ours, others = shapes(mine), shapes(their)
    others = {topic: keys for topic, keys in others.items() if "job" not in topic}
    assert set(others) <= set(ours)
    for topic, keys in others.items():
        assert keys <= ours[topic], topic
