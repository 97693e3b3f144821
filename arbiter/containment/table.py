"""The groups of one arbiter: made when a watcher needs one, removed when empty.

Nothing is looked at, made or held as long as no watcher asks for containment.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import select
import time
from collections.abc import Iterable
from pathlib import Path

from chaussette.arbiter.containment.group import Group, Trunk, WatcherGroup, own_name, write
from chaussette.arbiter.containment.layout import LEAF, Layout, survey
from chaussette.arbiter.containment.limits import Pressure, is_populated
from chaussette.arbiter.containment.outlook import Outlook, all_controllers, look_out
from chaussette.arbiter.loop import Loop
from chaussette.errors import ConfigError
from chaussette.settings.watcher import WatcherSettings, containment_mode

log = logging.getLogger("chaussette.arbiter")
_ROUNDS = 20
"""How often what appears meanwhile is moved along."""
LAST_WAIT = 5.0
"""Seconds that killed processes have to leave their groups when the arbiter ends."""


class GroupTable:
    """Gives processes their groups."""

    def __init__(self, loop: Loop) -> None:
        self.may_move = True
        """Whether the arbiter has this process to itself."""
        self._layout: Layout | None = None
        self._trunk: Trunk | None = None
        self._legacy: dict[str, Trunk] = {}
        self._watchers: dict[str, WatcherGroup] = {}
        self._outlooks: dict[str, tuple[WatcherSettings, Outlook]] = {}
        self._handed_out: set[str] = set()
        self._handed_before: set[str] = set()
        self._has_moved = False
        self._numbers = itertools.count(1)
        self._emptying = Emptying(loop)

    def prepare(self, watchers: Iterable[WatcherSettings]) -> None:
        """Does what can fail before anything is started. Raises ConfigError."""
        contained = [one for one in watchers if containment_mode(one) != "off"]
        if not contained:
            return
        outlooks = [self._outlook(one) for one in contained]
        try:
            self._open(all_controllers(outlooks))
        except OSError as error:
            self.close()
            names = ", ".join(one.name for one in contained)
            raise ConfigError(
                f"containment of {names}: {error.strerror or error}; "
                "set containment = best-effort or off to do without"
            ) from None

    def enter(self, settings: WatcherSettings) -> Group | None:
        """A group for one process, or None without containment. Raises OSError."""
        if containment_mode(settings) == "off":
            return None
        outlook = self._outlook(settings)
        if outlook.faults():
            raise OSError(0, "; ".join(outlook.faults()))
        if not outlook.has_group and not outlook.legacy:
            return None
        try:
            return self._enter(settings.name, outlook)
        except OSError as error:
            if outlook.mode == "strict":
                raise
            log.warning("%s: started without a control group: %s", settings.name, error.strerror)
            return None

    def adjust(self, settings: WatcherSettings) -> None:
        """Sets the limits of a watcher anew, for the processes that run. Raises OSError."""
        watcher = self._watchers.get(settings.name)
        if watcher is not None and watcher.is_used:
            outlook = self._outlook(settings)
            self._open(outlook.controllers)
            _limit(watcher, outlook)

    def leave(self, group: Group) -> None:
        """The process has ended: what it left behind is killed, and the group removed."""
        group.kill()
        self._emptying.add(group)

    def pressure(self, name: str) -> dict[str, Pressure]:
        """How long a watcher's processes wait for memory, cpu and io; see limits.py.

        Empty for a watcher without a group, and where the kernel does not tell.
        """
        group = self._watchers.get(name)
        return group.pressure() if group is not None else {}

    def close(self) -> None:
        """Removes what is empty, and gives back what was changed above it."""
        self._emptying.close()
        for watcher in self._watchers.values():
            watcher.remove()
        for trunk in self._legacy.values():
            trunk.remove()
        if self._trunk is not None:
            self._give_back(self._trunk)
            self._trunk.remove()
        self._trunk = None

    # -- details --------------------------------------------------------------

    def _outlook(self, settings: WatcherSettings) -> Outlook:
        """What can be done for a watcher; said once for each generation of its settings."""
        if self._layout is None:
            self._layout = survey()
        known = self._outlooks.get(settings.name)
        if known is not None and known[0] == settings:
            return known[1]
        outlook = look_out(settings, self._layout)
        self._outlooks[settings.name] = settings, outlook
        for line in outlook.warnings():
            log.warning("%s: %s", settings.name, line)
        return outlook

    def _open(self, controllers: frozenset[str]) -> None:
        assert self._layout is not None
        if self._layout.base is None:
            return
        if self._trunk is None:
            self._trunk = Trunk(self._layout.base, own_name())
        if controllers - self._handed_out:
            self._hand_out(self._layout.base, self._trunk, controllers)

    def _hand_out(self, base: Path, trunk: Trunk, controllers: frozenset[str]) -> None:
        """Has the controllers in our watchers' groups."""
        there = set((base / "cgroup.subtree_control").read_text("ascii").split())
        if not self._handed_out:
            self._handed_before = there
        if controllers - there and base == self._layout_own() and (base / "cgroup.type").exists():
            self._move(trunk)
        text = " ".join(f"+{name}" for name in sorted(controllers))
        if controllers - there:
            write(base / "cgroup.subtree_control", text)
        write(trunk.path / "cgroup.subtree_control", text)
        self._handed_out |= controllers

    def _layout_own(self) -> Path | None:
        return self._layout.own if self._layout is not None else None

    def _move(self, trunk: Trunk) -> None:
        """Out of the base, with what we have started: a group with processes in it hands
        no controller out.
        """
        if self._has_moved:
            return
        if not self.may_move:
            raise OSError(0, "limits need a control group of its own, not another program's")
        (trunk.path / LEAF).mkdir(exist_ok=True)
        door = trunk.path / LEAF / "cgroup.procs"
        write(door, "0")
        self._has_moved = True
        for _ in range(_ROUNDS):  # one that we move may be forking
            left = (trunk.path.parent / "cgroup.procs").read_text("ascii").split()
            for pid in left:
                with contextlib.suppress(OSError):  # it has ended, or the next round tells
                    write(door, pid)
            if not left:
                break

    def _give_back(self, trunk: Trunk) -> None:
        base = trunk.path.parent
        ours = self._handed_out - self._handed_before
        # Each may fail: processes that were let run on keep their groups.
        with contextlib.suppress(OSError):
            if self._handed_out:
                off = " ".join(f"-{name}" for name in sorted(self._handed_out))
                write(trunk.path / "cgroup.subtree_control", off)
            if ours:
                off = " ".join(f"-{name}" for name in sorted(ours))
                write(base / "cgroup.subtree_control", off)
            if self._has_moved:
                write(base / "cgroup.procs", "0")

    def _enter(self, name: str, outlook: Outlook) -> Group:
        self._open(outlook.controllers)
        watcher = self._watcher(name, outlook)
        watcher.make()
        _limit(watcher, outlook)
        path = watcher.path
        return Group(watcher, None if path is None else path / f"p-{next(self._numbers)}")

    def _watcher(self, name: str, outlook: Outlook) -> WatcherGroup:
        controllers = {limit.controller for limit in outlook.legacy}
        watcher = self._watchers.get(name)
        if watcher is None or controllers - set(watcher.legacy):
            folder = "w-" + re.sub(r"[^A-Za-z0-9_.-]", lambda found: f"%{ord(found[0]):02x}", name)
            path = self._trunk.path / folder if self._trunk is not None else None
            legacy = {one: self._legacy_trunk(one).path / folder for one in sorted(controllers)}
            watcher = self._watchers[name] = WatcherGroup(name, path, legacy)
        return watcher

    def _legacy_trunk(self, controller: str) -> Trunk:
        assert self._layout is not None
        if controller not in self._legacy:
            self._legacy[controller] = Trunk(self._layout.legacy[controller], own_name())
        return self._legacy[controller]


