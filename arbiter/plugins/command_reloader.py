"""Restarts a watcher when a file that its command names has changed."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
from typing import Any

from chaussette.arbiter.plugins.base import CircusPlugin
from chaussette.errors import NotAnswered
from chaussette.settings.plugins import ReloaderOptions

log = logging.getLogger("chaussette.plugin.command_reloader")
Print = tuple[tuple[str, int, int, int], ...]
"""Of each file: real path, inode, time of change in ns, size."""


class CommandReloader(CircusPlugin):
    """Looks at the program, and at every file among the command's words."""

    name = "command_reloader"
    Options = ReloaderOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.prints: dict[str, Print] = {}

    def handle_init(self) -> None:
        """Begins to look, at once, so that no change is missed."""
        with contextlib.suppress(NotAnswered):
            self.look_after()
        self.period(self.look_after, self.options.loop_rate)

    def look_after(self) -> None:
        """Looks once at the files of every watcher."""
        names = self.call("list").get("watchers", [])
        for watcher in [one for one in names if not one.startswith("plugin:")]:
            reply = self.call("get", name=watcher, keys=["cmd", "args", "working_dir"])
            if reply["status"] == "error":
                continue
            options = reply["options"]
            now = fingerprint(
                f"{options.get('cmd') or ''} {_text(options.get('args'))}",
                options.get("working_dir") or ".",
            )
            before = self.prints.get(watcher, now)
            self.prints[watcher] = now
            if now and now != before:
                changed = sorted(set(now) - set(before))
                log.info("%s: %s has changed; restarting", watcher, (changed or now)[0][0])
                self.call("restart", name=watcher, match="simple")
        self.prints = {name: one for name, one in self.prints.items() if name in names}


def fingerprint(command: str, working_dir: str) -> Print:
    """What the files that a command names are like now; a missing one is left out."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    found: dict[str, tuple[str, int, int, int]] = {}
    for at, word in enumerate(words):
        path = shutil.which(word) if at == 0 and "/" not in word else None
        real = os.path.realpath(path or os.path.join(working_dir, word))
        if os.path.isfile(real):
            state = os.stat(real)
            found[real] = (real, state.st_ino, state.st_mtime_ns, state.st_size)
    return tuple(found.values())


def _text(args: Any) -> str:
    return shlex.join(map(str, args)) if isinstance(args, list | tuple) else str(args or "")
