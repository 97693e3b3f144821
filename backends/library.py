"""Importing the library behind a backend, so that a broken one says what is wrong."""

from __future__ import annotations

import importlib
from types import ModuleType

from chaussette.errors import BackendUnavailable


def library(module: str, install: str) -> ModuleType:
    """The module, imported now. Raises BackendUnavailable that says how to mend it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BackendUnavailable(
            f"{module} is installed but cannot be imported ({error}): {install}"
        ) from error
