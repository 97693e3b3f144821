"""From a watcher's settings to what is executed: words, program, environment.

Pure but for reading the file system to find the program; it starts nothing.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaussette import handover, notify, scoreboard
from chaussette.errors import SpawnError
from chaussette.settings import variables
from chaussette.settings.watcher import WatcherSettings

_ARBITERS_OWN = (
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    notify.ENVIRONMENT,
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)
_DEFAULT_PATH = os.defpath


@dataclass(frozen=True)
class Command:
    """What one process executes; `program` is a path, `argv[0]` what it is called."""

    program: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str | None


class Recipe:
    """How the processes of one generation are started: what they share, found out once."""

    def __init__(
        self, settings: WatcherSettings, arbiters: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings
        self._values = {
            "python": sys.executable,
            **(arbiters or {}),
            **variables.watcher_values(settings),
            **variables.environment_values({**os.environ, **settings.env}),
        }
        self._env = _base_environment(settings)
        self._programs: dict[tuple[str, str | None, str | None], str | None] = {}

    def values(self, wid: int, sockets: Mapping[str, int] | None = None) -> dict[str, str]:
        """What texts of the process `wid` may name; `sockets` are descriptors by name."""
        passed = {f"sockets.{name}": str(fd) for name, fd in (sockets or {}).items()}
        return {**self._values, **passed, "wid": str(wid)}

    def command(
        self, wid: int, sockets: Mapping[str, int], extra_env: Mapping[str, str]
    ) -> Command:
        """The command of one process; `extra_env` is added last.

        Raises SpawnError when the program is not found.
        """
        settings = self.settings
        values = self.values(wid, sockets)
        env = dict(self._env)
        env.update({name: variables.expand(value, values) for name, value in settings.env.items()})
        _add_paths(env, settings)
        env.update(extra_env)
        working_dir = settings.working_dir and variables.expand(settings.working_dir, values)
        argv = _words(settings, values)
        program = self._program(settings.executable or argv[0], env.get("PATH"), working_dir)
        return Command(program, tuple(argv), env, working_dir)

    def _program(self, wanted: str, path: str | None, working_dir: str | None) -> str:
        key = (wanted, path, working_dir)
        program = self._programs.get(key) or find_program(*key)
        if program is None:
            looked = path or os.environ.get("PATH", "")
            raise SpawnError(f"no program {wanted!r} on PATH ({looked})")
        self._programs[key] = program
        return program


def find_program(name: str, path: str | None, working_dir: str | None) -> str | None:
    """The program's path: by PATH of the process, of the arbiter, or beside our Python.

    The last makes `cmd = chaussette …` work from a virtual environment that
    nobody activated.
    """
    if "/" in name:
        place = Path(working_dir or ".") / name
        return str(place.absolute()) if _is_program(place) else None
    for where in (path, os.environ.get("PATH", _DEFAULT_PATH), str(Path(sys.executable).parent)):
        for directory in (where or "").split(os.pathsep):
            candidate = Path(directory or ".") / name
            if where and _is_program(candidate):
                return str(candidate.absolute())
    return None


def _is_program(path: Path) -> bool:
    return os.access(path, os.X_OK) and path.is_file()


def speaks_notify(settings: WatcherSettings) -> bool:
    """Whether the command is one that says by itself when it is ready."""
    if settings.readiness != "auto":
        return settings.readiness == "notify"
    words: Sequence[str] = settings.argv
    if not words:
        if "chaussette" not in settings.cmd:  # asked at each start, and splitting is slow
            return False
        try:
            words = shlex.split(settings.cmd)
        except ValueError:
            return False
    names = [Path(word).name for word in words[:6]]
    if "chaussette" not in names:
        return False
    at = names.index("chaussette")
    return at == 0 or names[at - 1] == "-m" or names[at - 1].startswith(("python", "exec", "env"))


def _words(settings: WatcherSettings, values: Mapping[str, str]) -> list[str]:
    if settings.argv:
        return [variables.expand(word, values) for word in settings.argv]
    text = variables.expand(f"{settings.cmd} {settings.args}".strip(), values)
    if settings.shell:
        shell_args = shlex.split(settings.shell_args or "")
        return ["/bin/sh", *shell_args, "-c", text]
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SpawnError(f"cmd = {text!r}: {error}") from None
    if not words:
        raise SpawnError("cmd is empty")
    return words


def _base_environment(settings: WatcherSettings) -> dict[str, str]:
    env = dict(os.environ) if settings.copy_env else {}
    for name in (*_ARBITERS_OWN, scoreboard.ENVIRONMENT, notify.ARBITER_PID, handover.ENVIRONMENT):
        env.pop(name, None)
    return env


def _add_paths(env: dict[str, str], settings: WatcherSettings) -> None:
    if settings.copy_path:
        _prepend(env, "PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    if settings.virtualenv:
        _use_virtualenv(env, settings.virtualenv, settings.virtualenv_py_ver)


def _use_virtualenv(env: dict[str, str], root: str, version: str | None) -> None:
    _prepend(env, "PATH", os.path.join(root, "bin"))
    env["VIRTUAL_ENV"] = root
    pattern = f"lib/python{version or '*'}/site-packages"
    for packages in sorted(Path(root).glob(pattern)):
        _prepend(env, "PYTHONPATH", str(packages))


def _prepend(env: dict[str, str], name: str, value: str) -> None:
    present = env.get(name) or (os.environ.get("PATH", _DEFAULT_PATH) if name == "PATH" else "")
    env[name] = f"{value}{os.pathsep}{present}" if present else value