def _limit(watcher: WatcherGroup, outlook: Outlook) -> None:
    files = {file: text for one in outlook.limits for file, text in one.files.items()}
    legacy = {file: text for one in outlook.legacy for file, text in one.legacy_files.items()}
    watcher.limit(files, legacy)


class Emptying:
    """Groups whose last processes are about to be gone: removed when the kernel says so."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._epoll: select.epoll | None = None
        self._waiting: dict[int, Group] = {}

    def add(self, group: Group) -> None:
        """Removes the group, now or as soon as it is empty."""
        if group.remove():
            group.watcher.left()
            return
        assert group.path is not None
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(group.path / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            if self._epoll is None:
                # The loop waits for readable descriptors; a change of this file is
                # an exceptional condition (kernfs). An epoll in between is readable.
                self._epoll = select.epoll()
                self._loop.watch(self._epoll.fileno(), self._look)
            self._epoll.register(fd, select.EPOLLPRI)
            self._waiting[fd] = group
            self._check(fd)

    def close(self) -> None:
        """Waits a moment for the last ones."""
        deadline = time.monotonic() + LAST_WAIT
        while self._waiting and self._epoll is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for fd, _ in self._epoll.poll(left):
                self._check(fd)
        for fd in list(self._waiting):
            self._done(fd)
        if self._epoll is not None:
            self._loop.forget(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        if self._epoll is not None:
            for fd, _ in self._epoll.poll(0):
                self._check(fd)

    def _check(self, fd: int) -> None:
        """Reading is what arms the next event."""
        try:
            text = os.pread(fd, 4096, 0).decode("ascii", "replace")
        except OSError:
            text = ""  # somebody has removed it
        if not is_populated(text):
            self._done(fd)

    def _done(self, fd: int) -> None:
        group = self._waiting.pop(fd)
        os.close(fd)  # epoll forgets it by that
        group.remove()
        group.watcher.left()
