"""How each manager is told to run the same things: configuration in, command line out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.ops import peers
from benchmarks.ops.births import ENVIRONMENT, Births
from benchmarks.ops.daemon import Daemon, free_port

CTL_TIMEOUT = 90.0
OURS = "chaussette"
EVERYTHING = "chaussette with everything"
HOOKS = "def yes(**_words):\n    return True\n"
PLUGIN = """\
from chaussette.arbiter.plugins import CircusPlugin


class Listener(CircusPlugin):
    name = "listener"

    def handle_recv(self, data):
        pass
"""
PYTHON_ENV = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def checkout_env(**more: str) -> dict[str, str]:
    """An environment in which this checkout is imported, wherever a process runs."""
    return {**PYTHON_ENV, "PYTHONPATH": str(peers.ROOT), **more}


def ini(section: str, **values: object) -> str:
    """One section of an ini file."""
    lines = [f"{name} = {value}" for name, value in values.items()]
    return "\n".join([f"[{section}]", *lines, "", ""])


class Circusd(Daemon):
    """Our circusd, and what its circusctl says."""

    def __init__(
        self,
        folder: Path,
        *sections: str,
        circus: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        head = ini("circus", runtime_dir=folder / "run", **(circus or {}))
        (folder / "circus.ini").write_text(head + "".join(sections))
        self.endpoint = f"ipc://{folder}/run/control.sock"
        command = [sys.executable, "-m", "chaussette.cli.circusd", str(folder / "circus.ini")]
        super().__init__(command, folder, checkout_env(**(env or {})))

    def ctl(self, *words: str, timeout: float = CTL_TIMEOUT) -> subprocess.CompletedProcess[str]:
        """Runs circusctl; how it ended and what it said."""
        return subprocess.run(
            [sys.executable, "-m", "chaussette.cli.circusctl", "--endpoint", self.endpoint,
             "--timeout", str(timeout), *words],
            env={**os.environ, **checkout_env()}, capture_output=True, text=True,
            timeout=timeout + 10, check=False,
        )  # fmt: skip

    def ask(self, *words: str) -> dict[str, object]:
        """The fields of circusctl's reply. Raises RuntimeError when it is no good one."""
        done = self.ctl("--json", *words)
        if done.returncode:
            raise RuntimeError(
                f"circusctl {' '.join(words)}: {done.stdout}{done.stderr}{self.log()}"
            )
        reply: dict[str, object] = json.loads(done.stdout)
        return reply

    def pids(self, watcher: str) -> list[int]:
        """The pids of a watcher's processes."""
        pids = self.ask("list", watcher)["pids"]
        assert isinstance(pids, list)
        return pids


def web_sections(
    backend: str, app: str, port: int, workers: int, folder: Path, more: str = ""
) -> str:
    """The socket and the watcher of a web application under our circusd."""
    words = f"--fd $(circus.sockets.web) --backend {backend} {more} {app}"
    return ini("socket:web", host="127.0.0.1", port=port, backlog=1024) + ini(
        "watcher:web",
        cmd=f"{sys.executable} -m chaussette {words}",
        working_dir=folder,
        numprocesses=workers,
        use_sockets=True,
        copy_env=True,
        graceful_timeout=30,
    )


