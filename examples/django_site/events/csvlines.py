"""The list of events as CSV, line by line: nothing holds the whole of it."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from typing import Any

from events.models import Event, EventQuerySet

HEAD = ["starts_at", "ends_at", "title", "venue", "topics", "seats", "free", "summary"]
CHUNK = 100


class _Line:
    """A file for csv.writer that gives the line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


_writer = csv.writer(_Line())


def line(values: list[Any]) -> str:
    # A cell that begins like a formula would be run by a spreadsheet program.
    return _writer.writerow(
        "'" + cell if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@"} else cell
        for cell in values
    )


def event_line(event: Event) -> str:
    return line(
        [
            event.starts_at.isoformat(),
            event.ends_at.isoformat(),
            event.title,
            event.venue.name,
            ", ".join(topic.name for topic in event.topics.all()),
            event.seats,
            event.free,
            event.summary,
        ]
    )


def lines(events: EventQuerySet) -> Iterator[str]:
    yield line(HEAD)
    for event in events.iterator(chunk_size=CHUNK):
        yield event_line(event)


async def lines_async(events: EventQuerySet) -> AsyncIterator[str]:
    yield line(HEAD)
    async for event in events.aiterator(chunk_size=CHUNK):
        yield event_line(event)
