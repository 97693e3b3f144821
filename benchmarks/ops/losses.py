"""reload, restart: what visitors see while the processes of a web application are replaced."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.ops import managers, peers
from benchmarks.ops.apps import write_app
from benchmarks.ops.births import ENVIRONMENT, Births
from benchmarks.ops.daemon import Daemon, DaemonEnded, free_port
from benchmarks.ops.load import Load, Mix
from benchmarks.ops.settings import Options, say, scratch
from chaussette.backends import registry
from chaussette.backends.base import Can

WORKERS = 4
UP_TIMEOUT = 60.0
TAIL = 3.0
"""Seconds after an action that still count as part of it: the old ones are leaving."""
BROKEN = "import a_module_that_is_nowhere\n"
FAST_MIX = Mix(new=4, kept=4, slow=0)
SLOW_MIX = Mix(new=4, kept=4, slow=4)
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One application under one load, and what becomes of it by the action."""

    name: str
    mix: Mix
    boot_seconds: float = 0.0
    broken: bool = False


CASES = (
    Case("new, kept and 0.3 s requests", SLOW_MIX),
    Case("boots in 5 s; new, kept", FAST_MIX, boot_seconds=5.0),
    Case("cannot be imported; new, kept", replace(FAST_MIX, timeout=8.0), broken=True),
)


@dataclass(frozen=True)
class Contender:
    """A manager with one kind of workers, and one way to replace them."""

    name: str
    action: str
    make: Callable[[Path, Births, int], Daemon]
    act: Callable[[Daemon, Births, bool], str]


def measure_reload(options: Options) -> list[Row]:
    """Failed requests and the worst latency during an action, and in as long a time without."""
    rows: list[Row] = []
    for case in CASES:
        for number in range(options.rounds):
            for one in contenders(options):
                if case.broken and one.action == "restart":
                    continue
                row = _once(one, case)
                rows.append(row)
                who = f"{one.name}, {one.action}, {case.name}"
                say(f"reload {number + 1}/{options.rounds} {who}: {_text(row)}")
    return _merge(rows)


def contenders(options: Options) -> list[Contender]:
    """Ours with every backend that is here, then the peers."""
    found: list[Contender] = []
    for backend in options.backends or tuple(sorted(registry.names())):
        if registry.probe(backend).installed:
            found += [ours(backend, action) for action in ("reload", "restart")]
    if not options.peers:
        return found
    for backend, peer in (("wsgiref", peers.CIRCUS), ("meinheld", peers.MEINHELD)):
        found += [peer_circus(peer, backend, action) for action in ("reload", "restart")]
    return [*found, gunicorn_hup("sync"), gunicorn_hup("gthread")]


def ours(backend: str, action: str) -> Contender:
    """Our circusd and our runner."""
    declared = registry.probe(backend).declaration
    can = declared.can if declared is not None else Can.NOTHING
    app = "demo:application" if Can.WSGI in can else "demo:asgi"
    threads = "--threads 4" if Can.THREADS in can else ""

    def make(folder: Path, births: Births, port: int) -> Daemon:
        sections = managers.web_sections(backend, app, port, WORKERS, folder, threads)
        return managers.Circusd(folder, sections, env={ENVIRONMENT: births.name})

    return Contender(f"chaussette {backend}", action, make, _by_circusctl(action))


def peer_circus(peer: peers.Peer, backend: str, action: str) -> Contender:
    """PyPI's circus 0.19 and chaussette 1.3."""

    def make(folder: Path, births: Births, port: int) -> Daemon:
        python = peers.python_of(peer)
        return managers.peer_circus_web(python, backend, port, WORKERS, folder, births)

    return Contender(f"circus 0.19 + chaussette 1.3 {backend}", action, make, _by_circusctl(action))


def gunicorn_hup(kind: str) -> Contender:
    """gunicorn, whose only reload is SIGHUP."""

    def make(folder: Path, births: Births, port: int) -> Daemon:
        python = peers.python_of(peers.GUNICORN)
        flags = ["-k", kind, *(["--threads", "4"] if kind == "gthread" else [])]
        return managers.gunicorn(python, folder, births, workers=WORKERS, port=port, flags=flags)

    def act(daemon: Daemon, births: Births, comes_up: bool) -> str:
        managers.hang_up(daemon)
        if comes_up:
            births.wait(WORKERS, UP_TIMEOUT)
        return "-"

    return Contender(f"gunicorn {kind}", "HUP", make, act)


