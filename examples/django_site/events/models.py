"""What the town hall knows: venues, topics, events, and who comes."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone


class Venue(models.Model):
    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    address = models.CharField(max_length=160)
    seats = models.PositiveIntegerField()
    step_free = models.BooleanField("step-free access", default=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Topic(models.Model):
    name = models.CharField(max_length=40, unique=True)
    slug = models.SlugField(max_length=40, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class EventQuerySet(models.QuerySet["Event"]):
    def published(self) -> EventQuerySet:
        return self.filter(published=True)

    def upcoming(self) -> EventQuerySet:
        return self.filter(ends_at__gte=timezone.now())

    def with_free_seats(self) -> EventQuerySet:
        """Adds `taken` and `free`, computed by the database in the same query."""
        taken = (
            Registration.objects.filter(event=OuterRef("pk"))
            .order_by()
            .values("event")
            .annotate(total=Sum("party"))
            .values("total")
        )
        return self.annotate(taken=Coalesce(Subquery(taken), 0)).annotate(
            free=F("seats") - F("taken")
        )

    def for_lists(self) -> EventQuerySet:
        """Everything a card or a CSV line shows, in a fixed number of queries."""
        return self.with_free_seats().select_related("venue").prefetch_related("topics")


def poster_path(_event: Event, filename: str) -> str:
    """A name that cannot be guessed and takes nothing but its ending from the visitor."""
    return f"posters/{uuid.uuid4().hex}.{filename.rpartition('.')[2].lower()}"


class Event(models.Model):
    title = models.CharField(max_length=100)
    slug = models.SlugField(max_length=120, unique=True)
    venue = models.ForeignKey(Venue, on_delete=models.PROTECT, related_name="events")
    topics = models.ManyToManyField(Topic, related_name="events", blank=True)
    summary = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    seats = models.PositiveIntegerField()
    poster = models.ImageField(upload_to=poster_path, blank=True)
    thumbnail = models.ImageField(upload_to="thumbnails", blank=True, editable=False)
    published = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["starts_at", "id"]
        indexes = [models.Index(fields=["published", "starts_at"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="event_ends_after_it_starts"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("event", args=[self.slug])

    @property
    def is_over(self) -> bool:
        return self.ends_at < timezone.now()


class Registration(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="registrations")
    name = models.CharField(max_length=80)
    email = models.EmailField()
    party = models.PositiveSmallIntegerField("number of seats", default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["event", "email"], name="one_registration_per_email"),
            models.CheckConstraint(
                condition=Q(party__gte=1) & Q(party__lte=6), name="party_of_one_to_six"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.party}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower()
        super().save(*args, **kwargs)
