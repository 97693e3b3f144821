"""What publishing statistics costs: circusd-stats beside PyPI's, over many processes.

    python -m benchmarks.stats [--processes 1000] [--watchers 10] [--seconds 15] [--rounds 2]

Each circusd runs `sleep` that many times, and its circusd-stats publishes each second to one
subscriber. CPU is the scheduler's count for all threads of circusd-stats, in percent of one
core. Samples per second are those of the watcher (`stat.NAME`) that was told of least often:
they say whether the rate of one was kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import zmq

from benchmarks.ops import peers, proc

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT = 90.0


@dataclass(frozen=True)
class Result:
    """One run: percent of a core, samples per second, messages, and MiB at its end."""

    cpu: float
    rate: float
    messages: int
    memory: float


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--watchers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true", help="Measure Chaussette alone.")
    options = parser.parse_args()
    python = {"chaussette": Path(sys.executable)}
    if not options.no_peers:
        python["circus 0.19"] = peers.python_of(peers.CIRCUS)
    found: dict[str, list[Result]] = {name: [] for name in python}
    for _ in range(options.rounds):
        for name, interpreter in python.items():
            found[name].append(measure(name, interpreter, options))
            print(name, found[name][-1], flush=True)
    print(f"\n{options.processes} processes in {options.watchers} watchers, medians\n")
    print("| circusd-stats of | CPU, % of a core | samples/s | RSS, MiB |\n|---|---|---|---|")
    for name, results in found.items():
        cpu = statistics.median(one.cpu for one in results)
        rate = statistics.median(one.rate for one in results)
        memory = statistics.median(one.memory for one in results)
        print(f"| {name} | {cpu:.1f} | {rate:.2f} | {memory:.0f} |")


def measure(name: str, python: Path, options: argparse.Namespace) -> Result:
    """One round of one of them."""
    ours = name == "chaussette"
    with tempfile.TemporaryDirectory(prefix="bs-") as folder:
        point = f"ipc://{folder}/stats.sock"
        Path(folder, "stack.ini").write_text(_ini(folder, point, ours, options))
        module = "chaussette.cli.circusd" if ours else "circus.circusd"
        env = {**os.environ, "PYTHONPATH": str(ROOT) if ours else ""}
        daemon = subprocess.Popen(
            [str(python), "-W", "ignore", "-m", module, "stack.ini"],
            cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return _listen(point, options)
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _ini(folder: str, point: str, ours: bool, options: argparse.Namespace) -> str:
    each = options.processes // options.watchers
    lines = [
        "[circus]", "statsd = True", f"stats_endpoint = {point}",
        f"endpoint = ipc://{folder}/ctl.sock", f"pubsub_endpoint = ipc://{folder}/pub.sock",
        *([f"runtime_dir = {folder}/run"] if ours else []),
    ]  # fmt: skip
    for number in range(options.watchers):
        lines += [f"[watcher:w{number}]", "cmd = sleep 1000", f"numprocesses = {each}"]
    return "\n".join(lines) + "\n"


def _listen(point: str, options: argparse.Namespace) -> Result:
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"stat.")
    socket.connect(point)
    try:
        pid = _wait_until_all_are_there(socket, options)
        before, began = proc.cost(pid), time.monotonic()
        seen: dict[str, list[float]] = {}
        messages = 0
        while (left := began + options.seconds - time.monotonic()) > 0:
            if socket.poll(int(left * 1000) + 1):
                topic = socket.recv_multipart()[0].decode()
                messages += 1
                if topic.startswith("stat.w") and topic.count(".") == 1:
                    seen.setdefault(topic, []).append(time.monotonic())
        spent = time.monotonic() - began
        cpu = (proc.cost(pid).cpu_ns - before.cpu_ns) / 1e9 / spent * 100
        rates = [(len(times) - 1) / (times[-1] - times[0]) for times in seen.values()]
        rate = min(rates) if len(rates) == options.watchers else 0.0
        return Result(round(cpu, 2), round(rate, 2), messages, _rss(pid))
    finally:
        socket.close()
        context.term()


def _wait_until_all_are_there(socket: zmq.Socket[bytes], options: argparse.Namespace) -> int:
    """The pid of circusd-stats, once it has told of every process twice."""
    deadline = time.monotonic() + START_LIMIT
    pids: dict[str, int] = {}
    own, seen = 0, 0
    while time.monotonic() < deadline:
        if not socket.poll(1000):
            continue
        name, text = socket.recv_multipart()
        topic, message = name.decode(), json.loads(text)
        if message.get("name") == "circusd-stats":
            own = message["pid"]
        if topic.startswith("stat.w") and topic.count(".") == 1:
            pids[topic] = len(message["pid"])
            seen = seen + 1 if sum(pids.values()) >= options.processes else 0
        if own and seen >= 5 * options.watchers:
            return own
    raise SystemExit(f"only {sum(pids.values())} of {options.processes} processes were told of")


def _rss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return round(int(fields["VmRSS"].split()[0]) / proc.KIB_PER_MIB, 1)


if __name__ == "__main__":
    main()
