"""get_trainer and get_arbiter: in this thread, in another, in asyncio, several at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import chaussette
from chaussette import (
    Arbiter,
    AsyncCircusClient,
    CircusClient,
    CircusSocket,
    Watcher,
    get_arbiter,
    get_trainer,
)
from chaussette.errors import ConfigError, NotRunning, SocketError, SpawnError

ROOT = Path(chaussette.__file__).parent.parent
SLEEP = ["sleep", "1000"]
BOUND = 20
QUICK = {"ready_after": 0.05}


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_import_is_light() -> None:
    code = (
        "import sys, chaussette; print(sorted(n for n in sys.modules if n.startswith("
        "('zmq', 'chaussette.', 'asyncio', 'subprocess'))), 'get_trainer' in dir(chaussette))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=BOUND,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.strip() == "['chaussette.version'] True"


def test_seeds_trainer_blocks_until_it_is_stopped() -> None:
    trainer = get_trainer("sleep 1000", 3, **QUICK)
    pids: list[int] = []

    def up(outcome: Future[None]) -> None:
        assert outcome.exception() is None
        pids.extend(trainer.watchers[0].pids())  # in the arbiter's own thread
        threading.Thread(target=trainer.stop).start()

    try:
        outcome = trainer.start(cb=up)
    finally:
        trainer.stop()
    assert outcome.exception() is None
    assert len(pids) == 3
    assert not any(map(is_alive, pids))
    assert not trainer.running


def test_background_orders() -> None:
    with get_trainer(SLEEP, 2, name="pool", **QUICK) as trainer:
        assert trainer.numprocesses() == 2
        trainer.wait_ready(BOUND)
        pool = trainer.get_watcher("POOL")
        assert trainer.statuses() == {"pool": "active"}
        assert pool.incr() == 3
        assert len(pool.pids()) == 3
        assert pool.decr(2) == 1
        before = pool.pids()
        pool.restart()
        assert set(pool.pids()).isdisjoint(before)
        pool.reload()
        (pid,) = pool.pids()
        assert [one.status for one in pool.processes.values()] == ["ready"]
        assert pool.send_signal(pid, "SIGCONT")
        assert not pool.send_signal(1, signal.SIGCONT)
        pool.stop()
        assert pool.is_stopped()
        assert not is_alive(pid)
        pool.start()
        assert pool.is_active()
        with pytest.raises(KeyError, match="did you mean 'pool'"):
            trainer.get_watcher("pol")
    assert pool.status() == "stopped"
    with pytest.raises(NotRunning):
        pool.restart()


def test_a_dead_worker_is_replaced() -> None:
    with get_trainer(SLEEP, 1, **QUICK) as trainer:
        trainer.wait_ready(BOUND)
        (pid,) = trainer.watchers[0].pids()
        replaced = threading.Event()
        trainer.ask(
            lambda arbiter: arbiter.listeners.append(
                lambda *event: replaced.set() if event[1] == "spawn" else None
            )
        )
        os.kill(pid, signal.SIGKILL)
        assert replaced.wait(BOUND)


def test_starts_again_after_a_stop() -> None:
    trainer = get_trainer(SLEEP, 1, background=True, **QUICK)
    for _ in range(3):
        trainer.start()
        with pytest.raises(ConfigError, match="runs already"):
            trainer.start()
        trainer.stop()
        trainer.stop()


def test_asyncio() -> None:
    async def main() -> None:
        async with get_trainer(SLEEP, 2, **QUICK) as one, get_trainer(SLEEP, 1, **QUICK) as other:
            assert (one.numprocesses(), other.numprocesses()) == (2, 1)
            # A program of asyncio's own is not disturbed.
            process = await asyncio.create_subprocess_exec("true")
            assert await process.wait() == 0
            await asyncio.to_thread(one.watchers[0].restart)
        trainer = get_trainer(SLEEP, 1, **QUICK)
        await trainer.start_async(ready=True)
        assert trainer.watchers[0].is_active()
        await trainer.stop_async()
        await trainer.stop_async()

    asyncio.run(main())


def test_several_at_a_time_from_several_threads() -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with get_trainer(SLEEP, 3, **QUICK) as trainer:
                trainer.wait_ready(BOUND)
                trainer.watchers[0].restart()
                assert trainer.numprocesses() == 3
        except BaseException as error:  # noqa: BLE001 - the test fails with it
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert failures == []


def test_host_is_left_as_it_is() -> None:
    def surroundings() -> list[Any]:
        logger = logging.getLogger("chaussette")
        umask = os.umask(0o22)
        os.umask(umask)
        handlers = [signal.getsignal(number) for number in (2, 15, 1, 10, 17)]
        return [
            umask, handlers, logger.handlers[:], logger.level, logger.propagate, os.getcwd(),
            dict(os.environ), os.get_inheritable(reader), signal.set_wakeup_fd(-1),
        ]  # fmt: skip

    reader, writer = os.pipe()
    try:
        os.set_inheritable(reader, True)
        before = surroundings()
        with get_trainer(SLEEP, 1, **QUICK) as trainer:
            trainer.wait_ready(BOUND)
            assert surroundings() == before
        assert surroundings() == before
        quiet = get_arbiter([{"cmd": SLEEP}], loglevel="error", umask="077", background=True)
        quiet.start()
        quiet.stop()
        assert surroundings() == before
    finally:
        os.close(reader)
        os.close(writer)


def test_endpoints_clients_and_sockets(folder: Path) -> None:
    arbiter = get_arbiter(
        [{"name": "web", "cmd": SLEEP, "use_sockets": True, **QUICK}],
        controller=f"ipc://{folder}/c.sock",
        sockets=[{"name": "web", "host": "127.0.0.1", "port": 0}],
        background=True,
    )
    arbiter.start()
    try:
        host, _, port = arbiter.sockets["web"].location.rpartition(":")
        socket.create_connection((host, int(port)), BOUND).close()
        with CircusClient(f"ipc://{folder}/c.sock") as client:
            assert client.send_message("list")["watchers"] == ["web"]
            assert client.call("nonsense")["status"] == "error"

        async def ask() -> list[Any]:
            async with AsyncCircusClient(f"ipc://{folder}/c.sock") as client:
                return await asyncio.gather(*(client.send_message("numwatchers") for _ in "123"))

        assert [one["numwatchers"] for one in asyncio.run(ask())] == [1, 1, 1]
        with CircusClient(f"ipc://{folder}/c.sock") as client:
            client.send_message("quit")
        assert arbiter.join(BOUND) == 0
    finally:
        arbiter.stop()


def test_plugins() -> None:
    arbiter = get_arbiter(
        [{"name": "job", "cmd": SLEEP, **QUICK}],
        plugins=[{"use": "circus.plugins.flapping.Flapping", "attempts": 9}],
        env={"PYTHONPATH": str(ROOT)},
        background=True,
    )
    with arbiter:
        arbiter.wait_ready(BOUND)
        assert arbiter.numwatchers() == 1
        pids = arbiter.ask(lambda inner: [one.name for one in inner.watchers.values()])
        assert "plugin:flapping" in pids


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: get_trainer(SLEEP, 1, numproceses=2), "did you mean 'numprocesses'"),
        (lambda: get_trainer(SLEEP, -1), "expected a whole number, 0 or more"),
        (lambda: get_trainer("", 1), "has no cmd"),
        (lambda: get_arbiter([{"cmd": "x", "hooks": {"before_strt": "a.b"}}]), "before_start"),
        (lambda: get_arbiter([{"cmd": "x", "stdout_stream": "log"}]), "expected a dictionary"),
        (lambda: get_arbiter([{"cmd": "x"}], warmup_dely=1), "did you mean 'warmup_delay'"),
        (lambda: get_arbiter([{"cmd": "x"}, {"cmd": "x"}]), "two watchers are called 'x'"),
        (lambda: get_arbiter([], plugins=[{"use": "circus.plugins.flapping.Flapping", "windw": 1}]),
         "did you mean 'window'"),
        (lambda: get_arbiter([], sockets=[{"name": "a", "prt": 1}]), "did you mean 'port'"),
    ],
)  # fmt: skip
def test_wrong_options(make: Callable[[], Arbiter], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make()


def test_what_does_not_come_up_is_said() -> None:
    with get_trainer("no-such-program", 1, max_retry=0) as trainer:
        with pytest.raises(SpawnError, match="no program 'no-such-program'"):
            trainer.wait_ready(BOUND)
        with pytest.raises(SpawnError):
            trainer.watchers[0].start()
    busy = socket.create_server(("127.0.0.1", 0))
    with busy:
        port = busy.getsockname()[1]
        sockets = [{"name": "a", "host": "127.0.0.1", "port": port}]
        arbiter = get_arbiter([{"cmd": SLEEP}], sockets=sockets, background=True)
        with pytest.raises(SocketError, match="in use"):
            arbiter.start()
        assert not arbiter.running
        arbiter.stop()


def test_adapter_in_the_way_of_bentoml() -> None:
    class Theirs(Arbiter):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.exit_stack = contextlib.ExitStack()

        def start(self, cb: Callable[[Any], Any] | None = None) -> Any:
            self.exit_stack.__enter__()
            outcome = super().start(cb)
            if error := outcome.exception():
                raise error

        def stop(self) -> None:
            self.exit_stack.__exit__(None, None, None)
            return super().stop()

    left: list[str] = []
    arbiter = Theirs(
        [Watcher("api", "sleep", args=["1000"], copy_env=True, use_sockets=True, **QUICK)],
        sockets=[CircusSocket(name="_api", host="127.0.0.1", port=0, backlog=2048)],
        check_delay=1.0,
        context=object(),
    )
    arbiter.exit_stack.callback(left.append, "gone")
    arbiter.start(cb=lambda _: threading.Thread(target=arbiter.stop).start())
    assert left == ["gone"]


SCRIPT = """
import signal, sys
from chaussette import get_trainer
trainer = get_trainer("sleep 1000", 2, ready_after=0.05)
def up(outcome):
    print(*trainer.watchers[0].pids(), flush=True)
try:
    trainer.start(up)
except KeyboardInterrupt:
    print("interrupted", trainer.running, flush=True)
"""
FORGOTTEN = """
from chaussette import get_trainer
trainer = get_trainer("sleep 1000", 2, background=True)
trainer.start()
print(*trainer.watchers[0].pids(), flush=True)
"""


def program(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_ctrl_c_ends_the_processes_first() -> None:
    with program(SCRIPT) as host:
        assert host.stdout is not None
        pids = [int(word) for word in host.stdout.readline().split()]
        host.send_signal(signal.SIGINT)
        assert host.stdout.readline() == "interrupted False\n"
        assert host.wait(BOUND) == 0
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


def test_a_forgotten_one_ends_with_its_program() -> None:
    with program(FORGOTTEN) as host:
        out, _ = host.communicate(timeout=BOUND)
    pids = [int(word) for word in out.split()]
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


def test_example_pool() -> None:
    found = subprocess.run(
        [sys.executable, str(ROOT / "examples/trainer/pool.py"), "2", "12"],
        capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "12 jobs in" in found.stdout
    assert "primes below 200000: 17984" in found.stdout
