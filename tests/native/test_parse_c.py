"""The parser's own tests in C, and its fuzzers for a bounded time.

Both are built with gcc under ASan and UBSan; with clang the fuzzers run under libFuzzer
as well. FUZZ_SECONDS says how long each fuzzer may run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from build_c import HERE, NATIVE, SANITIZERS, compiler
from native_parser import SOURCES

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wswitch")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "5"))
FUZZERS = ("request", "chunked")


def build(target: Path, cc: str, sanitizers: str, *sources: str, define: str = "NDEBUG") -> Path:
    """An executable of these files of this directory with the parser."""
    paths = [*(HERE / name for name in sources), *(NATIVE / name for name in SOURCES)]
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-std=gnu11", "-g", "-O1"]
    command = [cc, *WARNINGS, *flags, f"-D{define}", f"-I{NATIVE}", f"-I{HERE}", *map(str, paths)]
    run(Path(command[0]), *command[1:], "-o", str(target))
    return target


def run(program: Path, *arguments: str, timeout: float = 100) -> str:
    """What it printed. Fails with that when its exit code is not zero."""
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["unit_parse", "unit_scan"])
def test_units(name: str, tmp_path: Path) -> None:
    run(build(tmp_path / name, compiler(), SANITIZERS, f"{name}.c"))


@pytest.mark.parametrize("name", ["unit_parse", "unit_scan"])
def test_units_with_the_scalar_scanners(name: str, tmp_path: Path) -> None:
    """As processors without SSE2 run them."""
    scalar = "SCAN_SCALAR"
    run(build(tmp_path / name, compiler(), SANITIZERS, f"{name}.c", define=scalar))


@pytest.mark.parametrize("name", FUZZERS)
def test_mutated_corpus(name: str, tmp_path: Path) -> None:
    fuzzer = build(tmp_path / name, compiler(), SANITIZERS, "fuzz_main.c", f"fuzz_{name}.c")
    said = run(fuzzer, str(SECONDS), str(os.getpid()), str(HERE / "corpus" / name))
    executed = int(said.split()[1])
    assert executed > len(list((HERE / "corpus" / name).iterdir())), said


@pytest.mark.parametrize("name", FUZZERS)
def test_libfuzzer(name: str, tmp_path: Path) -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    fuzzer = build(tmp_path / name, clang, f"fuzzer,{SANITIZERS}", f"fuzz_{name}.c")
    found = tmp_path / "found"
    found.mkdir()
    seeds = str(HERE / "corpus" / name)
    flags = (f"-max_total_time={SECONDS}", "-max_len=1024", f"-artifact_prefix={tmp_path}/")
    said = run(fuzzer, *flags, "-print_final_stats=1", str(found), seeds)
    assert "stat::number_of_executed_units" in said
