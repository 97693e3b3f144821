"""A running stack: circusd with the shipped ini, nginx with the shipped config.

Both end with their context, and everything they started with them; a process
left behind fails the test.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from townhall_browser import Browser

PATIENCE = 30.0
INI = """\
[circus]
include = {site}/circus.ini
runtime_dir = {prefix}/run

[socket:web]
port = 0

[watcher:web]
working_dir = {site}
{web}
[watcher:jobs]
working_dir = {site}
"""


class Stack:
    """`circusd` with the shipped circus.ini, but for a free port and other paths."""

    def __init__(
        self,
        site: Path,
        prefix: Path,
        *,
        web: str = "",
        env: dict[str, str] | None = None,
        launcher: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.prefix = prefix
        self.address = ("", 0)
        ini = prefix / "test.ini"
        ini.write_text(INI.format(site=site, prefix=prefix, web=web))
        self._command = [*launcher, sys.executable, "-m", "chaussette.cli.circusd", str(ini)]
        self._pass_fds = pass_fds
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TOWNHALL_VAR": str(prefix / "var"),
            **(env or {}),
        }
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Stack:
        self._process = subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=self._pass_fds,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_line(r"control endpoint at")
            web = next(one for one in self.ctl("listsockets")["sockets"] if one["name"] == "web")
            self.address = (web["host"], web["port"])
            # Connections wait in the socket's queue until the first worker is there.
            first = self.browser()
            assert first.get("/healthz").status == 200, self.log()
            first.close()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        status, left = self._stop()
        if kind is None:
            assert not left, f"left behind: {left}\n{self.log()}"
            assert status == 0, f"circusd ended with {status}\n{self.log()}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def browser(self, **headers: str) -> Browser:
        return Browser(self.address, headers)

    def ctl(self, *words: str) -> dict[str, Any]:
        """The reply to a command of circusctl."""
        endpoint = f"ipc://{self.prefix}/run/control.sock"
        done = subprocess.run(
            [sys.executable, "-m", "chaussette.cli.circusctl", "--json", "--endpoint", endpoint,
             "--timeout", str(PATIENCE), *words],
            env=self._env, capture_output=True, text=True, timeout=PATIENCE + 10, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.log()}"
        reply: dict[str, Any] = json.loads(done.stdout)
        return reply

    def pids(self, watcher: str) -> set[int]:
        return set(self.ctl("list", watcher)["pids"])

    def log(self) -> str:
        with self._changed:
            return "".join(self._lines)

    def wait_line(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Blocks until `times` lines of the log match; the last of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._found(pattern)) >= times, PATIENCE), (
                f"no line matches {pattern!r} ({times} times):\n{''.join(self._lines)}"
            )
            return self._found(pattern)[times - 1]

    def count_lines(self, pattern: str) -> int:
        """How many lines of the log match so far."""
        with self._changed:
            return len(self._found(pattern))

    def _found(self, pattern: str) -> list[re.Match[str]]:
        return [match for line in self._lines if (match := re.search(pattern, line))]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()

    def _stop(self) -> tuple[int, list[psutil.Process]]:
        """Exit status of circusd, and what had to be killed."""
        family = _family(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        left: list[psutil.Process] = []
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for one in family:
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                left.append(one)
                one.kill()
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status, left


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def find_nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


class Nginx:
    """nginx with the shipped configuration as it stands, on a unix socket.

    The prefix holds a link to it, and the two small files with the addresses.
    """

    def __init__(self, site: Path, prefix: Path, upstream: tuple[str, int]) -> None:
        self.prefix = prefix
        self.socket = str(prefix / "nginx.sock")
        (prefix / "nginx.conf").symlink_to(site / "nginx.conf")
        (prefix / "nginx").mkdir()
        (prefix / "nginx" / "listen.conf").write_text(f"listen unix:{self.socket};\n")
        (prefix / "nginx" / "upstream.conf").write_text("server {}:{};\n".format(*upstream))
        program = find_nginx()
        assert program is not None
        self._command = [
            program,
            "-p",
            str(prefix),
            "-c",
            "nginx.conf",
            "-e",
            "var/nginx-error.log",
        ]
        if os.geteuid() == 0:
            # Its workers would be another user, who may not enter the test's directory.
            self._command += ["-g", "user root;"]

    def __enter__(self) -> Nginx:
        # It goes to the background itself, once it listens.
        subprocess.run(self._command, check=True, timeout=PATIENCE)
        pid = int((self.prefix / "var" / "nginx.pid").read_text())
        self._pidfd = os.pidfd_open(pid)
        self._family = [psutil.Process(pid), *_family(pid)]
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        ended = select.select([self._pidfd], [], [], PATIENCE)[0]
        os.close(self._pidfd)
        _, left = psutil.wait_procs(self._family, 5)
        for one in left:
            one.kill()
        assert ended and not left, f"nginx was still there: {left}"

    def browser(self, **headers: str) -> Browser:
        return Browser(self.socket, headers)

    def access_log(self) -> str:
        return (self.prefix / "var" / "nginx-access.log").read_text()

    def error_log(self) -> str:
        return (self.prefix / "var" / "nginx-error.log").read_text()
