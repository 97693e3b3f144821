"""The interleaved run: each round starts each server afresh, checks its answer, loads it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ops.daemon import DaemonEnded
from benchmarks.raw import answer, tree, wrk
from benchmarks.raw.answer import BadAnswer
from benchmarks.raw.cases import Case
from benchmarks.raw.figures import Round
from benchmarks.raw.record import Record
from benchmarks.raw.running import Cores, Running, Served, last_words, running, say
from benchmarks.raw.servers import FLOOR, Server

US_PER_S = 1e6


@dataclass(frozen=True)
class Plan:
    """Which servers are measured in which cases, how often and how long."""

    pairs: tuple[tuple[Case, tuple[Server, ...]], ...]
    rounds: int
    seconds: float
    warm_up: float
    python: Path

    def steps(self) -> Iterator[tuple[Case, int, Server]]:
        """All measurements in order: within a case round by round, each server once a round.

        Each round begins with another server, so that none is always the first
        after a pause or always behind the same neighbour.
        """
        for case, servers in self.pairs:
            for number in range(self.rounds):
                at = number * len(servers) // self.rounds
                for server in (*servers[at:], *servers[:at]):
                    yield case, number, server


def run(plan: Plan, record: Record) -> None:
    """Measures what the record does not hold yet. A server that fails does not end the others."""
    steps = [step for step in plan.steps() if not record.has(step[0].name, step[2].name, step[1])]
    began = time.monotonic()
    for done, (case, number, server) in enumerate(steps):
        one = measure(plan, case, number, server)
        record.add(one)
        left = (time.monotonic() - began) / (done + 1) * (len(steps) - done - 1)
        head = f"[{done + 1}/{len(steps)}] {case.name} round {number + 1} {server.name}"
        say(f"{head}: {_short(one)}, {left / 60:.0f} min to go")


def measure(plan: Plan, case: Case, number: int, server: Server) -> Round:
    """One round of one server; `failed` says why there is no figure."""
    head = {"case": case.name, "server": server.name, "round": number}
    cores = Cores.here()
    floor = server.role == FLOOR
    served = Served(case.app, answer=case.floor_answer() if floor else b"", block=case.block)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="raw-") as folder,
            running(server, served, plan.python, cores) as up,
        ):
            notes = checked(case, up.port)
            path = Path(folder) / "case.lua"
            path.write_text(wrk.script(case))
            wrk.run(wrk.command(case, up.port, plan.warm_up, path, cores.loader), plan.warm_up)
            words = wrk.command(case, up.port, plan.seconds, path, cores.loader)
            return {**head, **_loaded(up, words, plan.seconds), "notes": notes}
    except (DaemonEnded, BadAnswer, wrk.LoaderFailed) as error:
        return {**head, "failed": last_words(error)}


def checked(case: Case, port: int) -> list[str]:
    """Asks once, before anything is measured; what the answer lacks. Raises BadAnswer."""
    request = case.request(f"127.0.0.1:{port}")
    found = answer.ask_together(port, request, case.pipeline)
    for one in found:
        answer.check(one, case.body)
    fields = {name for name, _ in found[0].fields}
    wanted = {"date", "server"} | {name.lower() for name, _ in case.answer_fields}
    lacking = sorted(wanted - fields)
    return [f"no {', '.join(name.title() for name in lacking)}"] if lacking else []


def _loaded(up: Running, words: list[str], seconds: float) -> Round:
    before, machine, began = tree.cpu(up.pid), tree.machine_busy(), time.monotonic()
    load = wrk.run(words, seconds)
    used, wall = tree.cpu(up.pid) - before, time.monotonic() - began
    others = max(0.0, (tree.machine_busy() - machine - used.total) / wall - load.busy)
    rss, pss = tree.memory_mib(up.pid)
    per_request = US_PER_S / load.requests
    return {
        "requests": load.requests,
        "seconds": load.seconds,
        "cpu_us": used.total * per_request,
        "user_us": used.user * per_request,
        "sys_us": used.system * per_request,
        "rps": load.per_second,
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "max_ms": load.max_ms,
        "busy": used.total / wall,
        "loader": load.busy,
        "others": others,
        "rss_mib": rss,
        "pss_mib": pss,
        "errors": load.errors,
        "server_command": up.command,
        "loader_command": words,
    }


def _short(one: Round) -> str:
    if "failed" in one:
        return f"no figure: {one['failed']}"
    return f"{one['cpu_us']:.1f} µs/req, {one['rps']:.0f} req/s"


def pairs(
    cases: Sequence[Case], servers: Sequence[Server], missing: Mapping[str, str]
) -> tuple[tuple[Case, tuple[Server, ...]], ...]:
    """Each case with the servers that can run it and are here."""
    found = []
    for case in cases:
        fit = tuple(one for one in servers if one.name not in missing and _fits(case, one))
        found.append((case, fit))
    return tuple(found)


def _fits(case: Case, server: Server) -> bool:
    if server.role == FLOOR:
        return case.floor
    return server.role == case.role and (not server.only or case.name in server.only)
