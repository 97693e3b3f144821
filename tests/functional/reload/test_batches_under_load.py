"""Rolling reloads under load: a part at a time, with pauses, and given up where a part fails."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from reload_needs import missing
from reload_stack import MIX, ReloadStack, versions

from benchmarks.ops.apps import write_app
from benchmarks.ops.load import Load
from chaussette.backends import registry

WORKERS = 4
PAUSE = 0.3
BACKENDS = ("waitress", "gevent", "meinheld", "uvicorn")
ROLLING = {
    "25%": (("--batch", "25%"), 4),
    "2": (("--batch", "2"), 2),
    "sequential": (("--sequential",), 4),
}
"""The words, and in how many steps four workers are exchanged then."""
UNSTEADY = """\
import os
boots = open({boots!r}, "a")
boots.write(".")
boots.flush()
if boots.tell() > 2:
    raise RuntimeError("the third one does not come up")
"""


@pytest.mark.parametrize(
    "how", ["25%", *(pytest.param(how, marks=pytest.mark.slow) for how in ("2", "sequential"))]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_lose_nothing(folder: Path, backend: str, how: str) -> None:
    if not registry.probe(backend).installed:
        missing(registry.probe(backend).reason)
    words, steps = ROLLING[how]
    with ReloadStack(folder, backend, WORKERS) as stack:
        with Load(stack.address, MIX) as load:
            load.wait_answers(3)
            before = stack.pids("web")
            version = stack.new_version()
            began = time.monotonic()
            done = stack.ctl("reload", "web", "--waiting", *words, "--pause", str(PAUSE))
            took = time.monotonic() - began
            assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{stack.log()}"
            load.wait_answers(3)
            assert took > (steps - 1) * PAUSE
            after = stack.pids("web")
            assert len(after) == WORKERS
            assert not set(before) & set(after)
            assert versions(load)[version]
            # A part that does not come up ends it: what serves stays as it is.
            stack.break_version()
            done = stack.ctl("reload", "web", "--waiting", *words, "--pause", str(PAUSE))
            assert done.returncode != 0, f"reported as good: {done.stdout}\n{stack.log()}"
            assert "a_module_that_is_nowhere" in stack.log()
            assert stack.pids("web") == after
            load.wait_answers(3)
        tally = load.tally()
        assert not tally.failures, f"{dict(tally.failures)} of {tally.requests}\n{stack.log()}"


def test_a_later_batch_that_fails_ends_it(folder: Path) -> None:
    with ReloadStack(folder, "waitress", WORKERS) as stack:
        with Load(stack.address, MIX) as load:
            load.wait_answers(3)
            good = str(stack.version)
            stack.new_version()
            app = folder / "demo.py"
            app.write_text(f"{UNSTEADY.format(boots=str(folder / 'boots'))}\n{app.read_text()}")
            done = stack.ctl("reload", "web", "--waiting", "--batch", "25%", "--pause", str(PAUSE))
            assert done.returncode != 0, f"reported as good: {done.stdout}\n{stack.log()}"
            assert "the third one does not come up" in stack.log()
            # Those that were exchanged already go back; they load what the file holds now.
            write_app(folder, stack.version + 1)
            stack.ask("start", "web", "--waiting")
            assert len(stack.pids("web")) == WORKERS
            load.wait_answers(3)
            assert versions(load)[good]
        tally = load.tally()
        assert not tally.failures, f"{dict(tally.failures)} of {tally.requests}\n{stack.log()}"
