"""The life of one worker: from settings to an exit code.

Owns the order of things (log, sockets, hooks, application, backend), the
signals of the process and the promise that a drain ends in time. It knows the
arbiter through inherited descriptors, environment, signals and its scoreboard
slot only, so it lives the same under any socket manager or under none.
"""

from __future__ import annotations

import contextlib
import enum
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from chaussette import application, listener, workerlog
from chaussette.application import Application
from chaussette.backends import registry
from chaussette.backends.base import Backend, Reopens, Task
from chaussette.errors import ChaussetteError
from chaussette.notify import Notifier
from chaussette.scoreboard import WorkerState, slot_from_environment
from chaussette.settings.server import ServerSettings

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any

WATCHDOG_MARGIN = 1.0
"""Seconds past graceful_timeout that a backend has to cut what is left by itself."""


class Phase(enum.Enum):
    """How far a worker has come."""

    BOOTING = enum.auto()
    SERVING = enum.auto()
    DRAINING = enum.auto()


_STATES = {
    Phase.BOOTING: WorkerState.BOOTING,
    Phase.SERVING: WorkerState.SERVING,
    Phase.DRAINING: WorkerState.DRAINING,
}


class Runner:
    """One worker. `run` is called once, in the main thread."""

    def __init__(self, settings: ServerSettings, app: Application | None = None) -> None:
        self._settings = settings
        self._app = app
        self._notifier = Notifier()
        self._slot = slot_from_environment(os.environ)
        self._listeners = listener.Listeners()
        self._log: workerlog.LineFile | None = None
        self._backend: Backend | None = None
        self._backend_name = ""
        self._phase = Phase.BOOTING

    def run(self) -> int:
        """Serves until told to stop; the exit code of the process."""
        try:
            self._boot()
            assert self._backend is not None
            self._backend.serve(self._ready)
        except ChaussetteError as error:
            return self._failed(f"{error}", error.exit_code)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
            return self._failed("the server called sys.exit()", code) if code else self._finish()
        except Exception:  # noqa: BLE001 - the wall around backend and application: into the log
            import traceback  # half a megabyte, when it is needed

            return self._failed(traceback.format_exc(), 1)
        return self._finish()

    def _boot(self) -> None:
        """Everything up to a backend that could serve.

        The order matters: signals first, so that a worker can always be
        stopped; sockets before monkey-patching, so that they are plain ones;
        patching before any of the user's code is imported.
        """
        settings = self._settings
        self._log = workerlog.start(settings.log_level, settings.log_output)
        faulthandler.enable(file=self._log.fd, all_threads=True)  # SIGABRT leaves the stacks
        self._enter(Phase.BOOTING)
        self._catch_signals()
        self._open_sockets()
        self._find_places()
        self._load()
        self._build_backend()
        workerlog.LOGGER.join()  # for its library

    def check(self) -> str:
        """Does all of a start that leaves no trace; says ok, or raises ChaussetteError."""
        addresses = listener.plan(self._settings, os.environ, os.getpid())
        self._find_places()
        self._load()
        assert self._app is not None
        with contextlib.ExitStack() as opened:
            sockets = [opened.enter_context(listener.stand_in(each)) for each in addresses]
            registry.check(self._backend_name, self._settings, self._app.interface, sockets)
        where = ", ".join(str(each) for each in addresses)
        return f"ok: {self._what()} on {where}"

    def _find_places(self) -> None:
        if self._settings.chdir:
            _change_directory(self._settings.chdir)
        application.extend_path(self._settings.python_path)

    def _open_sockets(self) -> None:
        addresses = listener.plan(self._settings, os.environ, os.getpid())
        self._listeners.open(addresses, self._settings)
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)  # they are taken: a child must not believe it has them

    def _load(self) -> None:
        settings = self._settings
        name = settings.backend or _default_backend(settings, self._app)
        if name:
            registry.get(name).prepare(settings)
            workerlog.LOGGER.join()
        call_hook("pre-hook", settings.pre_hook, settings)
        if self._app is None:
            sys.argv[1:] = settings.app_args
            self._app = application.load(settings.application, settings.interface)
            workerlog.LOGGER.join()
        self._backend_name = name or registry.default_for(self._app.interface)
        if not name:  # its interface had to be seen first
            registry.get(self._backend_name).prepare(settings)

    def _build_backend(self) -> None:
        assert self._app is not None
        sockets = self._listeners.sockets
        registry.check(self._backend_name, self._settings, self._app.interface, sockets)
        task = Task(
            self._app, sockets, self._settings, self._slot, shared=self._listeners.are_inherited
        )
        self._backend = registry.get(self._backend_name)(task)

    def _ready(self) -> None:
        if self._phase is not Phase.BOOTING:
            return
        self._enter(Phase.SERVING)
        _tell_the_reloader()
        workerlog.LOGGER.info(self._serving())
        if not self._drains():  # a signal may have come since
            self._notifier.ready()

    def _drains(self) -> bool:
        return self._phase is Phase.DRAINING

    def _serving(self) -> str:
        tls = self._settings.certfile is not None
        urls = ", ".join(listener.url(each, tls) for each in self._listeners.sockets)
        return f"serving {self._what()} on {urls} (pid {os.getpid()})"

    def _what(self) -> str:
        assert self._app is not None
        return f"{self._app.name} ({self._app.interface.value}) with {self._backend_name}"

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._slot.enter(_STATES[phase], os.getpid(), time.monotonic_ns())

    def _catch_signals(self) -> None:
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {
            signal.SIGTERM: self._on_term,
            signal.SIGINT: self._on_interrupt,
            signal.SIGQUIT: self._on_quit,
            signal.SIGUSR1: self._on_reopen,
        }
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        """The first one drains; a second one, or one before anything is served, ends it."""
        if self._phase is not Phase.SERVING:
            self._on_quit(number, frame)
        self._enter(Phase.DRAINING)
        self._watch_the_drain()
        workerlog.LOGGER.info("draining (%s)", signal.Signals(number).name)
        assert self._backend is not None
        self._backend.stop()
        # A patched socket cannot wait inside a signal handler, and says so by
        # an exception of its own kind; the drain goes on untold.
        with contextlib.suppress(Exception):
            self._notifier.stopping()

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """^C drains in a terminal; an arbiter that sends SIGINT means at once."""
        if self._notifier.under_arbiter:
            self._on_quit(number, frame)
        self._on_term(number, frame)

    def _on_quit(self, number: int, _frame: FrameType | None) -> None:
        """Leaves at once.

        By _exit(2), because an exception raised here could be caught by
        whatever code the signal interrupted, and a stuck one would never see it.
        """
        workerlog.LOGGER.info("stopped (%s)", signal.Signals(number).name)
        self._listeners.remove_paths()
        os._exit(0)

    def _on_reopen(self, _number: int, _frame: FrameType | None) -> None:
        for log in (self._log, self._backend):
            try:
                if isinstance(log, workerlog.LineFile | Reopens):
                    log.reopen()
            except ChaussetteError as error:
                workerlog.LOGGER.error("%s; the log goes on in the old one", error)

    def _watch_the_drain(self) -> None:
        """Ends the process when the drain lasts too long, whatever keeps it.

        faulthandler's timer is a thread of C that needs neither the GIL nor the
        main thread, is out of monkey-patching's reach, leaves the application
        its SIGALRM, and writes where every thread is stuck before it exits (1).
        It is never disarmed: it guards post_hook and the joining of threads at
        the interpreter's end, too.
        """
        assert self._log is not None
        limit = self._settings.graceful_timeout + WATCHDOG_MARGIN
        faulthandler.dump_traceback_later(limit, exit=True, file=self._log.fd)

    def _finish(self) -> int:
        if self._phase is Phase.SERVING:  # it stopped by itself: max_requests
            self._enter(Phase.DRAINING)
            self._watch_the_drain()
        self._listeners.close()
        try:
            call_hook("post-hook", self._settings.post_hook, self._settings)
        except ChaussetteError as error:
            return self._failed(f"{error}", error.exit_code)
        workerlog.LOGGER.debug("finished")
        return 0

    def _failed(self, text: str, code: int) -> int:
        """Says why, once: to the arbiter if it asked for it, or else on standard error."""
        self._listeners.close()
        _tell_the_reloader()
        text = text.rstrip("\n")
        if self._phase is not Phase.BOOTING:
            workerlog.LOGGER.error("%s", text)
        elif not self._notifier.boot_error(text):
            self._print(f"chaussette: error: {text}")
        return code

    def _print(self, text: str) -> None:
        log = self._log
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - a person may be waiting at the terminal
        if log is not None and log.path:
            log.write_text(text)


