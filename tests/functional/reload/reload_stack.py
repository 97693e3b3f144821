"""What the tests of this folder start: circusd with the demo application, nginx before it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ops import proc
from benchmarks.ops.apps import write_app
from benchmarks.ops.load import Address, Load, Mix
from benchmarks.ops.managers import Circusd, web_sections

WORKERS = 2
PATIENCE = 30.0
SITE = Path(__file__).resolve().parents[3] / "examples" / "django_site"
MIX = Mix(new=3, kept=3, slow=4, rest=0.03)
BROKEN = "import a_module_that_is_nowhere\n"


class ReloadStack(Circusd):
    """The demo application under circusd, whose version can be changed."""

    def __init__(self, folder: Path, backend: str, workers: int = WORKERS) -> None:
        self.folder = folder
        self.version = 1
        write_app(folder)
        name = "demo:asgi" if backend in ASGI else "demo:application"
        super().__init__(folder, web_sections(backend, name, 0, workers, folder))

    def __enter__(self) -> ReloadStack:
        super().__enter__()
        try:
            # The client's connection waits until there is an endpoint, the command until
            # all workers are ready.
            self.ask("start", "web", "--waiting")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        sockets = self.ask("listsockets")["sockets"]
        assert isinstance(sockets, list)
        return sockets[0]["host"], sockets[0]["port"]

    def new_version(self) -> str:
        """Writes the next version of the application."""
        self.version += 1
        write_app(self.folder, self.version)
        return str(self.version)

    def break_version(self) -> None:
        """Writes one that cannot be imported."""
        self.version += 1
        write_app(self.folder, self.version, body=BROKEN)


ASGI = {"uvicorn", "hypercorn"}


class Nginx:
    """nginx with the example site's configuration as it stands, before a stack."""

    def __init__(self, folder: Path, upstream: tuple[str, int]) -> None:
        self.folder = folder
        self.address: Address = str(folder / "nginx.sock")
        shutil.copy(SITE / "nginx.conf", folder)
        (folder / "nginx").mkdir()
        (folder / "var").mkdir()
        (folder / "nginx" / "listen.conf").write_text(f"listen unix:{self.address};\n")
        (folder / "nginx" / "upstream.conf").write_text("server {}:{};\n".format(*upstream))
        self._command = [find_nginx() or "nginx", "-p", str(folder), "-c", "nginx.conf"]
        self._command += ["-e", "var/nginx-error.log"]
        if os.geteuid() == 0:
            # Its workers would be another user, who may not enter the test's directory.
            self._command += ["-g", "user root;"]

    def __enter__(self) -> Nginx:
        subprocess.run(self._command, check=True, timeout=PATIENCE)
        self._pid = int((self.folder / "var" / "nginx.pid").read_text())
        self._pidfd = os.pidfd_open(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        family = proc.descendants(self._pid)
        signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        ended = select.select([self._pidfd], [], [], PATIENCE)[0]
        os.close(self._pidfd)
        assert ended, f"nginx is still there, with {family}"

    def second_tries(self) -> list[str]:
        """Requests that nginx had to send to the workers twice: losses it has hidden."""
        lines = (self.folder / "var" / "nginx-access.log").read_text().splitlines()
        return [line for line in lines if "," in line.partition(" upstream ")[2]]

    def errors(self) -> str:
        """What it complained of."""
        return (self.folder / "var" / "nginx-error.log").read_text()


def find_nginx() -> str | None:
    """The program, or None."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


@contextmanager
def in_front(stack: ReloadStack, path: str) -> Iterator[tuple[Address, Nginx | None]]:
    """What clients connect to: the workers themselves, or nginx before them."""
    if path == "direct":
        yield stack.address, None
        return
    with Nginx(stack.folder, stack.address) as nginx:
        yield nginx.address, nginx


def versions(load: Load) -> Counter[str]:
    """How many answers came from each version."""
    return Counter(sample.version for sample in load.samples() if not sample.failure)
