"""Controllers for the watchers of an arbiter that is alone in its group, as under systemd."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_under_test import ROOT

from chaussette.arbiter.containment.group import remove_tree
from chaussette.arbiter.containment.layout import Layout

SPARE = "hugetlb"
"""A controller that hybrid machines have in v2; without a limit it changes nothing."""

SCRIPT = """
import json, os, sys
from pathlib import Path
from chaussette.arbiter.containment.layout import survey
from chaussette.arbiter.containment.table import GroupTable
from chaussette.arbiter.loop import Loop
from chaussette.settings.watcher import WatcherSettings

def where():
    return Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip()

Path(sys.argv[1], "cgroup.procs").write_text("0")
settings = WatcherSettings(name="t", containment="strict")
before, table = where(), GroupTable(Loop())
table.prepare([settings])
table._open(frozenset({sys.argv[2]}))
group = table.enter(settings)
during, seen = where(), str(survey().base)
controllers = (group.path.parent / "cgroup.controllers").read_text().split()
table.leave(group)
table.close()
print(json.dumps([before, during, seen, controllers, where()]))
"""


@pytest.fixture
def box(layout: Layout) -> Iterator[Path]:
    """A group with a controller, like one that systemd has delegated."""
    assert layout.base is not None
    control = layout.base / "cgroup.subtree_control"
    if SPARE not in layout.controllers or layout.is_busy:
        pytest.skip(f"no {SPARE} controller in cgroup v2 to try it with")
    had_it = SPARE in control.read_text("ascii").split()
    control.write_text(f"+{SPARE}", "ascii")
    folder = layout.base / "box-of-a-test"
    folder.mkdir()
    yield folder
    remove_tree(folder)
    if not had_it:
        control.write_text(f"-{SPARE}", "ascii")
    assert not folder.exists()


def test_the_arbiter_steps_aside_and_comes_back(box: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(box), SPARE],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    before, during, seen, controllers, after = json.loads(done.stdout)
    assert during.startswith(f"{before}/chaussette-") and during.endswith("/arbiter")
    assert seen == str(box), "an arbiter that has moved still knows its base"
    assert SPARE in controllers
    assert after == before
    assert not [one for one in box.iterdir() if one.is_dir()]
    assert not (box / "cgroup.subtree_control").read_text("ascii").strip()
