"""`--use-reloader`: a parent that keeps the socket and replaces the worker when a file changes.

Owns the sockets, the child processes and the watching. Never imports the
application: a broken one breaks the child alone, which shows its traceback, and
the parent waits for the next change. The files that count are those the child
says it has loaded, and their neighbours. For development only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chaussette import listener, workerlog
from chaussette.settings import flags
from chaussette.settings.declare import declared
from chaussette.settings.server import ServerSettings

ENVIRONMENT = "CHAUSSETTE_RELOADER"
"""In the child: the descriptor on which it says which files it has loaded."""
POLL_SECONDS = 0.5
SAFETY_SECONDS = 5.0
"""With watchfiles: how often to look all the same, should its events fail (inotify(7) limits)."""
_NOT_PASSED_ON = (
    "fd",
    "bind",
    "host",
    "port",
    "address_family",
    "backlog",
    "use_reloader",
    "workers",
)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_CLOSED = -1

Snapshot = Mapping[str, int]


def run(settings: ServerSettings) -> int:
    """Serves until told to stop; the exit code of the process."""
    workerlog.start(settings.log_level, settings.log_output)
    listeners = listener.Listeners()
    listeners.open(listener.plan(settings, os.environ, os.getpid()), settings)
    try:
        with Reloader(settings, [each.fileno() for each in listeners.sockets]) as reloader:
            reloader.run()
    finally:
        listeners.close()
    return 0


def report_modules() -> None:
    """In the child: tells the parent which files were loaded; once, ready or failed."""
    fd = os.environ.pop(ENVIRONMENT, "")
    if fd.isdecimal():
        with contextlib.suppress(OSError), os.fdopen(int(fd), "w", encoding="utf-8") as pipe:
            pipe.write("\0".join(loaded_files()))


def loaded_files() -> Iterator[str]:
    """The source files of modules that are somebody's work in progress."""
    settled = tuple(
        os.path.realpath(path) + os.sep for path in set(sysconfig.get_paths().values()) if path
    )
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.endswith(".py"):
            path = os.path.realpath(path)
            if not path.startswith(settled):
                yield path


def neighbourhood(files: Iterable[str]) -> list[str]:
    """The directories of some files, each once."""
    return sorted({os.path.dirname(path) for path in files})


def take_snapshot(files: Iterable[str], directories: Iterable[str]) -> Snapshot:
    """When each file, and each Python file of the directories, was changed last."""
    found: dict[str, int] = {}
    for directory in directories:
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            found.update(
                {each.path: _mtime(each.path) for each in entries if each.name.endswith(".py")}
            )
    found.update({path: _mtime(path) for path in files})
    return found


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """The files that were edited, made or removed in between."""
    return sorted(path for path in {*before, *after} if before.get(path, 0) != after.get(path, 0))


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def child_argv(settings: ServerSettings, fds: Iterable[int]) -> list[str]:
    """The command of the worker that serves the parent's sockets."""
    binds = [f"--bind=fd://{fd}" for fd in fds]
    words = ["--", settings.application, *settings.app_args]
    passed = flags.to_argv(settings, skip=_NOT_PASSED_ON)
    return [sys.executable, "-m", "chaussette", *passed, *binds, *words]


def child_environment(environ: Mapping[str, str], report_fd: int) -> dict[str, str]:
    """The parent's, without the settings: those are flags of the child by now."""
    taken = {f"CHAUSSETTE_{name.upper()}" for name in declared(ServerSettings)}
    kept = {name: value for name, value in environ.items() if name not in taken}
    return {**kept, ENVIRONMENT: str(report_fd)}


@dataclass
class Child:
    """One worker that the reloader started, and what it has said so far."""

    process: subprocess.Popen[bytes]
    pidfd: int
    report: int
    started: int
    said: bytearray = field(default_factory=bytearray)


