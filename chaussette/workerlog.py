"""Where a worker's log lines go: a file that can be reopened, or standard error.

Owns the descriptor. Lines are written with one write(2) each and without a
lock, so that the handler of a signal may log whatever it interrupted; one that
cannot be written is dropped and counted.

`logging`, with what it imports, is a tenth of a small worker's memory, so that
lines are made without it as long as nobody else has imported it. From `join`
on, they go through its logger `chaussette`, whose handler writes here. The root
logger is left alone: that is the application's.
"""

from __future__ import annotations

import os
import sys

from chaussette import logformat
from chaussette.errors import ConfigError

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    import logging

_STANDARD_ERROR = 2
_NAME = "chaussette"
_LEVELS = {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "INFO": 20, "DEBUG": 10}
"""By the numbers of `logging`."""


class LineFile:
    """A descriptor for lines that stays the same over a reopening."""

    def __init__(self, path: str) -> None:
        self.path = "" if path == "-" else path
        self.fd = _open(self.path) if self.path else _STANDARD_ERROR
        self.dropped = 0

    def write_text(self, text: str) -> None:
        """Some lines as they are, such as a traceback."""
        text = text.rstrip("\n")
        if self.dropped:
            text = f"{self.dropped} log lines were dropped\n{text}"
        try:
            os.write(self.fd, f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            self.dropped += 1
        else:
            self.dropped = 0

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


class WorkerLog:
    """The log of this process. Before `start`, lines go to standard error."""

    def __init__(self) -> None:
        self._file = LineFile("-")
        self._level = "INFO"
        self._logger: logging.Logger | None = None

    def start(self, level: str, output: str) -> LineFile:
        """Begins to write; raises ConfigError when the file cannot be opened."""
        self._file = LineFile(output)
        self._level = level.upper()
        self._logger = None
        if "logging" in sys.modules:  # what it has of us is of an earlier start
            import logging

            ours = logging.getLogger(_NAME)
            ours.handlers.clear()
            ours.setLevel(logging.NOTSET)
        self.join()
        return self._file

    def join(self) -> None:
        """Goes through `logging` from now on, if it is loaded: for when others may have done so.

        A logger that the application has set up itself stays as it is.
        """
        if "logging" not in sys.modules or self._logger is not None:
            return
        import logging

        from chaussette import loghandler

        logger = logging.getLogger(_NAME)
        if not logger.handlers and logger.level == logging.NOTSET:
            logger.addHandler(loghandler.LineHandler(self._file.write_text))
            logger.setLevel(self._level)
            logger.propagate = False
        self._logger = logger

    def adopt(self, name: str) -> None:
        """Lets a library's logger write here, for backends that wrap one."""
        import logging

        self.join()
        ours, library = logging.getLogger(_NAME), logging.getLogger(name)
        library.handlers[:] = ours.handlers
        library.setLevel(ours.level)
        library.propagate = False

    def debug(self, message: str, *args: object) -> None:
        """What only a developer wants to know."""
        self._log("DEBUG", message, args)

    def info(self, message: str, *args: object) -> None:
        """What happens in the life of the worker."""
        self._log("INFO", message, args)

    def warning(self, message: str, *args: object) -> None:
        """What may need attention."""
        self._log("WARNING", message, args)

    def error(self, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """What went wrong, with its traceback if there is one."""
        self._log("ERROR", message, args, exc_info)

    def _log(
        self,
        level: str,
        message: str,
        args: tuple[object, ...],
        error: BaseException | None = None,
    ) -> None:
        if self._logger is not None:
            self._logger.log(_LEVELS[level], message, *args, exc_info=error)
        elif _LEVELS[level] >= _LEVELS[self._level]:
            text = logformat.line(level, message % args if args else message)
            self._file.write_text(text if error is None else f"{text}\n{_traceback(error)}")


LOGGER = WorkerLog()


def start(level: str, output: str) -> LineFile:
    """See WorkerLog.start."""
    return LOGGER.start(level, output)


def adopt(name: str) -> None:
    """See WorkerLog.adopt."""
    LOGGER.adopt(name)


def _traceback(error: BaseException) -> str:
    try:
        import traceback  # half a megabyte, when it is needed
    except (ImportError, OSError):  # there is no descriptor left to read it with
        return f"{type(error).__qualname__}: {error}"
    return "".join(traceback.format_exception(error))


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot open the log file {path!r}: {error.strerror}") from None
