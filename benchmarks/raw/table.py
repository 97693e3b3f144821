"""The figures as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.raw.cases import Case
from benchmarks.raw.figures import (
    Round,
    Spread,
    Verdict,
    failures,
    good,
    ratio,
    summary,
)
from benchmarks.raw.servers import OURS, Server
from benchmarks.raw.wrk import SATURATED

QUIET = 0.1
"""Cores that others may use before the figures are disturbed."""
HEAD = (
    "server", "CPU µs/req (min-max)", "user+sys", "÷ floor", "req/s (min-max)", "p50 ms",
    "p99 ms", "busy", "loader", "others", "RSS/PSS MiB", "remarks",
)  # fmt: skip


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table with columns of even width."""
    rows = [list(head), *(list(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([text[0], rule, *text[1:]])


def case_table(case: Case, rounds: Sequence[Round], servers: Mapping[str, Server]) -> str:
    """One case: a line per server, the cheapest first, then those without a figure.

    A column per server of ours tells what that one costs over the line's server.
    """
    measured = good(rounds, case.name)
    ours = [name for name in OURS if name in measured]
    order = sorted(measured, key=lambda name: summary(measured[name])["cpu_us"].median)
    head = [*HEAD[:4], *(f"{name} ÷ it" for name in ours), *HEAD[4:]]
    lines = [_line(case, name, measured, ours, servers.get(name)) for name in order]
    text = f"#### {case.name}: {case.title} ({case.connections} connections)\n\n"
    text += markdown(head, lines) if lines else "No figures."
    noise = [one["others"] for rows in measured.values() for one in rows]
    if noise and (others := statistics.median(noise)) > QUIET:
        text += f"\n\nNeighbours used {others:.1f} of the cores meanwhile: no figures to quote."
    for name, why in sorted(failures(rounds, case.name).items()):
        text += f"\n\nNo figure: {name} - {why}"
    return text


def _line(
    case: Case,
    name: str,
    measured: Mapping[str, Sequence[Round]],
    ours: Sequence[str],
    server: Server | None,
) -> list[str]:
    rounds = measured[name]
    cells = summary(rounds)
    floor = ratio(rounds, measured.get("floor", []))
    against = [ratio(measured[one], rounds) for one in ours]
    return [
        name,
        _spread(cells["cpu_us"], 1),
        f"{cells['user_us'].median:.1f}+{cells['sys_us'].median:.1f}",
        _times(floor),
        *(_times(one) for one in against),
        _spread(cells["rps"], 0),
        *(_latency(case, cells[name]) for name in ("p50_ms", "p99_ms")),
        f"{cells['busy'].median:.2f}",
        f"{cells['loader'].median:.2f}",
        f"{cells['others'].median:.2f}",
        f"{cells['rss_mib'].median:.0f}/{cells['pss_mib'].median:.0f}",
        remarks(case, rounds, server),
    ]


def remarks(case: Case, rounds: Sequence[Round], server: Server | None) -> str:
    """What has to be known to read the line."""
    found: list[str] = []
    if server is not None and server.excluded and case.name in server.excluded:
        found.append(f"not comparable: {server.excluded[case.name]}")
    if summary(rounds)["loader"].median > SATURATED:
        found.append("loader saturated")
    found += [text for one in rounds[-1:] for text in one.get("notes", [])]
    kinds: dict[str, int] = {}
    for one in rounds:
        for kind, count in one["errors"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    found += [f"{count} {kind} errors" for kind, count in kinds.items() if count]
    missed = [one["failed"] for one in rounds if "failed" in one]
    return "; ".join([*found, *missed])


def verdicts_table(verdicts: Iterable[Verdict]) -> str:
    """The targets and whether they are met."""
    lines = []
    for one in verdicts:
        target = one.target
        bound = f"≥ {target.least:.2f}" if target.least is not None else f"≤ {target.most:.2f}"
        result = {True: "met", False: "MISSED", None: "not measured"}[one.met]
        what = f"{target.ours} ÷ {target.peer}"
        lines.append([target.case, target.measure, what, bound, _times(one.ratio), result])
    return markdown(("case", "measure", "what", "target", "found", "result"), lines)


def gaps(servers: Iterable[Server]) -> str:
    """What the servers leave out, as known from probes (see probe.py)."""
    return markdown(
        ("server", "leaves out"),
        [[one.name, one.leaves_out] for one in servers if one.leaves_out],
    )


def _latency(case: Case, value: Spread) -> str:
    """wrk counts one time per batch, so it knows none of a pipelined request."""
    return f"{value.median:.2f}" if case.pipeline == 1 else ""


def _spread(value: Spread, digits: int) -> str:
    return f"{value.median:.{digits}f} ({value.least:.{digits}f}-{value.most:.{digits}f})"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"