def _by_circusctl(action: str) -> Callable[[Daemon, Births, bool], str]:
    def act(daemon: Daemon, births: Births, comes_up: bool) -> str:
        del births, comes_up
        assert isinstance(daemon, managers.Circusd | managers.PeerCircus)
        try:
            return str(daemon.ctl(action, "--waiting", "web").returncode)
        except subprocess.TimeoutExpired:
            return "no answer"

    return act


def _once(one: Contender, case: Case) -> Row:
    with scratch() as folder, closing(Births()) as births:
        write_app(folder, boot_seconds=case.boot_seconds)
        port = free_port()
        try:
            with one.make(folder, births, port) as daemon:
                births.wait(WORKERS, UP_TIMEOUT)
                daemon.rest(1.5)
                return _act_under_load(one, case, daemon, births, port)
        except (TimeoutError, DaemonEnded, peers.PeerUnavailable) as error:
            return {**_head(one, case), "error": str(error)}


def _act_under_load(one: Contender, case: Case, daemon: Daemon, births: Births, port: int) -> Row:
    with Load(("127.0.0.1", port), case.mix) as load:
        load.wait_answers(3)
        # The same load with nothing happening, for as long as the action will take:
        # the machine's own noise.
        calm = time.monotonic()
        _wait(case.boot_seconds + TAIL + 1.0)
        births.forget()
        write_app(daemon.folder, 2, case.boot_seconds, BROKEN if case.broken else "")
        began = time.monotonic()
        exit_code = one.act(daemon, births, not case.broken)
        took = time.monotonic() - began
        _wait(TAIL)
        ended = time.monotonic()
    before, during = load.tally(calm, began), load.tally(began, ended)
    served = {sample.version for sample in load.samples() if sample.ended >= began}
    return {
        **_head(one, case),
        "requests": during.requests,
        "failed": during.failed,
        "reasons": dict(during.failures),
        "worst_ms": round(during.worst * 1000, 1),
        "median_ms": round(during.median * 1000, 1),
        "calm_worst_ms": round(before.worst * 1000, 1),
        "calm_median_ms": round(before.median * 1000, 1),
        "took_s": round(took, 2),
        "new_serves": "2" in served,
        "exit": exit_code,
    }


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _head(one: Contender, case: Case) -> Row:
    return {"manager": one.name, "action": one.action, "case": case.name}


def _text(row: Row) -> str:
    if "error" in row:
        return str(row["error"])
    return (
        f"{row['failed']} of {row['requests']} failed, worst {row['worst_ms']} ms "
        f"(calm {row['calm_worst_ms']}), took {row['took_s']} s {row['reasons'] or ''}"
    )


def _merge(rows: list[Row]) -> list[Row]:
    """One row for each contender, action and case: failures added, latencies' middle."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["case"], row["manager"], row["action"]), []).append(row)
    merged: list[Row] = []
    for (case, manager, action), group in groups.items():
        head = {"manager": manager, "action": action, "case": case}
        good = [row for row in group if "error" not in row]
        if not good:
            merged.append({**head, "error": group[0]["error"]})
            continue
        middle = {
            name: statistics.median(row[name] for row in good)
            for name in ("worst_ms", "calm_worst_ms", "median_ms", "calm_median_ms", "took_s")
        }
        reasons: dict[str, int] = {}
        for row in good:
            for reason, count in row["reasons"].items():
                reasons[reason] = reasons.get(reason, 0) + count
        merged.append({
            **head,
            "runs": len(good),
            "requests": sum(row["requests"] for row in good),
            "failed": sum(row["failed"] for row in good),
            "reasons": reasons,
            **middle,
            "added_ms": [round(row["worst_ms"] - row["calm_worst_ms"], 1) for row in good],
            "new_serves": sum(row["new_serves"] for row in good),
            "exit": sorted({row["exit"] for row in good}),
        })  # fmt: skip
    return merged
