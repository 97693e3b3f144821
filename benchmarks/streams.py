"""How fast the output of one chatty process gets into a file, and how fast commands are answered.

    python benchmarks/streams.py [--rounds 3] [--seconds 4] [--circus DIR] [--supervisor DIR]

The managers take turns. DIR is a virtual environment with the peer in it; one that
is not given is left out. A process writes 64 KB blocks as fast as it can; the rate
is what arrives in the file while the clock runs. Meanwhile the control endpoint is
asked, and the answers are timed inside one client that stays connected.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {
    "64k": "import os\nb = (b'x' * 99 + b'\\n') * 655\nwhile True: os.write(1, b)\n",
    "lines": "while True: print('a line of forty characters, more or less')\n",
    "yes": "import os\nos.execvp('yes', ['yes', 'a line of the program yes'])\n",
    # Pieces that end in the middle of lines and of characters; two processes share the file.
    "utf8": (
        "import os\nb = ('é€😀' * 11 + '\\n').encode() * 5000\n"
        "while True:\n    for at in range(0, len(b), 65521): os.write(1, b[at:at + 65521])\n"
    ),
}


def ours(folder: Path, command: str, log: Path, count: int = 1) -> tuple[list[str], str]:
    ini = folder / "ours.ini"
    ini.write_text(
        f"[circus]\nruntime_dir = {folder}/run\n"
        f"[watcher:w]\ncmd = {command}\nstdout_stream.class = FileStream\n"
        f"stdout_stream.filename = {log}\nnumprocesses = {count}\n"
    )
    argv = [sys.executable, "-m", "chaussette.cli.circusd", str(ini)]
    return argv, f"ipc://{folder}/run/control.sock"


def circus(folder: Path, command: str, log: Path, count: int = 1) -> tuple[list[str], str]:
    ini = folder / "circus.ini"
    endpoint = f"ipc://{folder}/circus.sock"
    ini.write_text(
        f"[circus]\nendpoint = {endpoint}\npubsub_endpoint = ipc://{folder}/pubsub.sock\n"
        f"[watcher:w]\ncmd = {command}\nstdout_stream.class = FileStream\n"
        f"stdout_stream.filename = {log}\nnumprocesses = {count}\n"
    )
    return ["bin/circusd", str(ini)], endpoint


def supervisor(folder: Path, command: str, log: Path, count: int = 1) -> tuple[list[str], str]:
    ini = folder / "supervisor.ini"
    ini.write_text(
        f"[supervisord]\nnodaemon = true\nlogfile = {folder}/sd.log\npidfile = {folder}/sd.pid\n"
        f"[program:w]\ncommand = {command}\nstdout_logfile = {log}\nstdout_logfile_maxbytes = 0\n"
        f"numprocs = {count}\nprocess_name = w%(process_num)d\n"
    )
    return ["bin/supervisord", "-c", str(ini)], ""


Maker = Callable[[Path, str, Path, int], tuple[list[str], str]]


@contextlib.contextmanager
def running(argv: list[str], home: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A manager in a session of its own; all of it is ended."""
    if home is not None:
        argv = [str(home / "bin" / "python"), str(home / argv[0]), *argv[1:]]
    env = {**os.environ, "PYTHONPATH": str(ROOT) if home is None else ""}
    process = subprocess.Popen(
        argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        children = list(_children(process.pid))
        process.send_signal(signal.SIGTERM)
        pidfd = os.pidfd_open(process.pid)
        if not select.select([pidfd], [], [], 10)[0]:
            process.kill()
        os.close(pidfd)
        process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(make: Maker, home: Path | None, shape: str, seconds: float) -> tuple[float, ...]:
    """MB/s into the file; p50, p99 and longest answer in ms; CPU in percent; damage."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    try:
        script = folder / "chatty.py"
        script.write_text(SHAPES[shape])
        log = folder / "out.log"
        count = 2 if shape == "utf8" else 1
        argv, endpoint = make(folder, f"{sys.executable} {script}", log, count)
        with running(argv, home) as manager:
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 2**22):
                pause(0.01)
            begin, used, size = time.monotonic(), cpu(manager.pid), log.stat().st_size
            answers = asked(endpoint, begin + seconds) if endpoint else []
            pause(begin + seconds - time.monotonic() if not endpoint else 0)
            spent = time.monotonic() - begin
            end = log.stat().st_size
            rate = (end - size) / spent / 1e6
            load = (cpu(manager.pid) - used) / spent * 100
        worst = max(answers, default=0.0)
        harm = damage(log, end) if shape == "utf8" else (0, 0)
        late = statistics.quantiles(answers, n=100)[98] if len(answers) > 1 else worst
        middle = statistics.median(answers) if answers else 0.0
        return rate, middle, min(late, worst), worst, load, *harm
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def damage(log: Path, size: int) -> tuple[int, int]:
    """How many lines of the shape `utf8` are not what was written, and how many split characters.

    Looks at `size` bytes, but for a part of a line at their end: what comes later was
    written when the processes had been ended in the middle of a line.
    """
    line = ("é€😀" * 11 + "\n").encode()
    torn = split = 0
    rest = b""
    with log.open("rb") as file:
        while data := file.read(min(2**24, size - file.tell())):
            whole, end, rest = (rest + data).rpartition(b"\n")
            # What is left when the good lines have gone is bad.
            left = (b"\n" + whole + end).replace(b"\n" + line[:-1], b"")
            torn += left.count(b"\n") - 1
            split += left.decode("utf-8", "replace").count("\ufffd")
    return torn, split


def asked(endpoint: str, until: float) -> list[float]:
    sys.path.insert(0, str(ROOT))
    from chaussette.control.client import Client

    times = []
    with Client(endpoint, 30) as client:
        client.call("list", {"name": "w"})  # it stays connected: coming is not timed
        while time.monotonic() < until:
            begin = time.monotonic()
            client.call("list", {"name": "w"})
            times.append((time.monotonic() - begin) * 1e3)
            pause(0.01)
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--circus", type=Path)
    parser.add_argument("--supervisor", type=Path)
    parser.add_argument("--shapes", default="64k,utf8,lines,yes")
    options = parser.parse_args()
    peers: list[tuple[str, Maker, Path | None]] = [("chaussette", ours, None)]
    if options.circus:
        peers.append(("circus", circus, options.circus))
    if options.supervisor:
        peers.append(("supervisord", supervisor, options.supervisor))
    for shape in options.shapes.split(","):
        found: dict[str, list[tuple[float, ...]]] = {}
        for _ in range(options.rounds):
            for name, make, home in peers:
                found.setdefault(name, []).append(measure(make, home, shape, options.seconds))
        for name, rows in found.items():
            rate, answer, late, worst, load, *_ = (
                statistics.median(column) for column in zip(*rows, strict=True)
            )
            most, torn, split = (
                max(row[3] for row in rows),
                *(sum(row[column] for row in rows) for column in (5, 6)),
            )
            print(
                f"{shape:6} {name:12} {rate:7.0f} MB/s  answers p50 {answer:5.1f}, "
                f"p99 {late:5.1f}, longest {worst:5.1f} ms (of all {most:.1f})  "
                f"manager {load:4.0f} % of a core"
                + (
                    f"  torn lines {torn:.0f}, split characters {split:.0f}"
                    if shape == "utf8"
                    else ""
                )
            )


if __name__ == "__main__":
    main()