class PeerCircus(Daemon):
    """PyPI's circusd 0.19 and its circusctl."""

    def __init__(
        self, python: Path, folder: Path, *sections: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._python = python
        self.endpoint = f"ipc://{folder}/ctl"
        head = ini("circus", endpoint=self.endpoint, pubsub_endpoint=f"ipc://{folder}/pub")
        (folder / "circus.ini").write_text(head + "".join(sections))
        command = [str(python), "-m", "circus.circusd", str(folder / "circus.ini")]
        super().__init__(command, folder, {**PYTHON_ENV, "PYTHONPATH": "", **(env or {})})

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs circusctl."""
        return subprocess.run(
            [str(self._python), "-m", "circus.circusctl", "--endpoint", self.endpoint,
             "--timeout", str(int(CTL_TIMEOUT)), *words],
            env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True,
            timeout=CTL_TIMEOUT + 10, check=False,
        )  # fmt: skip


def peer_circus_web(
    python: Path, backend: str, port: int, workers: int, folder: Path, births: Births
) -> PeerCircus:
    """PyPI's circus 0.19 with PyPI's chaussette 1.3 workers."""
    chaussette = Path(python).with_name("chaussette")
    sections = ini("socket:web", host="127.0.0.1", port=port, backlog=1024) + ini(
        "watcher:web",
        cmd=f"{chaussette} --fd $(circus.sockets.web) --backend {backend} demo.application",
        working_dir=folder,
        numprocesses=workers,
        use_sockets=True,
        copy_env=True,
        graceful_timeout=30,
    )
    return PeerCircus(
        python, folder, sections, env={ENVIRONMENT: births.name, "PYTHONPATH": str(folder)}
    )


def supervisord(
    python: Path, folder: Path, program: str, env: Mapping[str, str] | None = None
) -> Daemon:
    """supervisord with one section of programs."""
    text = ini(
        "supervisord",
        nodaemon="true",
        pidfile=folder / "supervisord.pid",
        logfile=folder / "supervisord.log",
        childlogdir=folder,
        minfds=8192,
        user=_user(),
    )
    (folder / "supervisord.conf").write_text(text + program)
    words = [str(python), "-W", "ignore", "-m", "supervisor.supervisord"]
    command = [*words, "-c", str(folder / "supervisord.conf")]
    return Daemon(command, folder, {"PYTHONPATH": "", **(env or {})})


def gunicorn(
    python: Path,
    folder: Path,
    births: Births,
    *,
    workers: int,
    port: int,
    flags: Sequence[str] = (),
    report_fork: bool = False,
) -> Daemon:
    """gunicorn with demo:application; it reports its births at fork, or when the app is loaded."""
    hook = f"""\
        import os, socket, time

        def post_fork(server, worker):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as births:
                report = f"{{os.getpid()}} {{time.monotonic_ns()}}".encode()
                births.sendto(report, "\\0{births.name}")
        """
    (folder / "conf.py").write_text(textwrap.dedent(hook) if report_fork else "")
    env = {**PYTHON_ENV, "PYTHONPATH": str(folder)}
    if not report_fork:
        env[ENVIRONMENT] = births.name
    words = ["-c", str(folder / "conf.py"), "-w", str(workers), "-b", f"127.0.0.1:{port}"]
    command = [str(python), "-m", "gunicorn", *words, "--graceful-timeout", "30", *flags]
    return Daemon([*command, "demo:application"], folder, env)


def tickers(kind: str, folder: Path, ticker: Path, births: Births, count: int) -> Daemon:
    """A manager, by its name, with `count` processes that report their birth and then wait.

    gunicorn runs workers of the hello application instead: it has nothing else.
    """
    command = f"{ticker} {births.name}"
    watcher = ini("watcher:p", cmd=command, numprocesses=count)
    if kind == OURS:
        return Circusd(folder, watcher)
    if kind == EVERYTHING:
        return loaded(folder, command, count)
    if kind == "circus":
        return PeerCircus(peers.python_of(peers.CIRCUS), folder, watcher)
    if kind == "supervisord":
        program = ini(
            "program:p",
            command=command,
            numprocs=count,
            process_name="%(program_name)s_%(process_num)03d",
            autorestart="true",
            stdout_logfile="NONE",
            stderr_logfile="NONE",
        )
        return supervisord(peers.python_of(peers.SUPERVISOR), folder, program)
    python = peers.python_of(peers.GUNICORN)
    return gunicorn(python, folder, births, workers=count, port=free_port(), report_fork=True)


def loaded(folder: Path, command: str, count: int) -> Circusd:
    """Our circusd with hooks, a plugin, streams to files, the statsd process and containment."""
    (folder / "bench_hooks.py").write_text(HOOKS)
    (folder / "bench_plugin.py").write_text(PLUGIN)
    options = {
        "stdout_stream.filename": folder / "out.log",
        "stderr_stream.filename": folder / "err.log",
        "hooks.after_start": "bench_hooks.yes",
        "hooks.before_stop": "bench_hooks.yes",
        "memory_max": "1G",
        "containment": "best-effort",
    }
    return Circusd(
        folder,
        ini("watcher:p", cmd=command, numprocesses=count, **options),
        ini("plugin:listener", use="bench_plugin.Listener"),
        circus={"statsd": True},
        env={"PYTHONPATH": f"{peers.ROOT}:{folder}"},
    )


def many_tickers(
    kind: str, folder: Path, ticker: Path, births: Births, names: Sequence[str], count: int
) -> Circusd | PeerCircus:
    """A circusd, ours or PyPI's, with several watchers of the same processes."""
    sections = [ini(f"watcher:{name}", cmd=f"{ticker} {births.name}", numprocesses=count)
                for name in names]  # fmt: skip
    if kind == OURS:
        return Circusd(folder, *sections)
    return PeerCircus(peers.python_of(peers.CIRCUS), folder, *sections)


def listens(daemon: Circusd | PeerCircus, within: float) -> bool:
    """Waits until its control endpoint can be connected to; False when it does not come."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(daemon.endpoint.removeprefix("ipc://"))
            return True
        daemon.rest(0.005)
    return False


def chaussette_workers(folder: Path, births: Births, count: int) -> Daemon:
    """Our circusd with that many workers of the hello application."""
    return Circusd(
        folder,
        web_sections("wsgiref", "demo:application", 0, count, folder),
        env={ENVIRONMENT: births.name},
    )


def hang_up(daemon: Daemon) -> None:
    """gunicorn's reload."""
    daemon.send(signal.SIGHUP)


def _user() -> str:
    import pwd  # only for supervisord, which warns when root is not named

    return pwd.getpwuid(os.getuid()).pw_name
