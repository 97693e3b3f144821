"""What is wrong with settings that only the system can tell: users, groups, directories.

Asked before anything starts, and before anything is changed while it runs.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator

from chaussette.arbiter.admission import faults_of_access
from chaussette.arbiter.containment.layout import survey
from chaussette.arbiter.containment.outlook import contradiction, look_out
from chaussette.arbiter.sinks import check_sink
from chaussette.arbiter.users import look_up
from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings import variables
from chaussette.settings.load import StackConfig
from chaussette.settings.watcher import WatcherSettings, containment_mode, scaling_faults


def check_system(config: StackConfig) -> None:
    """Checks what only the system can tell: users, groups, log directories.

    Raises ConfigError that lists everything found.
    """
    errors: list[str] = []
    for watcher in config.watchers:
        errors += [f"[watcher:{watcher.name}] {error}" for error in faults_of(watcher)]
    errors += [f"[circus] {error}" for error in faults_of_access(config.arbiter)]
    if errors:
        raise ConfigError("\n".join(errors))


def faults_of(watcher: WatcherSettings) -> Iterator[str]:
    """What is wrong with one watcher, in a line each."""
    for check in (_check_identity, _check_streams, _check_containment):
        try:
            check(watcher)
        except ConfigError as error:
            yield str(error)
    yield from scaling_faults(watcher)


def faults_of_command(watcher: WatcherSettings, sockets: Iterable[str]) -> Iterator[str]:
    """What a file's loader would say of a watcher that came by a command."""
    known = list(sockets)
    text = " ".join((watcher.cmd, watcher.args, *watcher.argv))
    named = [name[8:] for name in variables.names_in(text) if name.startswith("sockets.")]
    for name in (*named, *watcher.sockets, watcher.stdin_socket or ""):
        if name and name.lower() not in known:
            yield (
                f"there is no socket {name!r} (sockets: {', '.join(known) or 'none'})"
                + did_you_mean(name.lower(), known)
            )
    if named and not watcher.use_sockets:
        yield "cmd names a socket, but use_sockets is off"
    if watcher.on_demand and not (watcher.use_sockets or watcher.stdin_socket):
        yield "on_demand needs use_sockets or stdin_socket"
    if not (watcher.cmd.strip() or watcher.argv):
        yield "cmd is empty"
    if not watcher.shell:
        try:
            shlex.split(watcher.cmd), shlex.split(watcher.args)
        except ValueError as error:
            yield f"cmd = {watcher.cmd!r}: {error}"


def _check_identity(watcher: WatcherSettings) -> None:
    if watcher.uid is not None or watcher.gid is not None:
        look_up(watcher.uid, watcher.gid)
    if (
        watcher.working_dir
        and "circus." not in watcher.working_dir
        and not os.path.isdir(watcher.working_dir)
    ):
        raise ConfigError(f"working_dir = {watcher.working_dir!r}: there is no such directory")
    if watcher.numprocesses > 1 and watcher.singleton:
        raise ConfigError(f"numprocesses = {watcher.numprocesses}, but it is a singleton")


def _check_containment(watcher: WatcherSettings) -> None:
    if fault := contradiction(watcher):
        raise ConfigError(fault)
    if containment_mode(watcher) == "strict" and (faults := look_out(watcher, survey()).faults()):
        raise ConfigError("; ".join(faults))


def _check_streams(watcher: WatcherSettings) -> None:
    for channel, options in (("stdout", watcher.stdout_stream), ("stderr", watcher.stderr_stream)):
        texts = [value for value in options.values() if isinstance(value, str)]
        if texts and not any(True for text in texts for _ in variables.names_in(text)):
            check_sink(options, channel)
