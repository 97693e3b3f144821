"""A few threads that run jobs; they end with the process and hold nothing up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]


class Crew:
    """Threads that take jobs in order.

    They are daemons, unlike concurrent.futures' ones: a job that hangs must not
    keep a worker whose time is over from leaving.
    """

    def __init__(self, size: int) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"chaussette-{index}", daemon=True)
            for index in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Runs the job as soon as a thread is free. What it raises is the thread's end."""
        self._jobs.put(job)

    def dismiss(self) -> None:
        """Lets the threads go home after the jobs they have; waits for nobody."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
