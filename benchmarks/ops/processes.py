"""respawn, start, idle: what managers do with processes that do nothing."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import time
from typing import Any

from benchmarks.ops import managers, proc
from benchmarks.ops.apps import write_app
from benchmarks.ops.births import Births, build_ticker
from benchmarks.ops.daemon import Daemon
from benchmarks.ops.settings import Options, say, scratch

NS_PER_S = 1e9
NS_PER_MS = 1e6
UP_TIMEOUT = 120.0
Row = dict[str, Any]


def spread(values: list[float], digits: int = 1) -> Row:
    """Median, least, most and number of the values."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "n": len(values),
    }


def measure_respawn(options: Options) -> list[Row]:
    """Milliseconds from kill -9 of one of four processes to the first instruction of the next."""
    found: dict[str, list[float]] = {kind: [] for kind in options.managers()}
    for number in range(options.rounds):
        for kind in found:
            # A manager that looks at its processes now and then takes seconds each time.
            fast = kind in ("chaussette", "gunicorn")
            values = respawn_times(kind, options.kills if fast else options.peer_kills)
            found[kind] += values
            say(f"respawn {number + 1}/{options.rounds} {kind}: {_short(values)} ms")
    return [{"manager": kind, "unit": "ms", **spread(values)} for kind, values in found.items()]


def respawn_times(kind: str, kills: int) -> list[float]:
    """Milliseconds, one for each kill."""
    with scratch() as folder, contextlib.closing(Births()) as births:
        write_app(folder)
        daemon = managers.tickers(kind, folder, build_ticker(folder), births, 4)
        with daemon:
            pids = [one.pid for one in births.wait(4, UP_TIMEOUT)]
            # supervisord counts a process as started after a second.
            daemon.rest(1.5)
            return [_kill_one(daemon, births, pids) for _ in range(kills)]


def _kill_one(daemon: Daemon, births: Births, pids: list[int]) -> float:
    daemon.rest(random.uniform(1.1, 2.1))
    victim = pids.pop(random.randrange(len(pids)))
    births.forget()
    began = time.monotonic_ns()
    os.kill(victim, signal.SIGKILL)
    birth = births.wait(1, UP_TIMEOUT)[0]
    pids.append(birth.pid)
    return (birth.at_ns - began) / NS_PER_MS


def measure_start(options: Options) -> list[Row]:
    """Seconds from the start of the manager to the first instruction of the last process."""
    found: dict[tuple[str, str], list[float]] = {}
    simple = [kind for kind in options.managers() if kind != "gunicorn"]
    what = f"{options.many} processes"
    apps = f"{options.app_workers} app workers"
    for number in range(options.rounds):
        for kind in simple:
            found.setdefault((kind, what), []).append(start_time(kind, options.many))
            say(f"start {number + 1}/{options.rounds} {kind}: {found[kind, what][-1]:.2f} s")
        for kind in ("chaussette", "gunicorn") if options.peers else ("chaussette",):
            found.setdefault((kind, apps), []).append(_start_apps(kind, options.app_workers))
            say(
                f"start {number + 1}/{options.rounds} {kind}: {found[kind, apps][-1]:.2f} s, {apps}"
            )
    return [
        {"manager": kind, "what": text, "unit": "s", **spread(values, 2)}
        for (kind, text), values in found.items()
    ]


def start_time(kind: str, count: int) -> float:
    """Seconds until so many processes have begun."""
    with scratch() as folder, contextlib.closing(Births()) as births:
        daemon = managers.tickers(kind, folder, build_ticker(folder), births, count)
        return _seconds_to(count, daemon, births)


def _start_apps(kind: str, count: int) -> float:
    with scratch() as folder, contextlib.closing(Births()) as births:
        write_app(folder)
        if kind == "gunicorn":
            python = managers.peers.python_of(managers.peers.GUNICORN)
            port = managers.free_port()
            daemon = managers.gunicorn(python, folder, births, workers=count, port=port)
        else:
            daemon = managers.chaussette_workers(folder, births, count)
        return _seconds_to(count, daemon, births)


def _seconds_to(count: int, daemon: Daemon, births: Births) -> float:
    with daemon:
        last = max(one.at_ns for one in births.wait(count, UP_TIMEOUT))
        return (last - daemon.started_ns) / NS_PER_S


def measure_idle(options: Options) -> list[Row]:
    """What a manager of processes that do nothing costs: CPU, wake-ups, memory."""
    found: dict[str, list[Row]] = {kind: [] for kind in options.managers()}
    for number in range(min(options.rounds, 3)):
        for kind in found:
            row = idle_cost(kind, options)
            found[kind].append(row)
            say(
                f"idle {number + 1} {kind}: {row['cpu_percent']} % of a core, "
                f"{row['wakeups_per_s']} wake-ups/s, RSS {row['rss_mib']} MiB"
            )
    return [{"manager": kind, **_middle(rows)} for kind, rows in found.items()]


def idle_cost(kind: str, options: Options) -> Row:
    """What the manager takes in `options.idle_seconds`."""
    with scratch() as folder, contextlib.closing(Births()) as births:
        write_app(folder)
        count = options.idle_processes
        with managers.tickers(kind, folder, build_ticker(folder), births, count) as daemon:
            births.wait(count, UP_TIMEOUT)
            daemon.rest(min(5.0, options.idle_seconds))
            before, began = proc.cost(daemon.pid), time.monotonic()
            daemon.rest(options.idle_seconds)
            after, seconds = proc.cost(daemon.pid), time.monotonic() - began
            rss, pss = proc.memory_mib(daemon.pid)
            return {
                "cpu_percent": round((after.cpu_ns - before.cpu_ns) / NS_PER_S / seconds * 100, 4),
                "ticks_percent": round((after.ticks_s - before.ticks_s) / seconds * 100, 3),
                "wakeups_per_s": round((after.voluntary - before.voluntary) / seconds, 2),
                "rss_mib": round(rss, 1),
                "pss_mib": round(pss, 1),
                "threads": proc.threads(daemon.pid),
            }


def _middle(rows: list[Row]) -> Row:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _short(values: list[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)
