"""A restart, with the hooks of stop and start around it, in Circus's order."""

from __future__ import annotations

from chaussette.arbiter.command import speaks_notify
from chaussette.arbiter.plan import Style
from chaussette.arbiter.watcher import Watcher
from chaussette.arbiter.wish import Outcome, Waiter
from chaussette.settings.watcher import WatcherSettings

_HOOKS = ("before_stop", "after_stop", "before_start", "after_start")


def restart(watcher: Watcher, done: Waiter | None = None) -> None:
    """Replaces all processes of a watcher; one that is stopped is started.

    Those that inherit sockets and say when they are ready are exchanged without a
    gap. All others end before new ones are started, as in Circus.
    """
    if not watcher.wish.running:
        watcher.start(done)
    elif is_gapless(watcher.settings):
        _exchange(watcher, done or _nobody)
    elif any(hook in watcher.settings.hooks for hook in _HOOKS):
        _stop_and_start(watcher, done or _nobody)
    else:
        watcher.swap(done=done, style=Style.STOP_FIRST, by_signal=False)


def is_gapless(settings: WatcherSettings) -> bool:
    """Whether a restart keeps the old processes until the new ones serve."""
    return settings.use_sockets and speaks_notify(settings)


def _stop_and_start(watcher: Watcher, done: Waiter) -> None:
    def stopped(outcome: Outcome) -> None:
        watcher.start(done) if outcome.ok else done(outcome)

    watcher.stop(stopped)


def _exchange(watcher: Watcher, done: Waiter) -> None:
    """Both hooks that come before are asked first: a no leaves the old processes at work."""

    def may_start(answer: bool) -> None:
        if answer:
            watcher.swap(done=exchanged, by_signal=False)
        else:
            done(Outcome(False, "its hook before_start did not let it restart"))

    def exchanged(outcome: Outcome) -> None:
        if outcome.ok:
            watcher.hook("after_stop", lambda _: watcher.hook("after_start", started))
        else:
            done(outcome)

    def started(answer: bool) -> None:
        if answer:
            done(Outcome(True))
            return
        watcher.stop()
        done(Outcome(False, "its hook after_start had it stopped"))

    watcher.hook("before_stop", lambda _: watcher.hook("before_start", may_start))


def _nobody(_: Outcome) -> None:
    """Nobody waits."""
