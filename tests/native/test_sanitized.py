"""The tests of the C parts again, in builds that look for memory errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from build_c import sanitized_environment

HERE = Path(__file__).parent
PARTS = (
    *"input filewrapper body wheel accesslog forwarded logbuf".split(),
    *"websocket_frames websocket_deflate websocket_opening".split(),
)
SUITE = [str(HERE / f"test_{part}.py") for part in PARTS]


def run(environment: dict[str, str], *options: str) -> None:
    # -s: pytest would keep the sanitizer's last words to itself.
    pytest_ = ["pytest", "-q", "-s", "-p", "no:cacheprovider"]
    command = [sys.executable, *options, "-m", *pytest_, *SUITE]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_with_address_and_undefined_behaviour_sanitizers() -> None:
    run(sanitized_environment())


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_in_pythons_debug_mode() -> None:
    run({**os.environ, "PYTHONMALLOC": "debug"}, "-X", "dev")
