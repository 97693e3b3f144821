"""The site's forms: finding events, taking seats, proposing an event."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.text import slugify

from events.models import Event, EventQuerySet, Registration, Topic, Venue

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
MAX_PIXELS = 30_000_000
WHEN = [("upcoming", "Upcoming"), ("past", "Past"), ("all", "All dates")]


class FindForm(forms.Form):
    """Filters of the list; what makes no sense is ignored, never an error page."""

    q = forms.CharField(
        label="Search",
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "Title or summary"}),
    )
    venue = forms.ModelChoiceField(
        Venue.objects.all(), required=False, to_field_name="slug", empty_label="Any venue"
    )
    topic = forms.ModelChoiceField(
        Topic.objects.all(), required=False, to_field_name="slug", empty_label="Any topic"
    )
    when = forms.ChoiceField(choices=WHEN, required=False)

    def narrow(self, events: EventQuerySet) -> EventQuerySet:
        self.is_valid()
        wanted = self.cleaned_data
        if wanted.get("q"):
            events = events.filter(
                Q(title__icontains=wanted["q"]) | Q(summary__icontains=wanted["q"])
            )
        if wanted.get("venue"):
            events = events.filter(venue=wanted["venue"])
        if wanted.get("topic"):
            events = events.filter(topics=wanted["topic"])
        if wanted.get("when") == "past":
            return events.filter(ends_at__lt=timezone.now()).order_by("-starts_at", "-id")
        if wanted.get("when") == "all":
            return events
        return events.upcoming()


class RegistrationForm(forms.ModelForm):
    party = forms.IntegerField(label="Seats", min_value=1, max_value=6, initial=1)

    class Meta:
        model = Registration
        fields = ["name", "email", "party"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "email": forms.EmailInput(attrs={"autocomplete": "email"}),
        }


class ProposalForm(forms.ModelForm):
    poster = forms.ImageField(
        required=False,
        help_text="PNG, JPEG or WebP, at most " + filesizeformat(settings.POSTER_MAX_BYTES) + ".",
    )

    class Meta:
        model = Event
        fields = [
            "title",
            "venue",
            "topics",
            "summary",
            "description",
            "starts_at",
            "ends_at",
            "seats",
            "poster",
        ]
        widgets = {
            "starts_at": forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M"),
            "ends_at": forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M"),
            "description": forms.Textarea(attrs={"rows": 5}),
            "topics": forms.CheckboxSelectMultiple,
        }

    def clean_poster(self) -> UploadedFile | None:
        """The upload, when it is a picture of a kind and size we keep.

        `ImageField` has read it with Pillow already; the ending is then taken
        from what it is, not from what it was called.
        """
        poster = self.cleaned_data.get("poster")
        if not poster:
            return None
        if poster.size > settings.POSTER_MAX_BYTES:
            raise forms.ValidationError(
                f"This file has {filesizeformat(poster.size)}; "
                f"at most {filesizeformat(settings.POSTER_MAX_BYTES)} are accepted."
            )
        if poster.image.format not in FORMATS:
            raise forms.ValidationError("Only PNG, JPEG and WebP pictures are accepted.")
        if poster.image.width * poster.image.height > MAX_PIXELS:
            raise forms.ValidationError("This picture has too many pixels.")
        poster.name = f"poster.{FORMATS[poster.image.format]}"
        return poster

    def clean_starts_at(self) -> Any:
        starts_at = self.cleaned_data["starts_at"]
        if starts_at < timezone.now():
            raise forms.ValidationError("An event has to begin in the future.")
        return starts_at

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        starts_at, ends_at = data.get("starts_at"), data.get("ends_at")
        if starts_at and ends_at and ends_at <= starts_at:
            self.add_error("ends_at", "An event ends after it begins.")
        venue, seats = data.get("venue"), data.get("seats")
        if venue and seats is not None and not 1 <= seats <= venue.seats:
            self.add_error("seats", f"{venue} has {venue.seats} seats.")
        return data

    def save(self, commit: bool = True) -> Event:
        # The token keeps two proposals of one title apart, and the address of
        # what no editor has read yet from being guessed.
        title = slugify(self.instance.title)[:90] or "event"
        self.instance.slug = f"{title}-{secrets.token_hex(6)}"
        return super().save(commit)
