"""What the jobs do. Each may run twice and then gives the same result."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from typing import NamedTuple

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image, ImageOps

from events.models import Event
from jobs.models import Job

THUMBNAIL = (640, 360)


class Result(NamedTuple):
    text: str
    file: str = ""


def thumbnail(job: Job) -> Result:
    """A small WebP of an event's poster."""
    event = Event.objects.get(pk=job.arguments["event"])
    with event.poster.open("rb") as stream, Image.open(stream) as poster:
        small = ImageOps.exif_transpose(poster).convert("RGB")
        small.thumbnail(THUMBNAIL)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=80)
    name = _replace(f"thumbnails/{event.pk}-{job.pk}.webp", data.getvalue())
    Event.objects.filter(pk=event.pk).update(thumbnail=name)
    return Result(f"{small.width} x {small.height} pixels, {data.tell()} bytes")


def digest(job: Job) -> Result:
    """A month's events as plain text, for a notice board or a mail."""
    zone = timezone.get_current_timezone()
    first = datetime.datetime(job.arguments["year"], job.arguments["month"], 1, tzinfo=zone)
    after = (first + datetime.timedelta(days=32)).replace(day=1)
    events = list(
        Event.objects.published().for_lists().filter(starts_at__gte=first, starts_at__lt=after)
    )
    title = f"Town hall, {first:%B %Y}"
    lines = [title, "=" * len(title), ""]
    for event in events:
        starts_at = timezone.localtime(event.starts_at)
        lines += [
            f"{starts_at:%a %d, %H:%M}  {event.title}",
            f"    {event.venue.name}; {max(event.free, 0)} of {event.seats} seats free",
            f"    {event.summary}",
            "",
        ]
    venues = len({event.venue_id for event in events})
    text = f"{len(events)} events at {venues} venues"
    name = _replace(f"digests/{first:%Y-%m}-{job.pk}.txt", "\n".join([*lines, text, ""]).encode())
    return Result(text, name)


TASKS: dict[str, Callable[[Job], Result]] = {"thumbnail": thumbnail, "digest": digest}


def run(job: Job) -> Result:
    """Does the job. Raises KeyError for an unknown kind, and what the task raises."""
    return TASKS[job.kind](job)


def _replace(name: str, data: bytes) -> str:
    default_storage.delete(name)
    return default_storage.save(name, ContentFile(data))
