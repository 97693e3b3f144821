"""What of a watcher's containment this machine can do: settings and a layout in, a verdict out.

Pure. Who refuses, who warns and who builds the groups asks here, so that they
agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaussette.arbiter.containment.layout import Layout
from chaussette.arbiter.containment.limits import Limit, limits_of
from chaussette.settings.watcher import WatcherSettings, containment_mode


@dataclass(frozen=True)
class Outlook:
    """What is done, and what is left undone, in words."""

    mode: str
    has_group: bool = False
    limits: tuple[Limit, ...] = ()
    """Set through cgroup v2."""
    legacy: tuple[Limit, ...] = ()
    """Set through v1, with best-effort only."""
    missing: tuple[str, ...] = ()

    @property
    def controllers(self) -> frozenset[str]:
        """The v2 controllers that are needed."""
        return frozenset(limit.controller for limit in self.limits)

    def faults(self) -> tuple[str, ...]:
        """Why the watcher must not be started; empty where it may."""
        return self.missing if self.mode == "strict" else ()

    def warnings(self) -> Iterator[str]:
        """The line of best-effort where something is missing."""
        if self.mode == "best-effort" and self.missing:
            done = [str(limit) for limit in (*self.limits, *self.legacy)]
            done += ["its processes are ended with all their descendants"] * self.has_group
            yield (
                f"containment is best-effort: {'; '.join(self.missing)}; "
                f"done all the same: {', '.join(done) or 'nothing'}"
            )


def contradiction(settings: WatcherSettings) -> str:
    """What is wrong with the settings on every machine, or nothing."""
    limits = limits_of(settings)
    if settings.containment == "off" and limits:
        return f"{limits[0]} needs a control group, but containment = off"
    return ""


def look_out(settings: WatcherSettings, layout: Layout) -> Outlook:
    """What of a watcher's settings can be done. Of one without containment: nothing."""
    mode = containment_mode(settings)
    if mode == "off":
        return Outlook("off")
    has_group = layout.base is not None
    limits: list[Limit] = []
    legacy: list[Limit] = []
    missing: list[str] = []
    if not has_group:
        missing.append(f"no control group can be made: {layout.obstacle}")
    for limit in limits_of(settings):
        if reason := _lack(limit, layout):
            is_legacy = mode == "best-effort" and bool(limit.legacy_files)
            if is_legacy and limit.controller in layout.legacy:
                legacy.append(limit)
                reason += ", whose v1 controller is used instead"
            if has_group or limit in legacy:
                missing.append(f"{limit} {reason}")
            else:
                missing.append(f"{limit} needs the {limit.controller} controller")
        else:
            limits.append(limit)
    if mode == "strict" and missing:
        missing.append("or set containment = best-effort to do without")
    return Outlook(mode, has_group, tuple(limits), tuple(legacy), tuple(missing))


def _lack(limit: Limit, layout: Layout) -> str:
    """Why a limit cannot be set through v2, or nothing."""
    if layout.base is not None and limit.controller in layout.controllers:
        if not layout.is_busy:
            return ""
        return (
            f"needs the {limit.controller} controller, but other processes are in {layout.base} "
            "as well, and such a group cannot hand controllers out: start circusd in a group of "
            "its own (by systemd with Delegate=yes)"
        )
    return f"needs the {limit.controller} controller of cgroup v2: {_offer(limit, layout)}"


def _offer(limit: Limit, layout: Layout) -> str:
    if limit.controller in layout.legacy:
        return (
            "this machine has it in v1 (hybrid mode; boot with "
            "systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all)"
        )
    there = ", ".join(sorted(layout.controllers)) or "none"
    return f"{layout.base} offers {there} (add it to cgroup.subtree_control above)"


def all_controllers(outlooks: Iterable[Outlook]) -> frozenset[str]:
    """What several watchers need together."""
    return frozenset().union(*(outlook.controllers for outlook in outlooks))
