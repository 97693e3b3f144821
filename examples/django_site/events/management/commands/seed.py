"""`manage.py seed`: fills the site with invented, always the same, data."""

from __future__ import annotations

import datetime
import random
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from events.models import Event, Registration, Topic, Venue

VENUES = [  # name, address, seats, step-free
    ("Corn Exchange", "1 Market Square", 220, True),
    ("Old Fire Station", "14 Engine Lane", 90, True),
    ("Canal Library", "7 Towpath", 45, True),
    ("St Agnes Parish Room", "22 Church Walk", 60, False),
    ("Greenhouse", "Botanic Garden, South Gate", 35, True),
    ("Signal Box", "Platform 3, Old Station", 18, False),
    ("Mill Workshop", "5 Weir Street", 24, True),
    ("Bandstand", "Victoria Park", 150, True),
]
TOPICS = [
    "Crafts", "Family", "Film", "Food", "Gardens", "History", "Language", "Music", "Repair",
    "Science",
]  # fmt: skip
# What happens, about what it is, how many hours it takes.
SERIES: list[tuple[str, str, list[str], float]] = [
    ("Repair café", "Bring a lamp, a bicycle or a coat; leave with it mended.", ["Repair"], 3),
    ("Choir rehearsal", "Four voices, no audition, tea in the break.", ["Music"], 2),
    ("Seed swap", "Take what you will sow, leave what you have too much of.", ["Gardens"], 2),
    ("Maps of the old canal", "What the surveyors drew and what they left out.", ["History"], 1.5),
    ("Bread from yesterday's dough", "Three loaves, one starter, all hands.", ["Food"], 3),
    ("French conversation", "An hour without a word of anything else.", ["Language"], 1),
    ("Silent film with piano", "A comedy of 1926 and a pianist who has seen it.", ["Film"], 2),
    ("Bats at dusk", "A walk with detectors along the weir.", ["Science", "Family"], 1.5),
    ("Bookbinding for beginners", "Sew a notebook of forty leaves.", ["Crafts"], 3),
    ("String quartet", "Haydn and a new piece by a neighbour.", ["Music"], 2),
    ("Story hour", "For children from four, and whoever brought them.", ["Family"], 1),
    ("Pruning fruit trees", "Why, when, and where to cut.", ["Gardens"], 2),
    ("Soldering a radio", "From a bag of parts to the evening news.", ["Science", "Repair"], 3),
    ("Letters from the mill", "Read aloud by those who found them.", ["History"], 1.5),
    ("Dumplings of five kitchens", "Fold, boil, compare.", ["Food", "Family"], 2.5),
    ("Sign language, first steps", "Greetings, names and numbers.", ["Language"], 1.5),
    ("Natural dyes", "Walnut, madder, weld and a lot of hot water.", ["Crafts"], 3),
    ("Short films by neighbours", "Eleven films, none longer than nine minutes.", ["Film"], 2),
    ("The sky this month", "Planets, a comet if there is one, and clouds.", ["Science"], 1.5),
    ("Sharpening knives", "Stones, angles and patience.", ["Repair", "Food"], 2),
]  # fmt: skip
DESCRIPTION = """{summary}

Doors open a quarter of an hour before. {venue} has {seats} seats{access}. \
If you have registered and cannot come, please tell us, so that somebody else can."""
FIRST = ["Ada", "Bram", "Chiara", "Dilek", "Emil", "Fatou", "Gwen", "Hugo", "Ines", "Jonas"]
LAST = ["Abel", "Brandt", "Claes", "Duarte", "Evans", "Fischer", "Garnier", "Hall", "Ito", "Jansen"]
EVENTS = 240
DAYS = 240  # over which they are spread
REGISTERED = 100  # the first so many events have registrations


