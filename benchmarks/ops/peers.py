"""Virtual environments for the peers, made on demand below .cache/peers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "peers"
INSTALL_TIMEOUT = 300.0


class PeerUnavailable(Exception):
    """A peer cannot be installed here: no index, or it does not build."""


@dataclass(frozen=True)
class Peer:
    """What one environment holds; `plain` are installed without their dependencies."""

    name: str
    packages: tuple[str, ...]
    plain: tuple[str, ...] = ()


CIRCUS = Peer("circus", ("circus==0.19.0", "chaussette==1.3.0", "six", "greenlet"))
MEINHELD = Peer("circus-meinheld", CIRCUS.packages, plain=("meinheld==1.0.2",))
SUPERVISOR = Peer("supervisor", ("supervisor==4.3.0", "setuptools < 81"))
GUNICORN = Peer("gunicorn", ("gunicorn==27.0.1",))


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment, made first where it is missing.

    Raises PeerUnavailable with pip's last line.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    place = CACHE / f"{peer.name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = place / "bin" / "python"
    with _lock(place.with_suffix(".lock")):
        done = place / "complete"
        wanted = "\n".join((*peer.packages, *peer.plain))
        if done.exists() and done.read_text() == wanted:
            return python
        print(f"making the environment of {peer.name} ...", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(place)])
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, *peer.packages])
        if peer.plain:
            _run([*pip, "--no-deps", *peer.plain])
        done.write_text(wanted)
    return python


def versions(python: Path) -> dict[str, str]:
    """The distributions of an environment and their versions."""
    script = (
        "import importlib.metadata as m\n"
        "for d in m.distributions(): print(d.metadata['Name'], d.version)"
    )
    done = subprocess.run(
        [str(python), "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return dict(line.split() for line in sorted(done.stdout.splitlines()))


def _run(command: list[str]) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        subprocess.run(
            command, check=True, env=env, capture_output=True, text=True, timeout=INSTALL_TIMEOUT
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "no reason given").strip().splitlines()
        raise PeerUnavailable(lines[-1] if lines else str(error)) from None
    except subprocess.TimeoutExpired:
        raise PeerUnavailable(f"not installed within {INSTALL_TIMEOUT:g} s") from None


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
