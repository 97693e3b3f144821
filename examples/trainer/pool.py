"""A pool of worker processes inside of one program: python pool.py [WORKERS] [JOBS].

The program hands out jobs over ZeroMQ and collects the results; get_trainer keeps
the workers running. Kill one of them meanwhile: another takes its place, and the
job that it had is handed out again.
"""

import sys
import tempfile
import time
from pathlib import Path

import zmq

from chaussette import get_trainer

WORKER = Path(__file__).with_name("worker.py")
LOST = 5.0
"""Seconds without any result after which jobs that were not answered are given out again."""


def run(workers: int, jobs: int) -> dict[int, dict[str, int]]:
    """Does all jobs; the results by job."""
    with tempfile.TemporaryDirectory(prefix="pool-") as place, zmq.Context() as context:
        source, sink = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        with source, sink:
            source.setsockopt(zmq.LINGER, 0)
            source.setsockopt(zmq.SNDHWM, 1)  # who is busy gets no second job
            source.bind(f"ipc://{place}/jobs")
            sink.bind(f"ipc://{place}/results")
            command = [sys.executable, WORKER, f"ipc://{place}/jobs", f"ipc://{place}/results"]
            with get_trainer(command, workers, name="pool", ready_after=0.2) as trainer:
                trainer.wait_ready(30)
                print("workers:", *trainer.get_watcher("pool").pids(), flush=True)
                return hand_out(source, sink, jobs)


def hand_out(source: zmq.Socket, sink: zmq.Socket, jobs: int) -> dict[int, dict[str, int]]:
    done: dict[int, dict[str, int]] = {}
    while len(done) < jobs:
        for number in range(jobs):
            if number not in done:
                source.send_json({"job": number, "below": 200_000 + 10_000 * number})
        while len(done) < jobs and sink.poll(int(LOST * 1000)):
            result = sink.recv_json()
            done[result["job"]] = result
    return done


def main(workers: int = 3, jobs: int = 60) -> None:
    began = time.monotonic()
    done = run(workers, jobs)
    by_worker: dict[int, int] = {}
    for result in done.values():
        by_worker[result["pid"]] = by_worker.get(result["pid"], 0) + 1
    print(f"{len(done)} jobs in {time.monotonic() - began:.2f}s, by worker: {by_worker}")
    print("primes below 200000:", done[0]["primes"])


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
