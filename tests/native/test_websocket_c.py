"""The WebSocket codec's own tests in C, and its fuzzers for a bounded time: see test_parse_c.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from build_c import HERE, NATIVE, SANITIZERS, compiler, zlib_flags
from native_websocket import CODEC, PARSER
from test_parse_c import SECONDS, WARNINGS, run

FUZZERS = ("websocket", "websocket_opening")


def build(target: Path, cc: str, sanitizers: str, *sources: str, define: str = "NDEBUG") -> Path:
    """An executable of these files of this directory with the codec."""
    paths = [*(HERE / name for name in sources), *(NATIVE / name for name in (*CODEC, *PARSER))]
    defines, libraries = zlib_flags() if define != "NO_ZLIB" else ((), ())
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-std=gnu11", "-g", "-O1"]
    flags += [f"-D{name}" for name in (*define.split(), *defines)]
    links = [f"-l{name}" for name in libraries]
    where = [f"-I{NATIVE}", f"-I{HERE}"]
    run(Path(cc), *WARNINGS, *flags, *where, *map(str, paths), *links, "-o", str(target))
    return target


@pytest.mark.parametrize("define", ["NDEBUG", "SCAN_SCALAR"])
def test_units(define: str, tmp_path: Path) -> None:
    """With SSE2 and as processors without it run them."""
    run(build(tmp_path / "unit", compiler(), SANITIZERS, "unit_websocket.c", define=define))


@pytest.mark.parametrize("define", ["NDEBUG", "NO_ZLIB"])
@pytest.mark.parametrize("name", FUZZERS)
def test_mutated_corpus(name: str, define: str, tmp_path: Path) -> None:
    sources = ("fuzz_main.c", f"fuzz_{name}.c")
    fuzzer = build(tmp_path / name, compiler(), SANITIZERS, *sources, define=define)
    seconds = SECONDS if define == "NDEBUG" else 1
    said = run(fuzzer, str(seconds), str(os.getpid()), str(HERE / "corpus" / name), timeout=1000)
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
    seeds = str(HERE / "corpus" / name)
    said = run(fuzzer, *flags, "-print_final_stats=1", str(found), seeds, timeout=1000)
    assert "stat::number_of_executed_units" in said


def test_units_without_memory(tmp_path: Path) -> None:
    """Every allocation of the codec fails once; LeakSanitizer looks at what is left behind."""
    if not zlib_flags()[0]:
        pytest.skip("no zlib")
    scarce = "calloc=scarce_calloc realloc=scarce_realloc"
    program = build(
        tmp_path / "unit", compiler(), SANITIZERS, "unit_websocket_memory.c", define=scarce
    )
    assert "allocations" in run(program)
