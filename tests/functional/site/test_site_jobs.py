"""The job table: who gets a job, what is kept of it, and how a worker is woken."""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from jobs import bell, queue, tasks
from jobs.management.commands.worker import LOOK_EVERY, do, patience
from jobs.models import Job
from PIL import Image
from test_site_pages import make_event, picture
from townhall_setup import SITE, VAR

pytestmark = pytest.mark.usefixtures("db")
PATIENCE = 20.0


@pytest.fixture
def listener() -> Iterator[int]:
    """The reading end of the bell, as a worker has it."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(settings.JOBS_WAKE_FIFO)
    pipe = os.open(settings.JOBS_WAKE_FIFO, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        os.read(pipe, 1000)
    yield pipe
    os.close(pipe)


def is_rung(pipe: int) -> bool:
    return bool(select.select([pipe], [], [], 0)[0])


def expire(job: Job) -> None:
    past = timezone.now() - datetime.timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(lease_until=past)


def test_jobs_are_taken_in_order_and_by_one_worker_only() -> None:
    first, second = queue.enqueue("digest"), queue.enqueue("digest")
    assert queue.claim("a") == first
    assert queue.claim("b") == second
    assert queue.claim("a") is None


def test_of_many_workers_at_once_each_gets_other_jobs() -> None:
    wanted = {queue.enqueue("digest").pk for _ in range(40)}
    taken: list[int] = []

    def work() -> None:
        while job := queue.claim(threading.current_thread().name):
            taken.append(job.pk)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(PATIENCE)
    assert sorted(taken) == sorted(wanted)


def test_the_job_of_a_dead_worker_is_free_again_and_its_late_result_is_refused() -> None:
    queue.enqueue("digest")
    first = queue.claim("dies")
    assert first is not None
    expire(first)
    second = queue.claim("lives")
    assert second is not None and second.attempts == 2
    assert not queue.finish(first, "late")
    assert queue.finish(second, "in time")
    assert Job.objects.get().result == "in time"


def test_a_job_that_kills_its_workers_is_given_up() -> None:
    queue.enqueue("digest")
    for _ in range(queue.MAX_ATTEMPTS):
        job = queue.claim("dies")
        assert job is not None
        expire(job)
    assert queue.claim("next") is None
    assert Job.objects.get().status == Job.Status.FAILED


def test_the_bell_rings_when_the_transaction_is_committed_and_not_before(listener: int) -> None:
    with transaction.atomic():
        queue.enqueue("digest")
        assert not is_rung(listener)
    assert is_rung(listener)


def test_the_bell_does_not_ring_for_what_was_rolled_back(listener: int) -> None:
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        queue.enqueue("digest")
        raise ZeroDivisionError
    assert not is_rung(listener)


def test_ringing_harms_nobody_when_no_worker_is_there() -> None:
    Path(settings.JOBS_WAKE_FIFO).unlink(missing_ok=True)
    bell.ring()
    os.mkfifo(settings.JOBS_WAKE_FIFO)
    bell.ring()


def test_a_waiting_worker_takes_one_byte_and_leaves_the_others(tmp_path: Path) -> None:
    with bell.Bell(tmp_path / "bell") as one:
        other = os.open(tmp_path / "bell", os.O_RDWR | os.O_NONBLOCK)
        os.write(other, b"!!")
        one.wait(PATIENCE)
        assert os.read(other, 10) == b"!"
        os.close(other)


def test_a_signal_ends_the_waiting(tmp_path: Path) -> None:
    with bell.Bell(tmp_path / "bell") as one:
        signal.raise_signal(signal.SIGTERM)
        one.wait(PATIENCE)
        assert one.stopped
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_thumbnail_is_made_and_made_again_without_harm() -> None:
    event = make_event()
    event.poster.save("poster.png", ContentFile(picture(size=(1600, 1200))))
    queue.enqueue("thumbnail", event=event.pk)
    job = queue.claim("worker")
    assert job is not None
    do(job)
    event.refresh_from_db()
    with Image.open(event.thumbnail.path) as small:
        assert (small.format, small.size) == ("WEBP", (480, 360))
    assert Job.objects.get().result.startswith("480 x 360 pixels")
    name = event.thumbnail.name
    tasks.run(job)
    event.refresh_from_db()
    assert event.thumbnail.name == name


def test_a_digest_lists_the_month_and_nothing_else() -> None:
    zone = timezone.get_current_timezone()
    inside = datetime.datetime(2031, 12, 31, 23, tzinfo=zone)
    hour = datetime.timedelta(hours=1)
    make_event("fireworks", starts_at=inside, ends_at=inside + hour)
    make_event("breakfast", starts_at=inside + 2 * hour, ends_at=inside + 3 * hour)
    queue.enqueue("digest", year=2031, month=12)
    call_command("worker", "--once")
    job = Job.objects.get()
    assert (job.status, job.result) == (Job.Status.DONE, "1 events at 1 venues")
    with job.result_file.open() as stream:
        text = stream.read().decode()
    assert "Town hall, December 2031" in text
    assert "Fireworks" in text and "Breakfast" not in text


@pytest.mark.parametrize("kind", ["thumbnail", "nonsense"])
def test_a_job_that_fails_keeps_its_error_and_not_the_worker(kind: str) -> None:
    queue.enqueue(kind, event=0)
    call_command("worker", "--once")
    job = Job.objects.get()
    assert job.status == Job.Status.FAILED
    assert job.error.startswith(("DoesNotExist", "KeyError"))
    page = Client().get(job.get_absolute_url()).content.decode()
    assert "failed" in page and job.error not in page


def test_a_worker_waits_no_longer_than_the_first_lease() -> None:
    assert patience() == LOOK_EVERY
    queue.enqueue("digest")
    job = queue.claim("worker")
    assert job is not None
    expire(job)
    assert patience() <= 0.1


def test_a_digest_can_be_asked_for_until_too_many_wait() -> None:
    answer = Client().post("/jobs/", {"month": "2026-02"})
    assert answer["Location"] == f"/jobs/{Job.objects.get().pk}/"
    assert Client().post("/jobs/", {"month": "soon"}).status_code == 422
    Job.objects.bulk_create(Job(kind="digest") for _ in range(50))
    refused = Client().post("/jobs/", {"month": "2026-02"})
    assert refused.status_code == 422
    assert b"Too many jobs" in refused.content


def test_a_worker_process_wakes_for_a_job_and_ends_when_told() -> None:
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "worker"],
        cwd=SITE,
        env={**os.environ, "TOWNHALL_VAR": str(VAR)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert worker.stderr is not None
        with worker.stderr as log:
            assert "ready" in log.readline()
            job = queue.enqueue("digest", year=2026, month=1)
            assert f"digest {job.pk} done" in log.readline()
            worker.terminate()
            assert "stopped" in log.readline()
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait()
