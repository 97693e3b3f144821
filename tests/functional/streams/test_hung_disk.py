"""A disk that hangs: a FIFO that nobody reads is as slow as a disk can be."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from arbiter_under_test import SLEEP, Arbiters, fifo, watcher

LINES = 100_000
"""Of 100 bytes: more than pipes and queue hold together."""
TALKER = (
    "import os, sys\n"
    f"for n in range({LINES // 100}):\n"
    "    os.write(1, b''.join(b'%98d\\n' % (n * 100 + i) for i in range(100)))\n"
    "print('all is said', file=sys.stderr, flush=True)\n"
    "for line in open(sys.argv[1]):\n"
    "    print('later', flush=True)\n"
)


def read_until(fd: int, end: bytes) -> bytes:
    """All that is in a FIFO up to a text, which must come."""
    os.set_blocking(fd, True)
    data = b""
    while end not in data[-2 * 65536 :]:
        data += os.read(fd, 65536)
    return data


def test_a_process_waits_for_a_bounded_time(arbiters: Arbiters, folder: Path) -> None:
    with fifo(folder / "disk") as disk, fifo(folder / "gate") as gate:
        talker = arbiters.script("talker.py", TALKER)
        arbiter = arbiters.ready(
            watcher("w", f"{talker} {folder}/gate", stdout_stream__filename=folder / "disk"),
            watcher(
                "other",
                f"/bin/sh -c 'echo fine; exec {SLEEP}'",
                stdout_stream__filename=folder / "other.log",
            ),
        )
        arbiter.wait("output is not written for 1s")
        arbiter.wait("^all is said")
        assert len(arbiter.settled("other")) == 1
        assert (folder / "other.log").read_text() == "fine\n"
        kept = read_until(disk, b"%98d\n" % (2 * 2**20 // 99))  # there is room again
        os.write(gate, b"\n")
        kept += read_until(disk, b"later\n")
        lines = kept.decode().splitlines()
        lost = [line for line in lines if "bytes of output were lost" in line]
        assert lines[-1] == "later"
        assert lines[0].split() == ["0"]
        written = len(lines) - len(lost) - 1
        assert sum(int(line.split()[1]) for line in lost) == 99 * (LINES - written)
        assert 99 * written > 2**22


def test_who_asks_for_it_waits_as_long_as_it_takes(arbiters: Arbiters, folder: Path) -> None:
    with fifo(folder / "disk") as disk, fifo(folder / "other") as _, fifo(folder / "gate") as gate:
        talker = arbiters.script("talker.py", TALKER)
        arbiter = arbiters.ready(
            watcher(
                "w",
                f"{talker} {folder}/gate",
                stdout_stream__filename=folder / "disk",
                stdout_stream__when_full="wait",
            ),
            watcher("clock", f"{talker} {folder}/gate", stdout_stream__filename=folder / "other"),
        )
        arbiter.wait("output is not written for 1s")
        arbiter.wait("^all is said")
        os.write(gate, b"\n")
        data = read_until(disk, b"%98d\n" % (LINES - 1))
        assert data.startswith(b"".join(b"%98d\n" % n for n in range(LINES)))


def test_the_end_of_the_arbiter_does_not_wait_for_it(arbiters: Arbiters, folder: Path) -> None:
    names = ("one", "two", "three")
    for name in names:
        os.mkfifo(folder / name)
    held = [os.open(folder / name, os.O_RDWR | os.O_NONBLOCK) for name in names]
    talker = arbiters.script("talker.py", TALKER)
    arbiter = arbiters.ready(
        *(
            watcher(name, f"{talker} /dev/null", stdout_stream__filename=folder / name)
            for name in names
        )
    )
    arbiter.wait("output is not written for 1s")
    began = time.monotonic()
    arbiter.send(signal.SIGTERM)
    assert arbiter.wait_end() == 0
    for fd in held:
        os.close(fd)
    assert time.monotonic() - began < 4.0


def test_a_fifo_without_a_reader_is_an_error(arbiters: Arbiters, folder: Path) -> None:
    os.mkfifo(folder / "nobody")
    arbiter = arbiters.ready(watcher("w", SLEEP, stdout_stream__filename=folder / "nobody"))
    arbiter.wait("w: cannot start: stdout_stream.filename = .*nobody.*No such device or address")
