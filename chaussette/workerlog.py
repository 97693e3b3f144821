"""Where a worker's log lines go: a file that can be reopened, or standard error.

Owns the descriptor and the handler of the `chaussette` logger. Lines are
written with one write(2) each and without a lock, so that the handler of a
signal may log whatever it interrupted. Leaves the root logger alone: that is
the application's. A line that cannot be written is dropped and counted.
"""

from __future__ import annotations

import logging
import os

from chaussette import logformat
from chaussette.errors import ConfigError

LOGGER = logging.getLogger("chaussette")
_STANDARD_ERROR = 2


class LineHandler(logging.Handler):
    """Writes each record to a descriptor that stays the same over a reopening."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = "" if path == "-" else path
        self.fd = _open(self.path) if self.path else _STANDARD_ERROR
        self.dropped = 0
        self.setFormatter(logformat.formatter())

    def createLock(self) -> None:
        """None: see the module's docstring."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """One line, one write(2)."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - a bad format argument must not stop the server
            self.handleError(record)

    def write_text(self, text: str) -> None:
        """Some lines as they are, such as a traceback."""
        self._write(text.rstrip("\n"))

    def reopen(self) -> None:
        """Follows a rotated file: the descriptor then leads to the path's file of now.

        dup2(2) swaps the file under the descriptor in one step, for threads
        that write and for faulthandler, which remembers the number.
        """
        if not self.path:
            return
        fresh = _open(self.path)
        os.dup2(fresh, self.fd, inheritable=False)
        os.close(fresh)

    def _write(self, text: str) -> None:
        if self.dropped:
            text = f"{self.dropped} log lines were dropped\n{text}"
        try:
            os.write(self.fd, f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            self.dropped += 1
        else:
            self.dropped = 0


def start(level: str, output: str) -> LineHandler:
    """Sets the `chaussette` logger up; raises ConfigError when the file cannot be opened."""
    handler = LineHandler(output)
    for old in LOGGER.handlers[:]:
        LOGGER.removeHandler(old)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False
    return handler


def adopt(name: str) -> None:
    """Lets a library's logger write to the worker's log, for backends that wrap one."""
    library = logging.getLogger(name)
    library.handlers[:] = LOGGER.handlers
    library.setLevel(LOGGER.level)
    library.propagate = False


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot open the log file {path!r}: {error.strerror}") from None
