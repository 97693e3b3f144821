"""Builds the native backend's C core; everything else is declared in setup.cfg.

The extension is optional: where it cannot be built, the package installs without
it, the backend `native` says that it is missing, and another one is the default.
"""

from glob import glob

from setuptools import Extension, setup

core = Extension(
    "chaussette.backends.native._core",
    sources=sorted(glob("backends/native/*.c")),
    depends=sorted(glob("backends/native/*.h")),
    define_macros=[("_GNU_SOURCE", "")],
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-fno-strict-aliasing",
        "-Wall",
        "-Wextra",
        "-Werror=switch",
    ],
    optional=True,
)

setup(ext_modules=[core])
