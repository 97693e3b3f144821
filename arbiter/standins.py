"""Stand-ins for Circus's helpers that programs import beside `get_arbiter`.

`from circus.util import …`, `from circus.pidfile import Pidfile` and the like
become `from chaussette.arbiter.standins import …`; docs/library.md has the list.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import sys
from pathlib import Path

from chaussette import logformat
from chaussette.arbiter import pidfile
from chaussette.arbiter.logs import configure_from_file
from chaussette.control.circus import CallError
from chaussette.errors import AlreadyRunning

__all__ = [
    "DEFAULT_ENDPOINT_DEALER",
    "DEFAULT_ENDPOINT_STATS",
    "DEFAULT_ENDPOINT_SUB",
    "CallError",
    "Pidfile",
    "check_future_exception_and_log",
    "configure_logger",
    "daemonize",
    "logger",
]
DEFAULT_ENDPOINT_DEALER = "tcp://127.0.0.1:5555"
DEFAULT_ENDPOINT_SUB = "tcp://127.0.0.1:5556"
DEFAULT_ENDPOINT_STATS = "tcp://127.0.0.1:5557"
logger = logging.getLogger("chaussette")


def daemonize() -> None:
    """Goes on in a session of its own, in the background; returns only there.

    The directory is kept, and so are descriptors; the standard streams become
    /dev/null. See daemon(7).
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


class Pidfile:
    """A file that holds a program's pid; an arbiter that is given the same one leaves it alone."""

    def __init__(self, fname: str) -> None:
        self.fname = fname
        self.pid: int | None = None
        self._held: pidfile.Pidfile | None = None

    def create(self, pid: int) -> None:
        """Writes our own pid. Raises RuntimeError when another process holds the file."""
        if pid != os.getpid():
            raise ValueError(f"pid {pid} is not ours ({os.getpid()})")
        try:
            self._held = pidfile.Pidfile(self.fname)
        except AlreadyRunning as error:
            raise RuntimeError(str(error)) from None
        self.pid = pid

    def validate(self) -> int | None:
        """The pid in the file where its process lives and holds it, or None."""
        try:
            pidfile.Pidfile(self.fname).close() if os.path.exists(self.fname) else None
        except AlreadyRunning:
            return int(Path(self.fname).read_text("ascii"))
        return None

    def unlink(self) -> None:
        """Removes the file, where it is ours."""
        if self._held is not None:
            self._held.close()
            self._held = None


def check_future_exception_and_log(
    future: concurrent.futures.Future[None],
) -> BaseException | None:
    """What a start has failed with, which is logged, or None."""
    error = future.exception() if future.done() else None
    if error is not None:
        logger.error("%s: %s", type(error).__name__, error)
    return error


def configure_logger(
    logger: logging.Logger,
    level: str | int = "INFO",
    output: str = "-",
    loggerconfig: str | None = None,
    name: str | None = None,
) -> None:
    """Sends a logger to a file, or to standard output for `-`; or as a file of logging's says.

    An arbiter that was given loglevel or logoutput does so itself when it starts.
    """
    del name
    if loggerconfig and loggerconfig.lower().strip() != "default":
        configure_from_file(loggerconfig)
        return
    handler = logging.StreamHandler(sys.stdout) if output == "-" else logging.FileHandler(output)
    handler.setFormatter(logformat.formatter())
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    logger.handlers[:] = [handler]
