"""This directory's tests again, on workers that look for memory errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sanitized
from build_c import sanitized_environment

HERE = Path(__file__).parent
SUITE = [str(each) for each in sorted(HERE.glob("test_*.py")) if each != Path(__file__)]
LONG = "not 500 and not 200_000 and not memory"
"""Without what measures time or memory, which a sanitizer takes much of."""


def run(copy: Path, environment: dict[str, str], *options: str) -> None:
    """The suite, on the copy."""
    # From the copy: Python looks in the current directory first.
    path = os.pathsep.join([str(copy), environment.get("PYTHONPATH", "")])
    command = [sys.executable, *options, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [
        "-c",
        str(sanitized.CHECKOUT / "pyproject.toml"),
        "--rootdir",
        str(sanitized.CHECKOUT),
    ]
    done = subprocess.run(
        [*command, "-k", LONG, *SUITE],
        cwd=copy,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_with_address_and_undefined_behaviour_sanitizers(tmp_path: Path) -> None:
    run(sanitized.with_sanitizers(tmp_path / "copy"), sanitized_environment())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_in_pythons_debug_mode(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONMALLOC": "debug", "PYTHONDEVMODE": "1"}
    run(sanitized.copy(tmp_path / "copy"), environment)
