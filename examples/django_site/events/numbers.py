"""The page with figures about all published events: a view that awaits its queries.

An asyncio loop belongs to a thread, and gevent and Eventlet run many requests
in one: async views cannot be used there, so that the same queries then have a
plain view. docs/deployment.md says which backends this concerns.
"""

from __future__ import annotations

import sys
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from events.models import Event, Registration, Venue

TEMPLATE = "events/numbers.html"


def _totals() -> list[tuple[QuerySet[Any], dict[str, Any]]]:
    upcoming = Count("id", Q(ends_at__gte=timezone.now()))
    return [
        (
            Event.objects.published(),
            {"events": Count("id"), "seats": Sum("seats"), "upcoming": upcoming},
        ),
        (
            Registration.objects.filter(event__published=True),
            {"registrations": Count("id"), "taken": Sum("party")},
        ),
    ]


def _venues() -> QuerySet[Any]:
    number = Count("events", filter=Q(events__published=True))
    return Venue.objects.annotate(number=number).order_by("-number", "name")


def _months() -> QuerySet[Any]:
    events = Event.objects.published().order_by().annotate(month=TruncMonth("starts_at"))
    return events.values("month").annotate(number=Count("id")).order_by("month")


def _context(totals: dict[str, Any], venues: list[Any], months: list[Any]) -> dict[str, Any]:
    return {
        "totals": totals,
        "venues": venues,
        "months": months,
        "most_per_venue": max((venue.number for venue in venues), default=0),
        "most_per_month": max((row["number"] for row in months), default=0),
    }


@require_safe
async def numbers(request: HttpRequest) -> HttpResponse:
    totals: dict[str, Any] = {}
    for query, figures in _totals():
        totals |= await query.aaggregate(**figures)
    venues = [venue async for venue in _venues()]
    months = [row async for row in _months()]
    return render(request, TEMPLATE, _context(totals, venues, months))


@require_safe
def numbers_without_asyncio(request: HttpRequest) -> HttpResponse:
    totals: dict[str, Any] = {}
    for query, figures in _totals():
        totals |= query.aggregate(**figures)
    return render(request, TEMPLATE, _context(totals, list(_venues()), list(_months())))


def is_patched() -> bool:
    """Whether gevent or Eventlet has put its greenlets in the place of threads."""
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    return bool(
        (gevent and gevent.is_module_patched("threading"))
        or (eventlet and eventlet.is_monkey_patched("thread"))
    )
