"""Output of real processes in real files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from arbiter_under_test import SLEEP, Arbiters, fifo, watcher


def test_rotation_under_load_loses_no_byte(arbiters: Arbiters, folder: Path) -> None:
    writer = arbiters.script(
        "writer.py",
        "import os\nfor n in range(200):\n"
        "    os.write(1, b''.join(b'%09d\\n' % (n * 1000 + i) for i in range(1000)))\n",
    )
    arbiter = arbiters.ready(
        watcher(
            "w",
            writer,
            respawn=False,
            ready_after=0,
            stdout_stream__filename=folder / "out.log",
            stdout_stream__max_bytes=200_000,
            stdout_stream__backup_count=50,
        )
    )
    arbiter.wait("w: process .* has ended: exit code 0")
    arbiter.must("quit", waiting=True)
    arbiter.wait_end()
    files = sorted(
        folder.glob("out.log*"),
        key=lambda one: -int(one.suffix[1:] or 0) if one.suffix != ".log" else 1,
    )
    assert len(files) == 10
    assert all(one.stat().st_size <= 200_000 for one in files)
    data = b"".join(one.read_bytes() for one in files)
    assert data == b"".join(b"%09d\n" % n for n in range(200_000))


def test_sigusr1_after_a_rename_makes_the_file_anew(arbiters: Arbiters, folder: Path) -> None:
    with fifo(folder / "gate") as gate:
        talker = arbiters.shell(
            "talker",
            f"echo one; echo armed >&2; read x < {folder}/gate\n"
            f"echo two; echo said >&2; exec {SLEEP}",
        )
        arbiter = arbiters.ready(watcher("w", talker, stdout_stream__filename=folder / "o.log"))
        arbiter.wait("^armed")
        arbiter.must("tail")
        (folder / "o.log").rename(folder / "o.old")
        arbiter.send(signal.SIGUSR1)
        arbiter.must("list")
        os.write(gate, b"\n")
        arbiter.wait("^said")
        arbiter.must("quit", waiting=True)
        arbiter.wait_end()
    assert (folder / "o.old").read_text() == "one\n"
    assert (folder / "o.log").read_text() == "two\n"


def test_a_full_disk_is_said_and_service_goes_on(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("w", f"/bin/sh -c 'echo lost; exec {SLEEP}'", stdout_stream__filename="/dev/full")
    )
    arbiter.wait("output cannot be written, and is dropped: .*No space left")
    assert len(arbiter.settled("w")) == 1


def test_a_class_of_ones_own_runs_beside_the_arbiter(arbiters: Arbiters, folder: Path) -> None:
    (folder / "mystream.py").write_text(
        "import os\n"
        "class Mine:\n"
        "    def __init__(self, path):\n"
        "        self.file = open(path, 'a')\n"
        "    def __call__(self, item):\n"
        "        assert sorted(item) == ['data', 'name', 'pid']\n"
        "        print(os.getppid(), item['name'], item['data'], file=self.file, flush=True)\n"
        "        if b'bad' in item['data']:\n"
        "            raise ValueError('it is bad')\n"
    )
    arbiter = arbiters.ready(
        watcher(
            "w",
            f"/bin/sh -c 'echo bad; sleep 0.3; echo good; echo said >&2; exec {SLEEP}'",
            stdout_stream__class="mystream.Mine",
            stdout_stream__path=folder / "mine.txt",
        )
    )
    arbiter.wait("ValueError: it is bad")
    arbiter.wait("^said")
    arbiter.settled("w")
    arbiter.must("quit", waiting=True)
    arbiter.wait_end()
    assert (folder / "mine.txt").read_text().splitlines() == [
        f"{arbiter.pid} stdout b'bad\\n'",
        f"{arbiter.pid} stdout b'good\\n'",
    ]


def test_options_are_refused_with_their_line(arbiters: Arbiters) -> None:
    arbiter = arbiters(
        watcher("w", SLEEP, stdout_stream__class="FileStrem", stderr_stream__filename="/x/y")
        + "stderr_stream.max_byte = 3\nstderr_stream.refresh_time = 1\n"
    )
    assert arbiter.wait_end() != 0
    assert "did you mean 'FileStream'?" in arbiter.log
    assert "did you mean 'max_bytes'?" in arbiter.log
    assert "stack.ini:" in arbiter.log


def test_a_missing_directory_is_said_at_the_start(arbiters: Arbiters) -> None:
    arbiter = arbiters(watcher("w", SLEEP, stdout_stream__filename="/not/there/x.log"))
    assert arbiter.wait_end() != 0
    assert "there is no directory '/not/there'" in arbiter.log
