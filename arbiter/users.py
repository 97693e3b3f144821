"""Users and groups, looked up: names become numbers where a process is started."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from chaussette.errors import ConfigError


@dataclass(frozen=True)
class Identity:
    """Whom a process runs as; None where nothing changes. `groups` are supplementary."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    name: str | None = None
    home: str | None = None


def look_up(user: str | None, group: str | None) -> Identity:
    """The identity for a user and a group, by name or number.

    Raises ConfigError when there is no such user or group, or when this
    process may not become it.
    """
    entry = _user(user) if user is not None else None
    uid = entry.pw_uid if entry else (int(user) if user is not None else None)
    gid = _group(group) if group is not None else (entry.pw_gid if entry else None)
    if uid is not None and gid is None:
        raise ConfigError(f"uid = {user!r}: no such user, so its group is not known: set gid, too")
    if os.geteuid() != 0:
        return _unprivileged(user, group, uid, gid)
    groups: tuple[int, ...] | None = None
    if entry is not None and gid is not None:
        groups = tuple(os.getgrouplist(entry.pw_name, gid))
    elif uid is not None or gid is not None:
        groups = (gid,) if gid is not None else ()
    return Identity(
        uid, gid, groups, entry.pw_name if entry else None, entry.pw_dir if entry else None
    )


def look_up_owner(user: str) -> Identity:
    """Who shall own the endpoints' files. Raises ConfigError."""
    try:
        return look_up(user, None)
    except ConfigError as error:
        reason = str(error).partition(": ")[2]
        if os.geteuid() != 0 and "only root" in reason:
            reason = "only root can give files to another user"
        raise ConfigError(f"endpoint_owner = {user!r}: {reason}") from None


def _unprivileged(
    user: str | None, group: str | None, uid: int | None, gid: int | None
) -> Identity:
    if uid not in (None, os.geteuid()):
        raise ConfigError(f"uid = {user!r}: only root can start processes as another user")
    if group is not None and gid != os.getegid() and gid not in os.getgroups():
        raise ConfigError(f"gid = {group!r}: only root can start processes in a group not its own")
    return Identity(None, gid if group is not None and gid != os.getegid() else None)


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return None
        raise ConfigError(f"uid = {name!r}: no such user") from None


def _group(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"gid = {name!r}: no such group") from None
