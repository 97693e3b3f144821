"""Output of processes: whole lines, no loss, rotation, and disks that are full."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_under_test import Arbiters, fifo, watcher


def test_output_goes_to_the_arbiters_own(arbiters: Arbiters) -> None:
    talk = arbiters.shell("talk", "echo to stdout; echo to stderr >&2")
    arbiter = arbiters(watcher("w", talk, respawn=False))
    arbiter.wait("^to stdout$")
    arbiter.wait("has ended")
    assert re.search("^to stderr$", arbiter.log, re.M)


def test_files_with_variables_and_times(arbiters: Arbiters, folder: Path) -> None:
    talk = arbiters.shell("talk", "echo one; echo two; echo oops >&2")
    arbiter = arbiters(
        watcher(
            "w",
            talk,
            respawn=False,
            numprocesses=2,
            stdout_stream__filename=f"{folder}/out-$(circus.wid).log",
            stdout_stream__time_format="%Y",
            stderr_stream__filename=f"{folder}/err.log",
        )
    )
    pids = [arbiter.started("w") for _ in range(2)]
    for pid in pids:
        arbiter._seen = 0  # the one may have ended before the other was started
        arbiter.wait(f"process {pid} has ended")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    for wid, pid in enumerate(pids, 1):
        lines = (folder / f"out-{wid}.log").read_text().splitlines()
        assert [re.sub(r"^\d{4} ", "", line) for line in lines] == [
            f"[{pid}] | one",
            f"[{pid}] | two",
        ]
    assert (folder / "err.log").read_text() == "oops\noops\n"


def test_lines_of_many_processes_are_not_torn(arbiters: Arbiters, folder: Path) -> None:
    talk = arbiters.script(
        "talk.py",
        "import os, sys\n"
        "wid = sys.argv[1]\n"
        "for number in range(300):\n"
        "    line = (f'{wid}-{number}-' + wid * (number % 97) + '-end').encode()\n"
        "    os.write(1, line[:9]); os.write(1, line[9:] + b'\\n')\n",
    )
    arbiter = arbiters(
        watcher(
            "w",
            f"{talk} $(circus.wid)",
            numprocesses=4,
            respawn=False,
            stdout_stream__filename=f"{folder}/out.log",
        )
    )
    for _ in range(4):
        arbiter.wait("has ended: exit code 0")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    lines = (folder / "out.log").read_text().splitlines()
    assert len(lines) == 1200
    assert all(re.fullmatch(r"(\d)-\d+-\1*-end", line) for line in lines)


def test_characters_are_not_split(arbiters: Arbiters, folder: Path) -> None:
    """One line of 300 KB, in two streams that share a file with times."""
    talk = arbiters.script(
        "talk.py",
        "import os, sys\n"
        "data = ('\\u20ac\\U0001f600' * 40_000 + '\\n').encode()\n"
        "view = memoryview(data)\n"
        "while view:\n"
        "    view = view[os.write(1, view[:1021]):]\n",
    )
    arbiter = arbiters(
        watcher(
            "w",
            talk,
            numprocesses=2,
            respawn=False,
            stdout_stream__filename=f"{folder}/out.log",
            stdout_stream__time_format="T",
        )
    )
    for _ in range(2):
        arbiter.wait("has ended: exit code 0")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    text = (folder / "out.log").read_bytes().decode("utf-8")  # or it was split
    assert text.count("\u20ac") == text.count("\U0001f600") == 80_000


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_last_words_are_there(arbiters: Arbiters, folder: Path, how: str) -> None:
    end = "exit 1" if how == "exit" else "kill -KILL $$"
    talk = arbiters.shell("talk", f"printf 'the last words, without an end'; {end}")
    arbiter = arbiters(
        watcher("w", talk, respawn=False, stdout_stream__filename=f"{folder}/out.log")
    )
    arbiter.wait("has ended")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    assert (folder / "out.log").read_text() == "the last words, without an end"


def test_rotation(arbiters: Arbiters, folder: Path) -> None:
    talk = arbiters.script(
        "talk.py",
        "import os\n"
        "for number in range(200):\n"
        "    os.write(1, b'%03d %s\\n' % (number, b'x' * 95))\n",
    )
    arbiter = arbiters(
        watcher(
            "w",
            talk,
            respawn=False,
            stdout_stream__filename=f"{folder}/out.log",
            stdout_stream__max_bytes="5K",
            stdout_stream__backup_count=2,
        )
    )
    arbiter.wait("has ended: exit code 0")
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    files = sorted(folder.glob("out.log*"))
    assert [file.name for file in files] == ["out.log", "out.log.1", "out.log.2"]
    text = "".join(file.read_text() for file in reversed(files))
    numbers = [int(line[:3]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 200))
    assert all(file.stat().st_size <= 5 * 1024 for file in files)


def test_usr1_opens_files_anew(arbiters: Arbiters, folder: Path) -> None:
    with fifo(folder / "gate") as gate:
        talk = arbiters.shell(
            "talk",
            f"echo before; read x < {folder}/gate; echo after; echo said >&2; exec sleep 1000",
        )
        arbiter = arbiters.ready(watcher("w", talk, stdout_stream__filename=f"{folder}/out.log"))
        arbiter.settled("w")
        (folder / "out.log").rename(folder / "out.log.old")
        arbiter.send(signal.SIGUSR1)
        while not (folder / "out.log").exists():
            arbiter.must("list")
        os.write(gate, b"\n")
        arbiter.wait("^said")
        arbiter.must("quit")
        assert arbiter.wait_end() == 0
    assert (folder / "out.log.old").read_text() == "before\n"
    assert (folder / "out.log").read_text() == "after\n"


def test_a_full_disk_costs_lines_and_nothing_else(arbiters: Arbiters) -> None:
    talk = arbiters.shell("talk", "echo lost; echo $$ seen >&2; exec sleep 1000")
    arbiter = arbiters.ready(
        watcher("w", talk, stdout_stream__filename="/dev/full", stdout_stream__time_format="T")
    )
    arbiter.wait("output cannot be written, and is dropped: .*No space left")
    (pid,) = arbiter.settled("w")
    os.kill(pid, signal.SIGKILL)
    arbiter.wait(f"process {pid} has ended")
    assert arbiter.settled("w") != [pid]
    assert arbiter.log.count("output cannot be written") == 1


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    place = folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_the_loss_is_said_once_there_is_room(
    arbiters: Arbiters, folder: Path, small_disk: Path
) -> None:
    with fifo(folder / "gate") as gate:
        talk = arbiters.script(
            "talk.py",
            "import os\n"
            "for _ in range(200):\n    os.write(1, b'x' * 999 + b'\\n')\n"
            f"print('written', file=__import__('sys').stderr, flush=True)\n"
            f"open({str(folder / 'gate')!r}).readline()\n"
            "os.write(1, b'room again\\n')\n",
        )
        arbiter = arbiters.ready(
            watcher("w", talk, stdout_stream__filename=small_disk / "out.log", respawn=False),
            watcher("good", "sleep 1000"),
        )
        arbiter.wait("output cannot be written")
        arbiter.settled("good")
        if "\nwritten" not in arbiter.log:
            arbiter.wait("^written")
        os.truncate(small_disk / "out.log", 0)
        os.write(gate, b"\n")
        arbiter.wait("w: process .* has ended: exit code 0")
        arbiter.must("quit")
        assert arbiter.wait_end() == 0
    lost, last = (small_disk / "out.log").read_text().splitlines()[-2:]
    assert re.fullmatch(r"\[chaussette\] \d+ bytes of output were lost", lost)
    assert last == "room again"


def test_the_arbiters_log_in_a_file_is_reopened_too(arbiters: Arbiters, folder: Path) -> None:
    log = folder / "circusd.log"
    with fifo(folder / "gate") as gate:
        wait = arbiters.shell("wait", f"echo here > {folder}/gate; exec sleep 1000")
        arbiter = arbiters(watcher("w", wait), circus=f"logoutput = {log}")
        os.set_blocking(gate, True)
        assert os.read(gate, 10) == b"here\n"
        arbiter.settled("w")
        log.rename(folder / "old.log")
        arbiter.send(signal.SIGUSR1)
        while not log.exists():
            arbiter.must("list")
        arbiter.must("stop", name="w", waiting=True)
        arbiter.must("quit")
        assert arbiter.wait_end() == 0
    assert "started process" in (folder / "old.log").read_text()
    assert "w: stopping process" in log.read_text()
