"""Every error that a caller can act on, and the exit code of each.

One root, one family per decision a caller takes. A broken invariant is not in
the family: it is a `...Bug` and may stop the process. Nothing here imports
anything of ours.
"""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import ClassVar

LONGEST_NAME = 100
"""Characters of a word for which a similar one is looked for."""


class ChaussetteError(Exception):
    """The root: something went wrong that we can name."""

    exit_code: ClassVar[int] = 1


class ConfigError(ChaussetteError):
    """What was asked for cannot be meant: fix the configuration or the flags."""


class SocketError(ChaussetteError):
    """A socket could not be bound, rebuilt or shared as asked."""


class AlreadyRunning(ChaussetteError):
    """Another arbiter holds the runtime directory or the pidfile."""


class SpawnError(ChaussetteError):
    """A process could not be started; carries the reason of the system."""


class AppLoadError(ChaussetteError):
    """The application could not be imported or is not what it should be.

    The exit code is the one that Gunicorn's users know: 3 for an exception at
    import, 4 (see `AppNotFound`) for a name that leads to nothing callable.
    """

    exit_code = 3


class AppNotFound(AppLoadError):
    """The module is there, but the name in it is not, or it is not callable."""

    exit_code = 4


class BackendUnavailable(ChaussetteError):
    """The backend's library is not installed; the message says what to install."""


class ControlError(ChaussetteError):
    """A control command failed; `errno` is Circus's number for the reason."""

    errno: ClassVar[int] = 5


class BadMessage(ControlError):
    """A control message that is not one (never JSON, a wrong type, too long)."""

    errno = 3


class UnknownCommand(ControlError):
    """No such command."""

    errno = 2


class NotAnswered(ControlError):
    """Nobody answered on the endpoint in time."""


class WantsKey(NotAnswered):
    """An endpoint asks for a key, and there is none that it could be given."""


class KeyRefused(NotAnswered):
    """An endpoint does not let this key in, or is not the one that it is for."""


class NotAllowed(ControlError):
    """A client's class is below that of the command."""


class NotRunning(ControlError):
    """The arbiter that was asked does not run."""


class LifecycleBug(AssertionError):
    """An event reached a process in a state where it cannot happen."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing comes near."""
    import difflib  # only when something is wrong

    if len(name) > LONGEST_NAME:  # comparing takes longer than a loop may wait
        return None
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing: the tail of an error about a name."""
    close = nearest(name, known)
    return f"; did you mean {close!r}?" if close else ""
