"""python -m benchmarks.ops: measures, shows the tables, and writes them as JSON."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ops import peers, proc
from benchmarks.ops.everything import measure_everything
from benchmarks.ops.losses import measure_reload
from benchmarks.ops.memory import measure_pss
from benchmarks.ops.processes import measure_idle, measure_respawn, measure_start
from benchmarks.ops.scale import measure_commands, measure_restarts, measure_scale
from benchmarks.ops.settings import QUICK, Options, say
from chaussette.version import __version__

Row = dict[str, Any]
MEASURES: dict[str, Callable[[Options], list[Row]]] = {
    "respawn": measure_respawn,
    "start": measure_start,
    "idle": measure_idle,
    "reload": measure_reload,
    "pss": measure_pss,
    "scale": measure_scale,
    "commands": measure_commands,
    "restarts": measure_restarts,
    "everything": measure_everything,
}
ALIASES = {"rss": "idle"}
"""The memory of a manager is read where its idle cost is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    arguments = _parser().parse_args(argv)
    options = _options(arguments)
    names = list(dict.fromkeys(ALIASES.get(name, name) for name in arguments.only))
    proc.adopt_orphans()
    signal.signal(signal.SIGTERM, _interrupt)
    results: dict[str, Any] = {"environment": environment(), "options": str(options)}
    try:
        for name in names:
            results[name] = MEASURES[name](options)
            print(f"\n{name}: {_about(name)}\n{table(results[name])}\n", flush=True)
    except KeyboardInterrupt:
        say("interrupted; everything that was started has been ended")
        return 130
    finally:
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def environment() -> dict[str, Any]:
    """The machine and the versions."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    found = {"ours": peers.versions(Path(sys.executable))}
    for peer in (peers.CIRCUS, peers.SUPERVISOR, peers.GUNICORN):
        with contextlib.suppress(peers.PeerUnavailable):
            found[peer.name] = peers.versions(peers.python_of(peer))
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "cpu": model,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "chaussette": __version__,
        "versions": found,
    }


def table(rows: list[Row]) -> str:
    """The rows in columns, as Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    text = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([text[0], rule, *text[1:]])


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, list):
        return " ".join(str(one) for one in value)
    return str(value).replace("\n", " ")[:160]


def _about(name: str) -> str:
    return (MEASURES[name].__doc__ or "").splitlines()[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description=__doc__)
    names = [*MEASURES, *ALIASES]
    parser.add_argument(
        "--only",
        type=lambda text: _names(text, names),
        default=list(MEASURES),
        metavar="NAME,NAME",
        help=f"What to measure: {', '.join(names)}. [all]",
    )
    parser.add_argument("--rounds", type=int, help=f"How often. [{Options.rounds}]")
    parser.add_argument("--quick", action="store_true", help="One short round, for a first look.")
    parser.add_argument("--no-peers", action="store_true", help="Measure Chaussette alone.")
    parser.add_argument(
        "--backends", type=lambda text: tuple(text.split(",")), metavar="NAME,NAME",
        help="The backends that reload and pss look at. [all that are here]",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the results there, too.")
    return parser


def _names(text: str, known: list[str]) -> list[str]:
    for name in (chosen := text.split(",")):
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r}: expected some of {', '.join(known)}")
    return chosen


def _options(arguments: argparse.Namespace) -> Options:
    options = QUICK if arguments.quick else Options()
    given: dict[str, Any] = {"peers": not arguments.no_peers}
    if arguments.rounds is not None:
        given["rounds"] = arguments.rounds
    if arguments.backends is not None:
        given["backends"] = arguments.backends
    return dataclasses.replace(options, **given)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
