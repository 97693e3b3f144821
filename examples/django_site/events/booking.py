"""Giving seats away: the one place where several workers must agree."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Sum

from events.models import Event, Registration


class NoSeats(Exception):
    """The event has fewer free seats than were asked for; the argument is how many."""


class AlreadyRegistered(Exception):
    """This address has a registration for the event."""


def register(event: Event, *, name: str, email: str, party: int) -> Registration:
    """Takes seats, or raises NoSeats or AlreadyRegistered and changes nothing.

    Two workers that sell the last seat at once are put in a row by the row lock
    on PostgreSQL, and by the write lock that a transaction begins with on SQLite
    (`transaction_mode` in the settings), where `select_for_update` means nothing.
    """
    with transaction.atomic():
        locked = Event.objects.select_for_update().get(pk=event.pk)
        if locked.registrations.filter(email=email.lower()).exists():
            raise AlreadyRegistered(email)
        taken = locked.registrations.aggregate(total=Sum("party"))["total"] or 0
        if taken + party > locked.seats:
            raise NoSeats(locked.seats - taken)
        return Registration.objects.create(event=locked, name=name, email=email, party=party)
