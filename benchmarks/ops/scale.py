"""scale, commands, restarts: a thousand watchers or processes, and what much work leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.ops import managers, proc
from benchmarks.ops.births import Births, build_ticker
from benchmarks.ops.daemon import DaemonEnded
from benchmarks.ops.settings import Options, say, scratch
from chaussette.control.client import Client
from chaussette.errors import NotAnswered

MS = 1e3
NS_PER_S = 1e9
UP_TIMEOUT = 180.0
ANSWER_TIMEOUT = 120.0
ASK_EVERY = 0.02
"""Seconds between two questions while something else goes on."""
LOOKS = 5
"""How often list and stats are asked; the median counts."""
FLEET = 50
"""Processes that are restarted at a time."""
VICTIMS = 200
"""Processes that are killed at a time."""
BETWEEN_KILLS = 5.1
"""Seconds; where each process dies more than twice in ten, ours slows their starts down."""
QUESTIONS = ("list", "status", "numprocesses", "options")
RECONNECT = 100
"""Commands on one connection, so that connections are counted, too."""
Row = dict[str, Any]
Circus = managers.Circusd | managers.PeerCircus


def measure_scale(options: Options) -> list[Row]:
    """1000 watchers with one process each, one watcher with 1000: start, look, stop."""
    rows: list[Row] = []
    for number in range(min(options.rounds, 2)):
        for watchers, count in ((options.scale, 1), (1, options.scale)):
            for kind in options.circuses():
                row = {
                    "manager": kind,
                    "what": f"{watchers} × {count}",
                    **_scale(kind, watchers, count),
                }
                rows.append(row)
                say(f"scale {number + 1}: {row}")
    return rows


def _scale(kind: str, watchers: int, count: int) -> Row:
    with _running(kind, watchers, count) as (daemon, births):
        try:
            return _life(daemon, births, watchers * count, "p" if watchers == 1 else None)
        except (TimeoutError, NotAnswered, DaemonEnded) as error:
            return {"failed": str(error)[-200:]}


def _life(daemon: Circus, births: Births, total: int, name: str | None) -> Row:
    with asking(daemon, "numwatchers", {}) as waits:
        last = max(one.at_ns for one in births.wait(total, UP_TIMEOUT))
    row: Row = {
        "start, s": round((last - daemon.started_ns) / NS_PER_S, 2),
        "longest answer meanwhile, ms": round(max(waits, default=0.0) * MS, 1),
    }
    with Client(daemon.endpoint, ANSWER_TIMEOUT) as client:
        row["list, ms"] = _looked(client, "list", {} if name is None else {"name": name})
        row["stats, ms"] = _looked(client, "stats", {})
        row["RSS, MiB"], row["fds"] = round(proc.memory_mib(daemon.pid)[0], 1), fds(daemon.pid)
        with asking(daemon, "numwatchers", {}) as waits:
            begin = time.monotonic()
            reply = client.call("stop", {"waiting": True})
            row["stop, s"] = round(time.monotonic() - begin, 2)
        row["longest answer meanwhile, ms (stop)"] = round(max(waits, default=0.0) * MS, 1)
    if not reply.ok:
        row["stop, s"] = reply.reason
    left = len(proc.children(daemon.pid))
    return {**row, "left": left, "fds after": fds(daemon.pid)}


def _looked(client: Client, command: str, properties: Row) -> float:
    times = []
    for _ in range(LOOKS):
        begin = time.monotonic()
        reply = client.call(command, properties)
        times.append((time.monotonic() - begin) * MS)
        if not reply.ok:
            raise NotAnswered(f"{command}: {reply.reason}")
    return round(statistics.median(times), 1)


def measure_commands(options: Options) -> list[Row]:
    """10 000 control commands, one after the other: rate, latency, and what they leave behind."""
    return [
        {"manager": kind, **_commands(kind, options.commands)}
        for _ in range(options.rounds)
        for kind in options.circuses()
    ]


def _commands(kind: str, count: int) -> Row:
    with _running(kind, 10, 4) as (daemon, births):
        births.wait(40, UP_TIMEOUT)
        _ask(daemon, count // 10)  # what is loaded, made or remembered once
        before = _size(daemon.pid)
        begin = time.monotonic()
        times = _ask(daemon, count)
        row = {
            "commands": count,
            "per s": round(count / (time.monotonic() - begin)),
            "p50, ms": round(statistics.median(times) * MS, 2),
            "p99, ms": round(statistics.quantiles(times, n=100)[98] * MS, 2),
            "most, ms": round(max(times) * MS, 1),
            **_growth(before, daemon.pid),
        }
        say(f"commands {kind}: {row}")
        return row


def _ask(daemon: Circus, count: int) -> list[float]:
    times: list[float] = []
    while len(times) < count:
        with Client(daemon.endpoint, ANSWER_TIMEOUT) as client:
            for number in range(min(RECONNECT, count - len(times))):
                begin = time.monotonic()
                client.call(QUESTIONS[number % len(QUESTIONS)], {"name": f"p{number % 10}"})
                times.append(time.monotonic() - begin)
    return times


def measure_restarts(options: Options) -> list[Row]:
    """2000 restarts by command and 2000 by kill: does the manager grow?"""
    acts: dict[str, Callable[[str, int], Row]] = {"restart": _restarts, "kill -9": _kills}
    rows: list[Row] = []
    for name, act in acts.items():
        for kind in options.circuses():
            # A manager that looks at its processes now and then takes minutes for all.
            count = options.restarts if kind == managers.OURS else options.restarts // 10
            with contextlib.suppress(StopIteration):
                rows.append({"manager": kind, "by": name, **act(kind, count)})
                say(f"restarts: {rows[-1]}")
    return rows


def _restarts(kind: str, count: int) -> Row:
    with _running(kind, 1, FLEET) as (daemon, births):
        births.wait(FLEET, UP_TIMEOUT)
        with Client(daemon.endpoint, ANSWER_TIMEOUT) as client:

            def restart() -> None:
                reply = client.call("restart", {"name": "p", "waiting": True})
                if not reply.ok:
                    raise NotAnswered(f"restart: {reply.reason}")
                births.wait(FLEET, UP_TIMEOUT)

            return _repeated(daemon, restart, FLEET, count)


def _kills(kind: str, count: int) -> Row:
    with _running(kind, 1, VICTIMS) as (daemon, births):
        pids = {one.pid for one in births.wait(VICTIMS, UP_TIMEOUT)}

        def kill() -> None:
            daemon.rest(BETWEEN_KILLS)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            pids.clear()
            pids.update(one.pid for one in births.wait(VICTIMS, UP_TIMEOUT))

        return _repeated(daemon, kill, VICTIMS, count)


def _repeated(daemon: Circus, act: Callable[[], None], size: int, count: int) -> Row:
    rounds = max(2, count // size)
    for _ in range(max(1, rounds // 10)):
        act()
    before, begin = _size(daemon.pid), time.monotonic()
    for _ in range(rounds):
        act()
    return {
        "processes": rounds * size,
        "seconds": round(time.monotonic() - begin, 1),
        **_growth(before, daemon.pid),
    }


# -- what is common -----------------------------------------------------------------


@contextlib.contextmanager
def _running(kind: str, watchers: int, count: int) -> Iterator[tuple[Circus, Births]]:
    with scratch() as folder, contextlib.closing(Births()) as births:
        names = ["p"] if watchers == 1 else [f"p{number}" for number in range(watchers)]
        ticker = build_ticker(folder)
        daemon = managers.many_tickers(kind, folder, ticker, births, names, count)
        with daemon:
            yield daemon, births


@contextlib.contextmanager
def asking(daemon: Circus, command: str, properties: Row) -> Iterator[list[float]]:
    """Asks again and again meanwhile; the seconds that each answer took."""
    ended = threading.Event()
    waits: list[float] = []

    def ask() -> None:
        with Client(daemon.endpoint, ANSWER_TIMEOUT) as client:
            while not ended.is_set():
                begin = time.monotonic()
                with contextlib.suppress(NotAnswered):
                    client.call(command, properties)
                waits.append(time.monotonic() - begin)
                ended.wait(ASK_EVERY)

    thread = threading.Thread(target=ask, daemon=True)
    if not managers.listens(daemon, UP_TIMEOUT):
        raise DaemonEnded(daemon.log()[-2000:])
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join(ANSWER_TIMEOUT)


def fds(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def _size(pid: int) -> tuple[int, float]:
    return fds(pid), proc.memory_mib(pid)[0]


def _growth(before: tuple[int, float], pid: int) -> Row:
    after = _size(pid)
    return {
        "fds": f"{before[0]} → {after[0]}",
        "RSS, MiB": f"{before[1]:.1f} → {after[1]:.1f}",
    }
