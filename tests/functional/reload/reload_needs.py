"""What a test does where something that it needs is not there."""

from __future__ import annotations

import os

import pytest


def missing(reason: str) -> None:
    """Skips on a developer's machine; fails in CI, where all must be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