class Command(BaseCommand):
    help = "Adds invented venues, events and registrations. What is there already is left alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--start",
            type=datetime.date.fromisoformat,
            help="day of the first event (YYYY-MM-DD); default: two months ago, on the 1st",
        )

    def handle(self, **options: Any) -> None:
        start = options["start"] or _two_months_ago(timezone.localdate())
        before = self._count()
        with transaction.atomic():
            self._add("venues", self._venues)
            self._add("topics", self._topics)
            self._add("events", lambda: self._events(start))
            self._add("registrations", self._registrations)
        added = self._count() - before
        self.stdout.write(self.style.SUCCESS(f"{added} rows added, {before} were there."))

    def _add(self, what: str, add: Any) -> None:
        self.stdout.write(f"  {what} ... ", ending="")
        self.stdout.flush()
        self.stdout.write(str(add()))

    def _count(self) -> int:
        return sum(model.objects.count() for model in (Venue, Topic, Event, Registration))

    def _venues(self) -> int:
        Venue.objects.bulk_create(
            (
                Venue(name=name, slug=slugify(name), address=address, seats=seats, step_free=free)
                for name, address, seats, free in VENUES
            ),
            ignore_conflicts=True,
        )
        return Venue.objects.count()

    def _topics(self) -> int:
        Topic.objects.bulk_create(
            (Topic(name=name, slug=slugify(name)) for name in TOPICS), ignore_conflicts=True
        )
        return Topic.objects.count()

    def _events(self, start: datetime.date) -> int:
        venues = {venue.name: venue for venue in Venue.objects.all()}
        present = set(Event.objects.values_list("slug", flat=True))
        new = [event for event in _plan(start, venues) if event.slug not in present]
        Event.objects.bulk_create(new)
        topics = {topic.name: topic for topic in Topic.objects.all()}
        of_title = {title: names for title, _, names, _ in SERIES}
        link = Event.topics.through
        link.objects.bulk_create(
            link(event=event, topic=topics[name]) for event in new for name in of_title[event.title]
        )
        return Event.objects.count()

    def _registrations(self) -> int:
        slugs = [event.slug for event in _plan(datetime.date(2000, 1, 1), None)][:REGISTERED]
        events = Event.objects.filter(slug__in=slugs, registrations=None)
        Registration.objects.bulk_create(
            registration for event in events for registration in _guests(event)
        )
        return Registration.objects.count()


def _two_months_ago(today: datetime.date) -> datetime.date:
    months = today.year * 12 + today.month - 1 - 2
    return datetime.date(months // 12, months % 12 + 1, 1)


def _plan(start: datetime.date, venues: dict[str, Venue] | None) -> list[Event]:
    """The events, the same for the same start. Without venues: only to know the slugs."""
    chance = random.Random("town hall")
    zone = timezone.get_current_timezone()
    events = []
    for number in range(EVENTS):
        title, summary, _, hours = SERIES[number % len(SERIES)]
        name, _, seats, step_free = chance.choice(VENUES)
        day = start + datetime.timedelta(days=chance.randrange(DAYS))
        clock = datetime.time(chance.choice([10, 14, 17, 19]), chance.choice([0, 30]))
        begin = datetime.datetime.combine(day, clock, tzinfo=zone)
        events.append(
            Event(
                title=title,
                slug=f"{slugify(title)}-{number // len(SERIES) + 1}",
                venue=venues[name] if venues else None,
                summary=summary,
                description=DESCRIPTION.format(
                    summary=summary,
                    venue=name,
                    seats=seats,
                    access=" and step-free access" if step_free else "",
                ),
                starts_at=begin,
                ends_at=begin + datetime.timedelta(hours=hours),
                seats=min(seats, chance.choice([12, 20, 30, 60, 200])),
                published=True,
            )
        )
    chance.shuffle(events)
    return events


def _guests(event: Event) -> list[Registration]:
    """Invented guests that fit into the event, the same for the same event."""
    chance = random.Random(event.slug)
    people = [(first, last) for first in FIRST for last in LAST]
    guests: list[Registration] = []
    free = event.seats
    for first, last in chance.sample(people, chance.randint(1, 24)):
        party = min(free, chance.randint(1, 4))
        if not party:
            break
        free -= party
        email = f"{first}.{last}@example.org".lower()
        guests.append(Registration(event=event, name=f"{first} {last}", email=email, party=party))
    return guests
