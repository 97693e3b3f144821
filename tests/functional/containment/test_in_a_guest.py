"""test_limits_v2 in a virtual machine; slow, and only where GUEST_KERNEL names a kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = os.environ.get("GUEST_KERNEL", "")
ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(not KERNEL, reason="GUEST_KERNEL is not set; see tests/guest/run.py")
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="there is no qemu")
@pytest.mark.timeout(1000)
def test_limits_hold_in_a_virtual_machine() -> None:
    script = [sys.executable, str(ROOT / "tests/guest/run.py"), "--kernel", KERNEL]
    inside = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "300"]
    tests = ["tests/functional/containment/test_limits_v2.py"]
    done = subprocess.run(
        [*script, "--timeout", "900", "--", *inside, *tests],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-10_000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