class Reloader:
    """The parent's loop. Leaving the context ends every child that is left."""

    def __init__(self, settings: ServerSettings, fds: list[int]) -> None:
        self._settings = settings
        self._fds = fds
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self._current: Child | None = None
        self._stopping = False
        self._files = _first_files(settings)
        self._directories = _first_directories(settings)
        self._snapshot: Snapshot = take_snapshot(self._files, self._directories)
        self._watch = _FileEvents()

    def __enter__(self) -> Reloader:
        self._wake, alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        for number in (*_STOP_SIGNALS, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor tells
        self._selector.register(self._wake, selectors.EVENT_READ, self._signalled)
        self._selector.register(self._watch.fd, selectors.EVENT_READ, self._watch.drain)
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.stop()
        for child in self._children:
            child.process.kill()
            child.process.wait()

    def run(self) -> None:
        """Watches until the last child is gone after a signal to stop."""
        self._start()
        while not (self._stopping and not self._children):  # <- the reloader's main loop
            for key, _ in self._selector.select(self._watch.interval):
                key.data()
            if not self._stopping:
                self._look()

    def _start(self) -> None:
        started = time.time_ns()
        report, sender = os.pipe2(os.O_CLOEXEC)
        process = subprocess.Popen(
            child_argv(self._settings, self._fds),
            pass_fds=(*self._fds, sender),
            env=child_environment(os.environ, sender),
        )
        os.close(sender)
        os.set_blocking(report, False)
        child = Child(process, os.pidfd_open(process.pid), report, started)
        self._children.append(child)
        self._current = child
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._exited(child))
        self._selector.register(report, selectors.EVENT_READ, lambda: self._reported(child))
        self._watch.start(self._directories)

    def _look(self) -> None:
        """Replaces the worker when a file is not what it was."""
        found = take_snapshot(self._files, self._directories)
        edited = changed(self._snapshot, found)
        self._snapshot = found
        if edited:
            names = ", ".join(os.path.relpath(path) for path in edited)
            workerlog.LOGGER.info("%s changed: restarting", names)
            self._signal_all(signal.SIGTERM)  # they drain while the new one starts
            self._start()

    def _reported(self, child: Child) -> bool:
        """Takes what the child said; whether there may be more."""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(child.report, 65536)
            child.said += chunk
            if chunk:
                return True
            self._close_report(child)
        return False

    def _close_report(self, child: Child) -> None:
        self._selector.unregister(child.report)
        os.close(child.report)
        child.report = _CLOSED  # the number may be another child's from now on
        files = [path for path in bytes(child.said).decode().split("\0") if path]
        if files and child is self._current:
            self._follow(files, child.started)

    def _follow(self, files: list[str], started: int) -> None:
        """Watches what the worker has loaded.

        A file that was edited since the worker started may have been read
        before that or after it, so it counts as changed.
        """
        self._files = sorted({*_first_files(self._settings), *files})
        self._directories = sorted({*_first_directories(self._settings), *neighbourhood(files)})
        found = take_snapshot(self._files, self._directories)
        seen = {path: mtime if mtime < started else 0 for path, mtime in found.items()}
        self._snapshot = {**seen, **self._snapshot}
        self._watch.start(self._directories)

    def _exited(self, child: Child) -> None:
        while child.report != _CLOSED and self._reported(child):
            pass  # its last words come before its end
        if child.report != _CLOSED:  # a grandchild holds the other end
            self._close_report(child)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        self._children.remove(child)
        code = child.process.wait()
        if child is not self._current or self._stopping:
            return
        self._current = None
        if code == 0:  # it stopped by itself: max_requests
            self._start()
            return
        workerlog.LOGGER.warning("the worker ended (%s); waiting for a change", _how(code))

    def _signalled(self) -> None:
        for number in os.read(self._wake, 64):
            if number in _STOP_SIGNALS:
                self._stopping = True
                self._signal_all(
                    signal.SIGTERM if number == signal.SIGINT else signal.Signals(number)
                )
            elif number == signal.SIGUSR1:
                self._signal_all(signal.SIGUSR1)

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, number)


def _first_files(settings: ServerSettings) -> list[str]:
    """What the worker reads beside modules: the file of PasteDeploy."""
    name = settings.application
    return [os.path.abspath(name[6:].partition("#")[0])] if name.startswith("paste:") else []


def _first_directories(settings: ServerSettings) -> list[str]:
    """Where the application is looked for, before anything of it is loaded."""
    return [os.path.realpath(path) for path in (settings.chdir or ".", *settings.python_path)]


def _how(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name


class _FileEvents:
    """A descriptor that becomes readable when watchfiles sees something; without it, never."""

    def __init__(self) -> None:
        self.fd, self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._installed = importlib.util.find_spec("watchfiles") is not None
        self.interval = SAFETY_SECONDS if self._installed else POLL_SECONDS
        self._directories: list[str] = []
        self._stop = threading.Event()

    def drain(self) -> None:
        """Takes what was written; the caller looks for changes after that."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)

    def start(self, directories: list[str]) -> None:
        """Watches these directories from now on, and no others."""
        if not self._installed or directories == self._directories:
            return
        self.stop()
        self._directories, self._stop = directories, threading.Event()
        arguments = (directories, self._stop)
        threading.Thread(target=self._watch, args=arguments, daemon=True).start()

    def stop(self) -> None:
        """Ends the watching; the thread follows within its time slice."""
        self._stop.set()

    def _watch(self, directories: list[str], stop: threading.Event) -> None:
        import watchfiles  # an extra, used in development only

        there = [path for path in directories if os.path.isdir(path)]
        for _ in watchfiles.watch(
            *there, stop_event=stop, recursive=False, debounce=100, rust_timeout=500
        ):
            with contextlib.suppress(BlockingIOError):
                os.write(self._alarm, b"!")
