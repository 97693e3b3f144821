"""python -m benchmarks.raw: measures HTTP servers beside the floor, shows tables, writes JSON."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ops import proc
from benchmarks.raw import (
    inside,
    memory,
    peers,
    probe,
    rounds,
    shares,
    table,
    ticker,
    uneven,
    websocket,
)
from benchmarks.raw.cases import CASES, TARGETS
from benchmarks.raw.chosen import UnknownName, narrow
from benchmarks.raw.figures import verdict
from benchmarks.raw.record import BadRecord, Record, surroundings
from benchmarks.raw.running import ROOT, end_on_sigterm, raise_file_limit, say
from benchmarks.raw.servers import SERVERS, Server, variant
from benchmarks.raw.tool import Tool

RESULTS = ROOT / "benchmarks" / "results" / "raw.json"
INTERRUPTED = 130
NEEDED = ("wrk", "taskset")
TOOLS: dict[str, Callable[[Tool], str]] = {
    "shares": shares.measure,
    "uneven": uneven.measure,
    "memory": memory.measure,
    "ticker": ticker.measure,
    "inside": inside.measure,
    "probe": probe.measure,
    "websocket": websocket.measure,
}
COMMANDS = ("cases", *TOOLS, "list", "peers")


@dataclass(frozen=True)
class Length:
    """How long a run is, in seconds per step."""

    rounds: int
    seconds: float
    warm_up: float


FULL = Length(rounds=3, seconds=4.0, warm_up=1.0)
QUICK = Length(rounds=1, seconds=1.0, warm_up=1.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    asked = parser.parse_args(words)
    proc.adopt_orphans()
    end_on_sigterm()
    raise_file_limit()
    try:
        return _act(asked, words)
    except (UnknownName, BadRecord, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        say("interrupted; everything that was started has been ended (--resume goes on)")
        return INTERRUPTED


def _act(asked: argparse.Namespace, words: list[str]) -> int:
    if asked.command == "peers":
        failures = peers.install()
        say(f"{peers.PLACE}: {len(failures)} not installed {' '.join(failures)}")
        return 0
    servers = (*SERVERS, *(variant(text) for text in asked.variant))
    if lacking := [name for name in NEEDED if shutil.which(name) is None]:
        raise ValueError(f"not installed: {', '.join(lacking)} (Debian: wrk, util-linux)")
    found = peers.look(asked.python, servers)
    if asked.command == "list":
        print(_listing(servers, found))
        return 0
    if asked.command in TOOLS:
        here = tuple(one for one in servers if one.name not in found.missing)
        print(TOOLS[asked.command](Tool(here, tuple(asked.only), asked.quick, asked.python)))
        return 0
    return _cases(asked, words, servers, found)


def _cases(
    asked: argparse.Namespace, words: list[str], servers: Sequence[Server], found: peers.Found
) -> int:
    length = QUICK if asked.quick else FULL
    all_pairs = rounds.pairs(CASES, servers, found.missing)
    names = [case.name for case in CASES], [one.name for one in servers]
    chosen = narrow(all_pairs, asked.only, *names)
    count, seconds = asked.rounds or length.rounds, asked.seconds or length.seconds
    plan = rounds.Plan(chosen, count, seconds, length.warm_up, asked.python)
    about: dict[str, Any] = surroundings(found.versions, words)
    about |= {"rounds": count, "seconds": seconds, "missing": found.missing}
    record = Record(asked.json, about)
    if asked.resume:
        record.take_up()
    for name, why in found.missing.items():
        say(f"missing: {name} ({why})")
    try:
        rounds.run(plan, record)
    finally:
        record.write()
        print(_report(plan, record, servers, found))
        say(f"raw rounds: {asked.json}")
    return 0


def _report(
    plan: rounds.Plan, record: Record, servers: Sequence[Server], found: peers.Found
) -> str:
    """All tables of a run."""
    known = {one.name: one for one in servers}
    parts = [table.case_table(case, record.rounds, known) for case, _ in plan.pairs]
    chosen = {case.name for case, _ in plan.pairs}
    targets = [one for one in TARGETS if one.case in chosen and one.ours not in found.missing]
    if targets:
        verdicts = [verdict(record.rounds, one) for one in targets]
        parts.append("#### Targets\n\n" + table.verdicts_table(verdicts))
    measured = {one["server"] for one in record.rounds}
    parts.append(
        "#### What these leave out\n\n" + table.gaps(one for one in servers if one.name in measured)
    )
    if found.missing:
        absent = ", ".join(f"{name} ({why})" for name, why in found.missing.items())
        parts.append(f"Missing: {absent}.")
    return "\n\n".join(parts)


def _listing(servers: Sequence[Server], found: peers.Found) -> str:
    cases = table.markdown(
        ("case", "what", "role", "connections"),
        [(one.name, one.title, one.role, str(one.connections)) for one in CASES],
    )
    lines = [
        (
            one.name,
            one.role,
            found.versions.get(one.package, ""),
            found.missing.get(one.name, "here"),
        )
        for one in servers
    ]
    return cases + "\n\n" + table.markdown(("server", "role", "version", "state"), lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw", description=__doc__)
    parser.add_argument(
        "command", nargs="?", choices=COMMANDS, default="cases", metavar="COMMAND",
        help=f"One of {', '.join(COMMANDS)}. [cases]",
    )  # fmt: skip
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=[], metavar="CASE/SERVER,...",
        help="CASE, CASE/SERVER or /SERVER; * matches. For the other commands: servers. [all]",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="One round of a second.")
    parser.add_argument("--rounds", type=int, help=f"How often. [{FULL.rounds}]")
    parser.add_argument("--seconds", type=int, help=f"How long a round is. [{FULL.seconds:g}]")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME=BASE:WORDS",
        help="A server more: BASE with these words; may be repeated.",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, default=RESULTS, metavar="FILE",
        help="Where all rounds are written. [benchmarks/results/raw.json]",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="Measure what the file does not hold yet."
    )
    parser.add_argument(
        "--python", type=Path, default=peers.default_python(), metavar="FILE",
        help="The interpreter with the servers. [the peers' environment, else this one]",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
