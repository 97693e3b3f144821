"""A copy of the checkout whose extension looks for memory errors and counts what is alive."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import chaussette

CHECKOUT = Path(chaussette.__file__).parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "native"))

from build_c import SANITIZERS, compiler, zlib_flags  # noqa: E402 - it lies elsewhere


def copy(target: Path, *flags: str) -> Path:
    """The packages, and `_core` built with these flags and CHAUSSETTE_DEBUG."""
    for name in ("chaussette", "arbiter", "backends"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(CHECKOUT / name, target / name, symlinks=True, ignore=ignored)
    native = target / "backends" / "native"
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    defines, libraries = zlib_flags()
    command = [
        *(compiler(), "-std=c11", "-g", "-O1", "-fno-omit-frame-pointer", "-fPIC", "-shared"),
        *("-D_GNU_SOURCE=", "-DCHAUSSETTE_DEBUG", "-Wall", "-Wextra", *flags),
        *(f"-D{name}" for name in defines),
        *("-o", str(native / f"_core{suffix}"), f"-I{sysconfig.get_paths()['include']}"),
        *map(str, sorted(native.glob("*.c"))),
        *(f"-l{name}" for name in libraries),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return target


def with_sanitizers(target: Path) -> Path:
    """ASan and UBSan; errors end the process."""
    return copy(target, f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all")
