"""Hooks in a real hook host: what they get, what their answers mean, what they cannot stop."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from arbiter_under_test import SLEEP, Arbiters, Ended, listening, watcher

MODULE = """
import os, signal, sys, threading

def say(watcher, arbiter, hook_name, **kw):
    known = {key: kw[key] for key in sorted(kw) if key in ("signum", "exit_code")}
    print("HOOK", watcher.name, hook_name, known, flush=True)
    return True

def no(watcher, arbiter, hook_name, **kw):
    print("HOOK", watcher.name, hook_name, flush=True)
    return False

def fail(watcher, arbiter, hook_name, **kw):
    raise ValueError("out of order")

def hang(watcher, arbiter, hook_name, **kw):
    threading.Event().wait()

def ask(watcher, arbiter, hook_name, **kw):
    print("ASKED", watcher.cmd, arbiter.call("list")["watchers"], watcher.status(), flush=True)
    return True

def once(watcher, arbiter, hook_name, **kw):
    if os.path.exists("allowed"):
        return True
    open("allowed", "w").close()
    print("NOT YET", flush=True)
    return False

def die(watcher, arbiter, hook_name, **kw):
    os._exit(3)
"""


def hooks(folder: Path, **named: str) -> dict[str, str]:
    (folder / "myhooks.py").write_text(MODULE)
    return {f"hooks__{hook}": f"myhooks.{function}" for hook, function in named.items()}


def test_all_points_of_a_life_in_order(arbiters: Arbiters, folder: Path) -> None:
    names = (
        "before_start after_start before_spawn after_spawn before_stop after_stop "
        "before_signal after_signal before_reap after_reap"
    ).split()
    arbiter = arbiters.ready(watcher("w", SLEEP, **hooks(folder, **dict.fromkeys(names, "say"))))
    arbiter.settled("w")
    arbiter.wait("HOOK w after_start")
    arbiter.must("stop", name="w", waiting=True)
    arbiter.wait("HOOK w after_stop")
    assert re.findall(r"HOOK w (\w+)", arbiter.log) == [
        *"before_start before_spawn after_spawn after_start before_stop".split(),
        *"before_signal after_signal before_reap after_reap after_stop".split(),
    ]
    assert "before_signal {'signum': 15}" in arbiter.log
    assert "after_reap {'exit_code': -15}" in arbiter.log


def test_before_start_says_no(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, **hooks(folder, before_start="no")))
    arbiter.wait("w: its hook before_start did not let it start")
    reply = arbiter.ask("start", name="w", waiting=True)
    assert not reply.ok
    assert "before_start" in reply.reason
    assert arbiter.status("w") == "stopped"


def test_before_spawn_delays_one_spawn_only(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, **hooks(folder, before_spawn="once")))
    arbiter.wait("^NOT YET")
    assert len(arbiter.settled("w")) == 1


def test_after_start_says_no(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, **hooks(folder, after_start="no")))
    pid = arbiter.started("w")
    arbiter.wait(f"process {pid} has ended")
    assert arbiter.status("w") == "stopped"


def test_a_hook_that_fails_counts_unless_that_is_ignored(arbiters: Arbiters, folder: Path) -> None:
    counted = hooks(folder, before_start="fail")
    ignored = {"hooks__before_start": "myhooks.fail,True"}
    missing = {"hooks__before_start": "nowhere.at_all,true"}
    arbiter = arbiters.ready(
        watcher("counted", SLEEP, **counted),
        watcher("ignored", SLEEP, **ignored),
        watcher("missing", SLEEP, **missing),
    )
    arbiter.wait("missing: hooks.before_start = nowhere.at_all,true cannot be used: ModuleNotFound")
    assert len(arbiter.settled("ignored")) == 1
    assert len(arbiter.settled("missing")) == 1
    assert not arbiter.ask("start", name="counted", waiting=True).ok
    arbiter.wait("ValueError: out of order")


def test_a_hook_that_hangs_holds_up_its_own_watcher_only(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(
        watcher("stuck", SLEEP, hooks_timeout=1, **hooks(folder, before_start="hang")),
        watcher("other", SLEEP, **hooks(folder, before_start="say")),
    )
    assert len(arbiter.settled("other")) == 1
    assert arbiter.pids("stuck") == []
    arbiter.wait("stuck: hook before_start: no answer in 1s")
    assert not arbiter.ask("start", name="stuck", waiting=True).ok


def test_a_hook_may_ask_the_arbiter(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, **hooks(folder, before_start="ask")))
    arbiter.wait(rf"^ASKED {SLEEP} \['w'\] ")
    arbiter.settled("w")


def test_a_stop_signal_that_is_held_back_ends_in_sigkill(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(
        watcher("w", SLEEP, graceful_timeout=0.3, **hooks(folder, before_signal="no"))
    )
    (pid,) = arbiter.settled("w")
    arbiter.must("stop", name="w", waiting=True)
    arbiter.wait(f"process {pid} has ended: SIGKILL")


def test_a_host_that_dies_is_started_anew(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(
        watcher("w", SLEEP, **hooks(folder, before_start="say", after_reap="die"))
    )
    host = int(arbiter.wait(r"hook host started, pid (\d+)")[1])
    end = Ended(host)
    (pid,) = arbiter.settled("w")
    os.kill(pid, 9)
    end.wait()
    assert len(arbiter.settled("w")) == 1


FOUR = ("before_start", "after_start", "before_stop", "after_stop")


def test_a_restart_calls_the_hooks_of_stop_and_start(arbiters: Arbiters, folder: Path) -> None:
    """As in Circus: before_stop, after_stop, before_start, after_start; a reload calls none."""
    arbiter = arbiters.ready(watcher("w", SLEEP, **hooks(folder, **dict.fromkeys(FOUR, "say"))))
    (before,) = arbiter.settled("w")
    arbiter.wait("HOOK w after_start")
    arbiter.must("reload", name="w", waiting=True)
    for command, more in (("restart", {}), ("reload", {"graceful": False})):
        seen = len(arbiter.log)
        arbiter.must(command, name="w", waiting=True, **more)
        arbiter.wait("HOOK w after_start")
        assert re.findall(r"HOOK w (\w+)", arbiter.log[seen:]) == [
            "before_stop", "after_stop", "before_start", "after_start",
        ]  # fmt: skip
    (after,) = arbiter.pids("w")
    assert after != before


def test_before_start_may_say_no_to_a_restart(arbiters: Arbiters, folder: Path) -> None:
    allowed = {"hooks__before_start": "myhooks.once"}
    hooks(folder)
    (folder / "allowed").touch()
    arbiter = arbiters.ready(watcher("w", SLEEP, **allowed))
    arbiter.settled("w")
    (folder / "allowed").unlink()
    reply = arbiter.ask("restart", name="w", waiting=True)
    assert not reply.ok
    assert "before_start" in reply.reason
    assert arbiter.status("w") == "stopped"


def test_a_web_watcher_is_asked_before_anything_of_it_ends(
    arbiters: Arbiters, folder: Path
) -> None:
    """It is exchanged without a gap, so a no leaves what serves as it is."""
    given = hooks(folder, before_stop="say", before_start="once", after_stop="say")
    (folder / "allowed").touch()
    command = f"{sys.executable} -m chaussette --fd $(circus.sockets.web)"
    web = watcher("web", command, use_sockets=True, copy_env=True, **given)
    arbiter = arbiters.ready(listening("web"), web)
    (pid,) = arbiter.settled("web")
    (folder / "allowed").unlink()
    assert not arbiter.ask("restart", name="web", waiting=True).ok
    assert arbiter.pids("web") == [pid]
    arbiter.must("restart", name="web", waiting=True)
    arbiter.wait("HOOK web after_stop")
    assert arbiter.pids("web") != [pid]
    assert re.findall(r"HOOK web (\w+)", arbiter.log) == [
        "before_stop", "before_stop", "after_stop",
    ]  # fmt: skip


def test_the_signal_that_reopens_logs_passes_the_hooks(arbiters: Arbiters, folder: Path) -> None:
    given = hooks(folder, before_signal="say", after_signal="say")
    command = f"{sys.executable} -m chaussette --fd $(circus.sockets.web)"
    web = watcher("web", command, use_sockets=True, copy_env=True, **given)
    arbiter = arbiters.ready(listening("web"), web)
    arbiter.settled("web")
    arbiter.send(signal.SIGUSR1)
    arbiter.wait("HOOK web before_signal {'signum': 10}")
    arbiter.wait("HOOK web after_signal {'signum': 10}")


def test_what_cannot_be_imported_is_said_before_it_is_due(arbiters: Arbiters) -> None:
    """At the start, and when it is set; the arbiter itself imports none of it."""
    arbiter = arbiters.ready(
        watcher("early", SLEEP, hooks__after_stop="nowhere.at_all"), watcher("w", SLEEP)
    )
    arbiter.wait(r"early: hooks.after_stop = nowhere.at_all cannot be used: ModuleNotFoundError")
    arbiter.must("set", name="w", options={"hooks.after_reap": "json.no_such_name"})
    arbiter.wait(r"w: hooks.after_reap = json.no_such_name cannot be used: AttributeError")
    arbiter.must("add", name="new", cmd=SLEEP, options={"hooks.after_stop": "nowhere.either"})
    arbiter.wait(r"new: hooks.after_stop = nowhere.either cannot be used: ModuleNotFoundError")
    assert len(arbiter.settled("early")) == 1
