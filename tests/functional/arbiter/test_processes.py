"""Processes die, fail, age and are counted: what the arbiter does about it."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from arbiter_under_test import SLEEP, Arbiters, Ended, alive, watcher


def test_a_killed_process_is_replaced_and_the_others_are_left_alone(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=3))
    first, *others = arbiter.settled("w")
    os.kill(first, signal.SIGKILL)
    arbiter.wait(f"process {first} has ended: SIGKILL")
    arbiter.started("w")
    now = arbiter.settled("w")
    assert now[:2] == others
    assert len(now) == 3
    assert first not in now


def test_deaths_in_a_row_are_all_repaired(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, ready_after=0))
    pid = arbiter.started("w")
    for _ in range(5):
        os.kill(pid, signal.SIGKILL)
        pid = arbiter.started("w")
    assert arbiter.settled("w") == [pid]


def test_a_program_that_is_not_there_is_given_up_with_its_reason(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("bad", "no-such-program", max_retry=2), watcher("good", SLEEP))
    arbiter.wait("bad: given up after 3 failed starts")
    assert arbiter.status("bad") == "parked"
    assert "no-such-program" in arbiter.failure("bad")
    assert len(arbiter.settled("good")) == 1
    reply = arbiter.ask("start", name="bad", waiting=True)
    assert not reply.ok
    assert "no-such-program" in reply.reason


def test_a_crash_loop_is_given_up_and_tried_again_when_asked(
    arbiters: Arbiters, folder: Path
) -> None:
    crash = arbiters.shell("crash", f"test -e {folder}/mended && exec {SLEEP}; exit 7")
    arbiter = arbiters.ready(watcher("w", crash, numprocesses=2, max_retry=2, ready_after=1))
    arbiter.wait("w: given up")
    assert arbiter.status("w") == "parked"
    assert "exit code 7" in arbiter.failure("w")
    reply = arbiter.ask("incr", name="w", waiting=True)
    assert not reply.ok
    (folder / "mended").touch()
    arbiter.must("start", name="w", waiting=True)
    assert arbiter.status("w") == "active"
    assert len(arbiter.pids("w")) == 3


@pytest.mark.parametrize("warmup_delay", [0, 0.1])
def test_healthy_siblings_of_a_crash_loop_are_untouched(
    arbiters: Arbiters, warmup_delay: float
) -> None:
    """Only the second process of the watcher fails, also before the third was started."""
    picky = arbiters.shell("picky", f"test $1 = 2 && exit 1; exec {SLEEP}")
    arbiter = arbiters.ready(
        watcher(
            "w",
            f"{picky} $(circus.wid)",
            numprocesses=3,
            max_retry=1,
            ready_after=0.3,
            warmup_delay=warmup_delay,
        )
    )
    arbiter.wait("w: given up")
    arbiter._seen = 0  # the others may have been ready before
    arbiter.wait("is ready")
    arbiter.wait("is ready")
    pids = arbiter.pids("w")
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    assert arbiter.status("w") == "active"
    assert "exit code 1" in arbiter.failure("w")
    seen = arbiter._seen = len(arbiter.log)
    os.kill(pids[0], signal.SIGKILL)
    arbiter.wait("w: given up")
    arbiter._seen = seen
    arbiter.wait("is ready")
    assert len(arbiter.pids("w")) == 2


def test_no_process_at_all_is_a_number_too(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=0))
    assert arbiter.settled("w") == []
    assert arbiter.must("incr", name="w", nb=2, waiting=True)["numprocesses"] == 2
    assert len(arbiter.pids("w")) == 2


def test_decr_ends_the_oldest(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=3))
    pids = arbiter.settled("w")
    arbiter.must("decr", name="w", nb=2, waiting=True)
    assert arbiter.pids("w") == pids[2:]
    assert not any(alive(pid) for pid in pids[:2])


def test_stop_start_and_restart(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP), watcher("other", SLEEP))
    (pid,) = arbiter.settled("w")
    (other,) = arbiter.settled("other")
    arbiter.must("stop", name="w", waiting=True)
    assert (arbiter.pids("w"), arbiter.status("w")) == ([], "stopped")
    assert not alive(pid)
    arbiter.must("start", name="w", waiting=True)
    (second,) = arbiter.pids("w")
    arbiter.must("restart", name="w", waiting=True)
    (third,) = arbiter.pids("w")
    assert len({pid, second, third}) == 3
    assert arbiter.pids("other") == [other]


def test_reload_starts_the_new_ones_before_it_stops_the_old(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=2))
    old = arbiter.settled("w")
    arbiter.must("reload", name="w", waiting=True)
    assert not set(arbiter.pids("w")) & set(old)
    arbiter.wait("generation 2 serves now")
    text = arbiter.log
    assert text.rindex("is ready") < text.index("stopping process")


def test_reload_one_by_one(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=3))
    old = arbiter.settled("w")
    arbiter.must("reload", name="w", sequential=True, waiting=True)
    arbiter.wait("generation 2 serves now")
    running = most = 0
    for word in re.findall(r"w: (started process|process \d+ has ended)", arbiter.log):
        running += 1 if word.startswith("started") else -1
        most = max(most, running)
    assert most == 4
    assert not set(arbiter.pids("w")) & set(old)


def test_a_reload_that_fails_changes_nothing(arbiters: Arbiters, folder: Path) -> None:
    program = arbiters.shell("program", f"test -e {folder}/broken && exit 1; exec {SLEEP}")
    arbiter = arbiters.ready(watcher("w", program, numprocesses=2, ready_after=0.3))
    old = arbiter.settled("w")
    (folder / "broken").touch()
    reply = arbiter.ask("reload", name="w", waiting=True)
    assert not reply.ok
    assert "exit code 1" in reply.reason
    arbiter.wait("generation 1 serves on")
    assert arbiter.pids("w")[:2] == old
    assert arbiter.status("w") == "active"
    (folder / "broken").unlink()
    arbiter.must("reload", name="w", waiting=True)
    assert not set(arbiter.pids("w")) & set(old)


def test_a_reload_that_never_comes_up_changes_nothing(arbiters: Arbiters, folder: Path) -> None:
    say = arbiters.script(
        "say.py",
        "import os, signal\n"
        "from chaussette.notify import Notifier\n"
        f"os.path.exists({str(folder / 'hang')!r}) or Notifier().ready()\n"
        "signal.pause()\n",
    )
    arbiter = arbiters.ready(watcher("w", say, readiness="notify", boot_timeout=0.5, copy_env=True))
    old = arbiter.settled("w")
    (folder / "hang").touch()
    reply = arbiter.ask("reload", name="w", waiting=True)
    assert "was not ready in 0.5s" in reply.reason
    assert arbiter.pids("w")[:1] == old
    assert alive(old[0])


def test_send_hup_keeps_the_processes(arbiters: Arbiters) -> None:
    trap = arbiters.shell(
        "trap", "trap 'echo reloaded' HUP; echo armed; while :; do sleep 1000 & wait $!; done"
    )
    arbiter = arbiters.ready(watcher("w", trap, send_hup=True, stop_children=True))
    arbiter.wait("^armed")
    pids = arbiter.settled("w")
    arbiter.must("reload", name="w")
    arbiter.wait("^reloaded")
    assert arbiter.pids("w") == pids


def test_singleton(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, singleton=True))
    (pid,) = arbiter.settled("w")
    assert arbiter.must("incr", name="w")["singleton"] is True
    arbiter.must("reload", name="w", waiting=True)
    arbiter.wait(rf"process {pid} has ended")
    arbiter.started("w")  # the new one came behind the end of the old one
    assert len(arbiter.pids("w")) == 1


def test_without_respawn_a_job_runs_once(arbiters: Arbiters) -> None:
    """Also one that is quick, and one that fails."""
    arbiter = arbiters.ready(
        watcher("quick", "echo done", respawn=False, ready_after=5),
        watcher("failing", "false", respawn=False),
        watcher("two", "true", respawn=False, numprocesses=2, ready_after=0),
        watcher("other", SLEEP),
    )
    arbiter.settled("other")
    arbiter.must("stop", name="other", waiting=True)
    for name in ("quick", "failing", "two"):
        while arbiter.status(name) != "stopped":
            arbiter.wait(f"{name}: process .* has ended")
    arbiter.must("start", name="quick", waiting=True)
    arbiter.must("quit")
    assert arbiter.wait_end() == 0
    counts = [arbiter.log.count(f"{name}: started process") for name in ("quick", "failing", "two")]
    assert counts == [2, 1, 2]


def test_priority_and_warmup(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("low", SLEEP, priority=1),
        watcher("none", SLEEP),
        watcher("high", SLEEP, priority=10),
        circus="warmup_delay = 0.1",
    )
    for name in ("high", "low", "none"):
        arbiter.started(name)
    starts = re.findall(r"(\w+): started process", arbiter.log)
    assert starts == ["high", "low", "none"]


def test_warmup_delay_of_a_watcher_starts_one_at_a_time(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("w", "date +%s.%N", numprocesses=3, warmup_delay=0.2, respawn=False)
    )
    times = [float(arbiter.wait(r"^\d+\.\d+$")[0]) for _ in range(3)]
    assert times[1] - times[0] > 0.15
    assert times[2] - times[1] > 0.15


def test_autostart_false_waits_for_a_command(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, autostart=False), watcher("other", SLEEP))
    arbiter.settled("other")
    assert (arbiter.status("w"), arbiter.pids("w")) == ("stopped", [])
    assert len(arbiter.settled("w")) == 1


def test_a_command_for_all_leaves_alone_what_has_no_autostart(arbiters: Arbiters) -> None:
    """As in Circus; by its name, or a pattern, it is started."""
    arbiter = arbiters.ready(watcher("w", SLEEP), watcher("later", SLEEP, autostart=False))
    arbiter.settled("w")
    arbiter.must("stop", waiting=True)
    for command, more in (("start", {}), ("restart", {}), ("reload", {"graceful": False})):
        arbiter.must(command, waiting=True, **more)
        assert (arbiter.status("w"), arbiter.status("later")) == ("active", "stopped")
    arbiter.must("start", name="l*", waiting=True)
    assert arbiter.status("later") == "active"
    arbiter.must("restart", waiting=True)
    assert arbiter.status("later") == "active"


def test_max_age_replaces_before_it_ends(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=2, max_age=0.3, max_age_variance=0.1))
    first = arbiter.started("w")
    arbiter.wait(f"stopping process {first}")
    events = re.findall(r"w: (?:process \d+ is (ready)|(stopping) process)", arbiter.log)
    serving, least = 0, []
    for ready, _ in events:
        serving += 1 if ready else -1
        least.append(serving)
    assert min(least[2:]) >= 2


def test_the_stop_signal_is_the_configured_one(arbiters: Arbiters) -> None:
    trap = arbiters.shell("trap", "trap 'echo got int; exit 3' INT; echo armed; sleep 1000 & wait")
    arbiter = arbiters.ready(watcher("w", trap, stop_signal="SIGINT", stop_children=True))
    arbiter.wait("^armed")
    arbiter.must("stop", name="w", waiting=True)
    arbiter.wait("^got int")
    arbiter.wait("has ended: exit code 3")


def test_who_does_not_listen_is_killed_in_time(arbiters: Arbiters) -> None:
    deaf = arbiters.shell("deaf", "trap '' TERM; echo armed; while :; do sleep 1000; done")
    arbiter = arbiters.ready(watcher("w", deaf, graceful_timeout=0.2))
    arbiter.wait("^armed")
    (pid,) = arbiter.settled("w")
    arbiter.must("stop", name="w", waiting=True)
    arbiter.wait(f"killing process {pid}")
    assert not alive(pid)


def test_a_stopped_process_can_be_ended(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    (pid,) = arbiter.settled("w")
    os.kill(pid, signal.SIGSTOP)
    arbiter.must("stop", name="w", waiting=True)
    assert "killing" not in arbiter.log


@pytest.mark.parametrize("deaf", [False, True])
def test_grandchildren_go_with_their_process(arbiters: Arbiters, deaf: bool) -> None:
    """By stop_children the polite way; by SIGKILL always, as in Circus."""
    trap = "trap '' TERM\n" if deaf else ""
    parent = arbiters.shell("parent", f"(exec {SLEEP}) & echo grandchild $!; {trap}{SLEEP} & wait")
    arbiter = arbiters.ready(watcher("w", parent, stop_children=not deaf, graceful_timeout=0.3))
    grandchild = int(arbiter.wait(r"^grandchild (\d+)")[1])
    arbiter.settled("w")
    end = Ended(grandchild)
    if deaf:
        os.kill(arbiter.pids("w")[0], signal.SIGSTOP)
        arbiter.must("stop", name="w")
    arbiter.must("stop", name="w", waiting=True)
    if not deaf:
        end.wait()
    elif alive(grandchild):
        os.kill(grandchild, signal.SIGKILL)
    assert "internal error" not in arbiter.log


def test_kill_reaches_grandchildren(arbiters: Arbiters) -> None:
    parent = arbiters.shell(
        "parent", f"trap '' TERM; {SLEEP} & echo grandchild $!; while :; do wait; done"
    )
    arbiter = arbiters.ready(watcher("w", parent, graceful_timeout=0.2))
    grandchild = int(arbiter.wait(r"^grandchild (\d+)")[1])
    end = Ended(grandchild)
    arbiter.must("stop", name="w", waiting=True)
    end.wait()


def test_a_hung_worker_is_found_and_replaced(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        "[socket:web]\nhost = 127.0.0.1\nport = 0\n",
        watcher(
            "w",
            "chaussette --fd $(circus.sockets.web) --backend wsgiref --timeout 1",
            use_sockets=True,
            copy_env=True,
            heartbeat_timeout=3,
        ),
        environ={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    (pid,) = arbiter.settled("w")
    os.kill(pid, signal.SIGSTOP)
    arbiter.wait(f"worker {pid}: no sign of life")
    assert arbiter.started("w") != pid
    arbiter.wait(f"process {pid} has ended: SIGABRT")
    assert arbiter.settled("w") != [pid]


def test_an_idle_arbiter_sleeps(arbiters: Arbiters) -> None:
    """Between two readings nothing happens but the reading itself."""
    arbiter = arbiters.ready(watcher("w", SLEEP, numprocesses=10, ready_after=0))
    arbiter.settled("w")

    def switches() -> int:
        text = Path(f"/proc/{arbiter.pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M)[1])  # type: ignore[index]

    clock = arbiters.run(["sleep", "2"])
    arbiter.must("list")
    before = switches()
    clock.wait_end()
    assert switches() - before <= 3
