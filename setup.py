"""Builds the native backend's C core; everything else is declared in setup.cfg.

The extension is optional: where it cannot be built, the package installs without
it, the backend `native` says that it is missing, and another one is the default.
"""

import os
import shlex
import subprocess
import sysconfig
from glob import glob

from setuptools import Extension, setup


def has_zlib() -> bool:
    """Whether the C compiler finds zlib.h; without it WebSockets are not compressed."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, "-E", "-o", os.devnull, "-include", "zlib.h", "-xc", os.devnull]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


ZLIB = has_zlib()

core = Extension(
    "chaussette.backends.native._core",
    sources=sorted(glob("backends/native/*.c")),
    depends=sorted(glob("backends/native/*.h")),
    define_macros=[("_GNU_SOURCE", ""), *([("CHAUSSETTE_ZLIB", "1")] if ZLIB else [])],
    libraries=["z"] if ZLIB else [],
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-fvisibility=hidden",  # calls between the files are direct
        "-fno-strict-aliasing",
        "-Wall",
        "-Wextra",
        "-Werror=switch",
    ],
    optional=True,
)

setup(ext_modules=[core])
