"""Starts one process: the only place in the arbiter that does.

`subprocess` goes through vfork(2) here: there is no preexec_fn, so no Python
code runs between fork and exec. What a spawn call cannot do (resource limits,
control groups, LISTEN_PID) is left to launch.py, at the price of one Python start.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaussette.arbiter.command import Command
from chaussette.arbiter.users import Identity
from chaussette.errors import SpawnError
from chaussette.settings.watcher import RLIMITS, WatcherSettings

_SPAWNING = threading.Lock()
SHELL = "/bin/sh"
_ENTER = """\
count=$1; shift
while [ "$count" -gt 0 ]; do
    echo 0 > "$1" || exit 127
    shift; count=$((count - 1))
done
exec "$@"
"""
"""Enters the control groups whose files come first, and becomes the rest."""
_LAUNCH = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True)
class Descriptors:
    """What becomes of the standard streams, and which others are inherited.

    Each stream is a descriptor, or a constant of `subprocess`, or None for the
    arbiter's own.
    """

    stdin: int | None = subprocess.DEVNULL
    stdout: int | None = None
    stderr: int | None = None
    inherited: Sequence[int] = ()
    doors: Sequence[str] = ()
    """Files of control groups that the process writes itself into before it execs."""
    moves: Sequence[tuple[int, int]] = ()
    """Inherited descriptors and the numbers that they get in the process, both ascending."""


def spawn(
    command: Command, settings: WatcherSettings, identity: Identity, descriptors: Descriptors
) -> int:
    """Starts the command in a session of its own and returns its pid.

    The caller waits for it. Raises SpawnError with the system's reason.
    """
    program, argv, who = _launched(command, settings, identity, descriptors)
    try:
        with _inheritable(descriptors.inherited):
            process = subprocess.Popen(
                argv,
                executable=program,
                env=dict(command.env),
                cwd=command.working_dir,
                stdin=descriptors.stdin,
                stdout=descriptors.stdout,
                stderr=descriptors.stderr,
                # All our descriptors close on exec. Having the child close what
                # it does not know makes the 500th start twice as slow as the first.
                close_fds=False,
                start_new_session=True,
                umask=-1 if settings.umask is None else settings.umask,
                restore_signals=True,
                **who,
            )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SpawnError(_reason(error, command)) from None
    # The arbiter waits through a pidfd; Popen must not think it has to.
    process.returncode = 0
    if "nofile" not in settings.rlimits:
        _restore_nofile(process.pid)
    return process.pid


@contextlib.contextmanager
def _inheritable(fds: Sequence[int]) -> Iterator[None]:
    # A program may run several arbiters in threads: no process of the one shall
    # get the sockets of the other.
    with _SPAWNING:
        for fd in fds:
            os.set_inheritable(fd, True)
        try:
            yield
        finally:
            for fd in fds:
                os.set_inheritable(fd, False)


def seal_descriptors() -> None:
    """Makes sure that nothing that we were started with leaks into processes."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _shell_will_do(
    command: Command,
    settings: WatcherSettings,
    identity: Identity,
    moves: Sequence[tuple[int, int]],
) -> bool:
    """Whether control groups are all that is to be entered: then dash does it in a tenth of the
    time that Python takes to start. (Other shells add variables to the environment, and this
    one calls a program by its path, so that a program of another name is not for it.)
    """
    return (
        not settings.rlimits
        and not settings.listen_pid
        and not moves
        and (identity.uid, identity.gid, identity.groups) == (None, None, None)
        and Path(command.program).name == Path(command.argv[0]).name
        and _is_dash()
    )


@functools.cache
def _is_dash() -> bool:
    return Path(SHELL).resolve().name == "dash"


def _launched(
    command: Command, settings: WatcherSettings, identity: Identity, descriptors: Descriptors
) -> tuple[str, list[str], dict[str, Any]]:
    doors, moves = descriptors.doors, descriptors.moves
    if not settings.rlimits and not settings.listen_pid and not doors and not moves:
        who: dict[str, Any] = {
            "user": identity.uid,
            "group": identity.gid,
            "extra_groups": identity.groups,
        }
        given = {key: value for key, value in who.items() if value is not None}
        return command.program, list(command.argv), given
    if _shell_will_do(command, settings, identity, moves):
        words = [str(len(doors)), *doors, command.program, *command.argv[1:]]
        return SHELL, [SHELL, "-c", _ENTER, SHELL, *words], {}
    spec = {
        "doors": list(doors),
        "moves": list(moves),
        "limits": {RLIMITS[name]: value for name, value in settings.rlimits.items()},
        "uid": identity.uid,
        "gid": identity.gid,
        "groups": identity.groups,
        "listen_pid": settings.listen_pid,
    }
    python = sys.executable
    return (
        python,
        [python, "-I", "-S", _LAUNCH, json.dumps(spec), command.program, *command.argv],
        {},
    )


def _reason(error: Exception, command: Command) -> str:
    if isinstance(error, OSError):
        if error.filename == command.working_dir and command.working_dir is not None:
            return f"working_dir {command.working_dir!r}: {error.strerror}"
        return f"{command.program}: {error.strerror}"
    return f"{command.program}: {error}"


# -- the limit of open files --------------------------------------------------


class OpenFiles:
    """The arbiter's own limit of open files, raised once; processes get the old one."""

    raised_from: tuple[int, int] | None = None

    @classmethod
    def make_room(cls, needed: int) -> None:
        """Raises the soft limit towards the hard one where `needed` does not fit."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if needed <= soft or soft == hard:
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(needed * 2, soft), hard), hard))
        if cls.raised_from is None:
            cls.raised_from = (soft, hard)


def _restore_nofile(pid: int) -> None:
    if OpenFiles.raised_from is None:
        return
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, OpenFiles.raised_from)
    except (PermissionError, ProcessLookupError):
        # Gone already, or another user's: it keeps the higher limit.
        return
