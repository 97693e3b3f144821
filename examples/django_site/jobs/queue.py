"""Jobs in a table: put in by the site, taken by workers, by one of them only.

A job is taken with an UPDATE that names the state it was seen in; of several
workers, the database lets one change the row. That needs no lock that SQLite
lacks. The taker has a lease: when it dies, the job is free again after LEASE.
A job may therefore run twice, and must be written so that this does no harm.
"""

from __future__ import annotations

import datetime

from django.db import transaction
from django.db.models import F, Min, Q
from django.utils import timezone

from jobs import bell
from jobs.models import Job

LEASE = datetime.timedelta(seconds=60)
MAX_ATTEMPTS = 3


def enqueue(kind: str, **arguments: int | str) -> Job:
    """Adds a job and, once the transaction is committed, wakes a worker."""
    job = Job.objects.create(kind=kind, arguments=arguments)
    transaction.on_commit(bell.ring)
    return job


def waiting() -> int:
    return Job.objects.filter(status=Job.Status.QUEUED).count()


def _free(now: datetime.datetime) -> Q:
    return Q(status=Job.Status.QUEUED) | Q(status=Job.Status.RUNNING, lease_until__lt=now)


def claim(worker: str) -> Job | None:
    """The oldest free job, now this worker's; None when there is none."""
    give_up_dead()
    while True:
        now = timezone.now()
        job = Job.objects.filter(_free(now)).order_by("id").first()
        if job is None:
            return None
        mine = Job.objects.filter(_free(now), pk=job.pk, attempts=job.attempts).update(
            status=Job.Status.RUNNING,
            attempts=F("attempts") + 1,
            worker=worker,
            started_at=now,
            lease_until=now + LEASE,
        )
        if mine:
            job.refresh_from_db()
            return job


def give_up_dead() -> None:
    """Fails the jobs whose takers died once too often."""
    now = timezone.now()
    Job.objects.filter(
        status=Job.Status.RUNNING, lease_until__lt=now, attempts__gte=MAX_ATTEMPTS
    ).update(
        status=Job.Status.FAILED,
        error=f"{MAX_ATTEMPTS} workers ended before the job did.",
        finished_at=now,
    )


def finish(job: Job, result: str, result_file: str = "") -> bool:
    """Whether the result was kept: it is not when the lease had gone to another."""
    return _close(job, status=Job.Status.DONE, result=result[:200], result_file=result_file)


def fail(job: Job, error: str) -> bool:
    return _close(job, status=Job.Status.FAILED, error=error)


def _close(job: Job, **values: str) -> bool:
    mine = Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING, attempts=job.attempts)
    return bool(mine.update(finished_at=timezone.now(), lease_until=None, **values))


def next_lease_end() -> datetime.datetime | None:
    """When the first running job would be free again."""
    running = Job.objects.filter(status=Job.Status.RUNNING)
    return running.aggregate(first=Min("lease_until"))["first"]
