"""`virtualenv`, with one that has been made for real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, Arbiters, watcher

SHOW = (
    "import os, sys, only_there; print('SEEN', sys.prefix, os.environ['VIRTUAL_ENV'], only_there.X)"
)


@pytest.fixture
def venv(folder: Path) -> Path:
    """A virtual environment with one module, and a program of its own."""
    made = folder / "venv"
    words = [sys.executable, "-m", "venv", "--without-pip", str(made)]
    subprocess.run(words, check=True, timeout=BOUND)
    (packages,) = made.glob("lib/python*/site-packages")
    (packages / "only_there.py").write_text("X = 42\n")
    program = made / "bin" / "own-program"
    program.write_text(f"#!{made}/bin/python\n{SHOW}\n")
    program.chmod(0o755)
    return made


@pytest.mark.parametrize("copy_env", [True, False])
@pytest.mark.parametrize("command", ["own-program", "python -c '{}'"])
def test_programs_and_packages_are_those_of_the_environment(
    arbiters: Arbiters, venv: Path, command: str, *, copy_env: bool
) -> None:
    """Circus needs copy_env for that; here it makes no difference."""
    quoted = command.format(SHOW.replace("'", '"'))
    arbiter = arbiters(watcher("w", quoted, virtualenv=venv, copy_env=copy_env, respawn=False))
    arbiter.wait(f"SEEN {venv} {venv} 42")


def test_another_version_s_packages_are_not_used(arbiters: Arbiters, venv: Path) -> None:
    other = venv / "lib" / "python2.7" / "site-packages"
    other.mkdir(parents=True)
    (other / "only_there.py").write_text("X = 27\n")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    arbiter = arbiters(
        watcher("w", "own-program", virtualenv=venv, virtualenv_py_ver=version, respawn=False)
    )
    arbiter.wait(f"SEEN {venv} {venv} 42")
