"""How new processes report that they live: one datagram each, with their own clock.

The receiver sleeps in recv(2) meanwhile, so that waiting costs the machine
nothing, and a late receiver changes no figure: the time is the sender's.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "BENCH_BIRTHS"
SOURCE = Path(__file__).with_name("ticker.c")


@dataclass(frozen=True)
class Birth:
    """A process that came up, and when (time.monotonic_ns)."""

    pid: int
    at_ns: int


class Births:
    """The socket that births are reported to."""

    def __init__(self) -> None:
        self.name = f"births-{uuid.uuid4().hex[:12]}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.name}")

    def wait(self, count: int, timeout: float) -> list[Birth]:
        """The next `count` births. Raises TimeoutError that says how many came."""
        deadline = time.monotonic() + timeout
        found: list[Birth] = []
        while len(found) < count:
            left = deadline - time.monotonic()
            try:
                self._socket.settimeout(max(0.001, left))
                pid, at = self._socket.recv(256).split()
            except TimeoutError:
                raise TimeoutError(
                    f"{len(found)} of {count} processes came up in {timeout:g} s"
                ) from None
            found.append(Birth(int(pid), int(at)))
        return found

    def forget(self) -> None:
        """Throws away what was reported so far."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(256):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Closes it."""
        self._socket.close()


def build_ticker(folder: Path) -> Path:
    """Compiles ticker.c. Raises FileNotFoundError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError(
            "a C compiler (cc) is needed for the process that reports its birth"
        )
    program = folder / "ticker"
    subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True, timeout=60)
    return program
