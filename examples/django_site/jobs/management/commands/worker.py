"""`manage.py worker`: does queued jobs until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils import timezone

from jobs import queue, tasks
from jobs.bell import Bell
from jobs.models import Job

log = logging.getLogger("jobs.worker")

# A look at the table without a ring: for jobs that another machine put in.
LOOK_EVERY = 30.0


class Command(BaseCommand):
    help = (
        "Does queued jobs. Any number of workers may run. "
        "SIGTERM: the job under way is finished, then the worker ends."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is queued, then end")

    def handle(self, **options: Any) -> None:
        name = f"{socket.gethostname()}:{os.getpid()}"
        with Bell(settings.JOBS_WAKE_FIFO) as bell:
            log.info("ready")
            while not bell.stopped:  # the worker's main loop
                close_old_connections()
                job = queue.claim(name)
                if job is not None:
                    do(job)
                elif options["once"]:
                    break
                else:
                    bell.wait(patience())
        log.info("stopped")


def do(job: Job) -> None:
    """Runs one job and keeps its outcome; never raises for what the task does."""
    try:
        result = tasks.run(job)
    except Exception as error:  # a task's bug goes into its row and the log
        log.exception("%s failed", job)
        queue.fail(job, f"{type(error).__name__}: {error}")
        return
    kept = queue.finish(job, result.text, result.file)
    log.info("%s done: %s%s", job, result.text, "" if kept else " (too late, lease lost)")


def patience() -> float:
    """Seconds to wait: until the first lease ends, but not longer than LOOK_EVERY."""
    lease_end = queue.next_lease_end()
    if lease_end is None:
        return LOOK_EVERY
    return min(LOOK_EVERY, (lease_end - timezone.now()).total_seconds() + 0.1)
