"""Builds C of backends/native with a stub of the tests into a library of its own.

Each test module names the files it needs, so that it tests them and nothing else. The
environment variable CHAUSSETTE_SANITIZE (as gcc's -fsanitize=) makes a build with those
sanitizers; `sanitized_environment` is what a Python that loads one needs.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "backends" / "native"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wshadow")
SANITIZERS = "address,undefined"


def compiler() -> str:
    """The C compiler; skips the test where there is none."""
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler")
    return found


@functools.cache
def _directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="chaussette-native-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@functools.cache
def zlib_flags() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What setup.py adds where there is zlib: defines and libraries; else nothing."""
    command = [compiler(), "-E", "-xc", "-include", "zlib.h", os.devnull]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return (("CHAUSSETTE_ZLIB",), ("z",)) if done.returncode == 0 else ((), ())


@functools.cache
def shared(
    name: str, *sources: str, defines: tuple[str, ...] = (), libraries: tuple[str, ...] = ()
) -> Path:
    """A shared library called `name` of files in backends/native and beside this one.

    A failed build fails the test with what the compiler said.
    """
    paths = [
        next(d / source for d in (HERE, NATIVE) if (d / source).exists()) for source in sources
    ]
    target = Path(tempfile.mkdtemp(dir=_directory())) / f"{name}.so"
    command = [compiler(), *STRICT, "-g", "-O1", "-fPIC", "-shared", "-o", str(target)]
    if sanitizers := os.environ.get("CHAUSSETTE_SANITIZE"):
        command += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    command += [f"-D{define}" for define in defines]
    command += [f"-I{NATIVE}", f"-I{sysconfig.get_paths()['include']}", *map(str, paths)]
    command += [f"-l{library}" for library in libraries]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return target


def extension(name: str, *sources: str, defines: tuple[str, ...] = ()) -> ModuleType:
    """The same as an imported module; `name` is that of its PyInit function."""
    path = shared(name, *sources, defines=defines)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def growth(use: Callable[[], object], times: int = 200) -> float:
    """How many blocks of Python's memory one `use` leaves behind, in the best of five rounds.

    A leak leaves at least one in each round; the interpreter's caches take a few hundred, at
    first. Where PYTHONMALLOC is malloc no blocks are counted, and nothing grows.
    """
    rounds = []
    for _ in range(5):
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(times):
            use()
        gc.collect()
        rounds.append((sys.getallocatedblocks() - before) / times)
    return min(rounds)


def sanitized_environment() -> dict[str, str]:
    """For a Python whose extensions are built with SANITIZERS; skips without their libraries.

    Leaks are not looked for: the interpreter itself leaves memory behind on purpose.
    """
    preload = []
    for name in ("libasan.so", "libubsan.so"):
        path = subprocess.run(
            [compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(path).is_absolute():
            pytest.skip(f"the compiler has no {name}")
        preload.append(path)
    return {
        **os.environ,
        "CHAUSSETTE_SANITIZE": SANITIZERS,
        "LD_PRELOAD": " ".join(preload),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }
