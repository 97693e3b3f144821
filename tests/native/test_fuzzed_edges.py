"""Fuzzers of what proxies say and of the access log, for a bounded time: see test_parse_c.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from build_c import HERE, NATIVE, SANITIZERS, compiler
from edges import SOURCES
from test_parse_c import SECONDS, WARNINGS, run

FUZZERS = ("forwarded", "proxy", "log")


def build(target: Path, cc: str, sanitizers: str, *sources: str, define: str = "NDEBUG") -> Path:
    """An executable of these files of this directory with all the edges but the stub."""
    edges = [NATIVE / name for name in SOURCES if name != "edges_stub.c"]
    paths = [*(HERE / name for name in sources), *edges]
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-std=gnu11", "-g", "-O1"]
    command = [*WARNINGS, *flags, f"-D{define}", f"-I{NATIVE}", f"-I{HERE}", *map(str, paths)]
    run(Path(cc), *command, "-o", str(target))
    return target


@pytest.mark.parametrize("define", ["NDEBUG", "SCAN_SCALAR"])
@pytest.mark.parametrize("name", FUZZERS)
def test_mutated_corpus(name: str, define: str, tmp_path: Path) -> None:
    fuzzer = build(
        tmp_path / name,
        compiler(),
        SANITIZERS,
        "fuzz_main.c",
        f"fuzz_{name}.c",
        define=define,
    )
    said = run(fuzzer, str(SECONDS), str(os.getpid()), str(HERE / "corpus" / name))
    assert int(said.split()[1]) > len(list((HERE / "corpus" / name).iterdir())), said


@pytest.mark.parametrize("name", FUZZERS)
def test_libfuzzer(name: str, tmp_path: Path) -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    fuzzer = build(tmp_path / name, clang, f"fuzzer,{SANITIZERS}", f"fuzz_{name}.c")
    found = tmp_path / "found"
    found.mkdir()
    flags = (f"-max_total_time={SECONDS}", "-max_len=1024", f"-artifact_prefix={tmp_path}/")
    said = run(fuzzer, *flags, "-print_final_stats=1", str(found), str(HERE / "corpus" / name))
    assert "stat::number_of_executed_units" in said