def run(settings: ServerSettings, app: Application | None = None) -> int:
    """Runs a worker in this process; its exit code."""
    return Runner(settings, app).run()


def check(settings: ServerSettings) -> str:
    """Loads the application and says ok. Raises ChaussetteError that says what is wrong."""
    return Runner(settings).check()


def _tell_the_reloader() -> None:
    """Names the loaded files to a reloader that waits for them, ready or failed."""
    if "CHAUSSETTE_RELOADER" in os.environ:
        from chaussette import reloader  # in development only; a worker need not carry it

        reloader.report_modules()


def call_hook(kind: str, name: str | None, settings: ServerSettings) -> None:
    """Calls a user's hook with the settings; AppLoadError when it raises, or is not there."""
    if name is None:
        return
    hook = application.load_object(name)
    try:
        hook(settings)
    except Exception as error:  # noqa: BLE001 - the user's code: told with its traceback
        raise application.user_error(f"{kind} {name!r} failed", error) from None


def _default_backend(settings: ServerSettings, app: Application | None) -> str:
    """The backend when none is named, or nothing when the application must be seen first."""
    if app is not None:
        return registry.default_for(app.interface)
    if settings.interface == "auto":
        return ""
    wsgi = settings.interface == "wsgi"
    return registry.default_for(application.Interface.WSGI if wsgi else application.Interface.ASGI)


def _change_directory(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise ChaussetteError(
            f"cannot change to the directory {path!r}: {error.strerror}"
        ) from None
