"""What this machine offers: where our own groups may be, and with which controllers.

It reads /proc and looks at /sys/fs/cgroup, and changes nothing. Ours is a group
that systemd has delegated to us, or, where no systemd rules, the group that we
were started in. Everything else belongs to somebody else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "chaussette-"
"""How the names of our own groups begin; the arbiter's pid and start follow."""
LEAF = "arbiter"
"""Where the arbiter itself goes, when its group is to hand controllers out."""
_DELEGATED = ("user.delegate", "trusted.delegate")
"""What systemd marks a delegated group with; see systemd.resource-control(5)."""


@dataclass(frozen=True)
class Mount:
    """A cgroup file system: where it is, which part of the hierarchy it shows, and its v1
    controllers; those of a v2 one are in its files.
    """

    point: str
    root: str
    is_v2: bool
    controllers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Layout:
    """What there is to build on."""

    base: Path | None = None
    """The v2 group in which ours are made."""
    own: Path | None = None
    """The v2 group that this process is in."""
    controllers: frozenset[str] = frozenset()
    """What the base could hand out."""
    is_busy: bool = False
    """Processes of others are in the base, so that it can hand out nothing."""
    legacy: Mapping[str, Path] = field(default_factory=dict)
    """v1 controllers whose group of ours may have groups below it."""
    obstacle: str = ""
    """Why there is no base, and what to do about it."""


def survey() -> Layout:
    """Looks at the machine."""
    mounts = parse_mounts(_read(Path("/proc/self/mountinfo")))
    groups = parse_groups(_read(Path("/proc/self/cgroup")))
    legacy = _legacy(mounts, groups)
    own = next((one for mount in mounts if mount.is_v2 and (one := _own(mount, groups))), None)
    if own is None:
        return Layout(legacy=legacy, obstacle=_without_v2(mounts))
    base, obstacle = _base(own)
    if base is None:
        return Layout(own=own, legacy=legacy, obstacle=obstacle)
    return Layout(
        base,
        own,
        frozenset(_read(base / "cgroup.controllers").split()),
        _is_busy(base),
        legacy,
    )


# -- pure ---------------------------------------------------------------------


def parse_mounts(text: str) -> list[Mount]:
    """The cgroup mounts of a /proc/PID/mountinfo; see proc_pid_mountinfo(5)."""
    mounts = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        words, kinds = before.split(" "), after.split(" ")
        if not dash or len(words) < 5 or len(kinds) < 3 or not kinds[0].startswith("cgroup"):
            continue
        is_v2 = kinds[0] == "cgroup2"
        names = frozenset() if is_v2 else frozenset(kinds[2].split(","))
        mounts.append(Mount(_unescape(words[4]), _unescape(words[3]), is_v2, names))
    return mounts


def parse_groups(text: str) -> dict[str, str]:
    """Controller to path, from a /proc/PID/cgroup; the path in v2 has the key ``""``."""
    groups = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        names, colon, path = rest.partition(":")
        if colon and path.startswith("/") and (names or number == "0"):
            for name in names.split(","):
                groups[name] = path.removesuffix(" (deleted)")
    return groups


def folder_of(mount: Mount, path: str) -> str | None:
    """Where a group is to be seen in a mount; None where the mount does not show it."""
    inside = os.path.relpath(path, mount.root)
    # Outside of our cgroup namespace, a path begins with /..
    if ".." in path.split("/") or ".." in inside.split("/"):
        return None
    return os.path.normpath(os.path.join(mount.point, inside))


def before_move(path: str, pid: int) -> str:
    """The group that a process was started in: an arbiter may have moved itself (see group.py)."""
    return re.sub(rf"(^|/){PREFIX}{pid}-\d+/{LEAF}$", "", path) or "/"


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


# -- looking --------------------------------------------------------------------


def _own(mount: Mount, groups: Mapping[str, str]) -> Path | None:
    place = folder_of(mount, before_move(groups.get("", "/.."), os.getpid()))
    return Path(place) if place is not None and os.path.isdir(place) else None


def _legacy(mounts: list[Mount], groups: Mapping[str, str]) -> dict[str, Path]:
    """Without systemd only: its v1 groups are never delegated."""
    found: dict[str, Path] = {}
    if _has_systemd():
        return found
    for mount in mounts:
        for name in mount.controllers & {"memory", "cpu", "pids"}:
            place = folder_of(mount, groups.get(name, "/.."))
            if place is not None and _is_ours(Path(place)):
                found[name] = Path(place)
    return found


def _base(own: Path) -> tuple[Path | None, str]:
    """The group in which ours may be made, or None and the reason."""
    # With DelegateSubgroup= we were started one below the group that is delegated.
    for group in (own, own.parent):
        if _is_delegated(group) and _is_ours(group):
            return group, ""
    # Before systemd 251 only root could see the mark; others own what they were given.
    if os.geteuid() != 0 and _is_ours(own):
        return own, ""
    if _has_systemd():
        return None, (
            "systemd has not delegated our control group: set Delegate=yes in the [Service] "
            "section of the unit that starts circusd"
        )
    if not _is_ours(own):
        who = "" if os.geteuid() == 0 else "we are not root and "
        return None, (
            f"{who}{own} is not writable: have it mounted read-write or handed over (chown), "
            "or start circusd by systemd with Delegate=yes"
        )
    return own, ""


def _without_v2(mounts: list[Mount]) -> str:
    if any(mount.is_v2 for mount in mounts):
        return "our control group is outside of what the cgroup2 mount shows"
    if mounts:
        return (
            "only cgroup v1 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified, or boot "
            "with systemd.unified_cgroup_hierarchy=1"
        )
    return "no cgroup file system is mounted: mount -t cgroup2 none /sys/fs/cgroup"


def _has_systemd() -> bool:
    return os.path.isdir("/run/systemd/system")  # see sd_booted(3)


def _is_delegated(group: Path) -> bool:
    for name in _DELEGATED:
        try:
            if os.getxattr(group, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _is_ours(group: Path) -> bool:
    """Whether we may make groups there and move processes about below."""
    return os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK)


def _is_busy(base: Path) -> bool:
    """Whether others are in it: neither we nor what descends from us.

    The root of the hierarchy may have processes, always.
    """
    if not (base / "cgroup.type").exists():
        return False
    return not all(_is_own(int(word)) for word in _read(base / "cgroup.procs").split())


def _is_own(pid: int) -> bool:
    """Whether a process is this one or descends from it; one that has just ended is, too."""
    while pid > 1 and pid != os.getpid():
        status = _read(Path(f"/proc/{pid}/status"))
        found = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
        if found is None:
            return True
        pid = int(found[1])
    return pid == os.getpid()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
