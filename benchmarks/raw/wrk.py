"""wrk: what it is told, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.raw.cases import Case
from benchmarks.raw.running import pinned

MARK = "RAW "
SATURATED = 0.95
"""A loader that is busy for more of its time than this may be the limit of what it measures."""
LATE = 30.0
"""Seconds that wrk may take beyond what it was asked."""
SCRIPT = """\
wrk.method = {method}
wrk.body = {body}
{fields}
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RAW {{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "max_ms": %.4f, ' ..
    '"errors": {{"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.connect, errors.read,
    errors.write, errors.timeout, errors.status))
end
"""
PIPELINE = """\
init = function(args)
  local one = wrk.format()
  batch = string.rep(one, {pipeline})
end
request = function() return batch end
"""
"""Several requests at a time; without it wrk formats its one request once and for all."""


class LoaderFailed(Exception):
    """wrk is not there, or did not say what it measured; carries its last words."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk found; `busy` is the part of the time in which wrk used its core."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: dict[str, int]
    busy: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def script(case: Case) -> str:
    """The Lua script of a case."""
    fields = "\n".join(f"wrk.headers[{_lua(n)}] = {_lua(v)}" for n, v in case.fields)
    text = SCRIPT.format(
        method=_lua(case.method),
        body=_lua(case.upload.decode("latin-1")) if case.upload else "nil",
        fields=fields,
    )
    return text + (PIPELINE.format(pipeline=case.pipeline) if case.pipeline > 1 else "")


def command(case: Case, port: int, seconds: float, path: Path, core: int) -> list[str]:
    """The words that start wrk, pinned, with a script at `path`."""
    return [
        *pinned(core), "wrk", "-t1", f"-c{case.connections}", f"-d{max(1, round(seconds))}s",
        "--timeout", "10s", "-s", str(path), f"http://127.0.0.1:{port}{case.path}",
    ]  # fmt: skip


def run(words: list[str], seconds: float) -> Load:
    """Runs wrk to its end. Raises LoaderFailed; whatever ends this ends wrk, too."""
    before = os.times()
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds + LATE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoaderFailed(str(error)) from error
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    if done.returncode:
        raise LoaderFailed((done.stderr or done.stdout).strip()[-300:])
    return parse(done.stdout, cpu / (after.elapsed - before.elapsed))


def parse(output: str, busy: float) -> Load:
    """What wrk's script wrote. Raises LoaderFailed when it is not there or nothing was answered."""
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise LoaderFailed(f"expected one line that begins with {MARK!r}: {output[-300:]!r}")
    found = json.loads(lines[0].removeprefix(MARK))
    if not found["requests"]:
        raise LoaderFailed(f"no answer within {found['seconds']:g} s, errors {found['errors']}")
    return Load(busy=busy, **found)


def _lua(text: str) -> str:
    """A Lua string: what is no plain character as a decimal escape."""
    plain = (
        char if char.isascii() and char.isprintable() and char not in '"\\' else f"\\{ord(char):03}"
        for char in text
    )
    return '"' + "".join(plain) + '"'
