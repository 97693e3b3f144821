"""Views and forms of the example site, inside this process."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone
from events.booking import AlreadyRegistered, NoSeats, register
from events.csvlines import line
from events.models import Event, Registration, Topic, Venue
from jobs.models import Job
from PIL import Image

pytestmark = pytest.mark.usefixtures("db")
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


def make_event(slug: str = "concert", **values: object) -> Event:
    venue, _ = Venue.objects.get_or_create(
        slug="hall", defaults={"name": "Hall", "address": "1 High Street", "seats": 50}
    )
    start = timezone.now() + DAY
    given = {"title": slug.title(), "summary": f"About {slug}", "seats": 10, "published": True}
    times = {"starts_at": start, "ends_at": start + HOUR}
    event = Event.objects.create(slug=slug, venue=venue, **{**given, **times, **values})
    event.topics.add(Topic.objects.get_or_create(slug="music", name="Music")[0])
    return event


def picture(kind: str = "PNG", size: tuple[int, int] = (900, 900)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "teal").save(data, kind)
    return data.getvalue()


def proposal_fields(venue: object, **values: object) -> dict[str, object]:
    start = timezone.localtime(timezone.now() + DAY)
    return {
        "title": "Kite day",
        "venue": venue,
        "summary": "Bring string.",
        "starts_at": start.strftime("%Y-%m-%dT%H:%M"),
        "ends_at": (start + HOUR).strftime("%Y-%m-%dT%H:%M"),
        "seats": 20,
        **values,
    }


def proposal(**values: object) -> dict[str, object]:
    venue, _ = Venue.objects.get_or_create(
        slug="hall", defaults={"name": "Hall", "address": "1 High Street", "seats": 50}
    )
    return proposal_fields(venue.pk, **values)


def test_the_list_asks_the_database_equally_often_for_few_and_many() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert Client().get("/").status_code == 200
        return len(asked)

    make_event("first")
    few = queries()
    for number in range(9):
        event = make_event(f"event-{number}")
        register(event, name="Ada", email="ada@example.org", party=2)
    assert queries() == few


def test_the_list_is_filtered_and_paged() -> None:
    for number in range(30):
        make_event(f"talk-{number}", starts_at=timezone.now() + (number + 1) * DAY,
                   ends_at=timezone.now() + (number + 1) * DAY + HOUR)  # fmt: skip
    make_event("opera", summary="Four hours of Wagner")
    make_event("gone", starts_at=timezone.now() - DAY, ends_at=timezone.now() - DAY + HOUR)
    make_event("secret", published=False)

    def titles(query: str) -> list[str]:
        return [event.title for event in Client().get(f"/{query}").context["page"]]

    assert len(titles("")) == 12
    assert len(titles("?page=3")) == 7
    assert titles("?q=wagner") == ["Opera"]
    assert titles("?when=past") == ["Gone"]
    assert len(titles("?topic=music&venue=hall&page=99")) == 7
    assert titles("?venue=nowhere&q=opera") == ["Opera"]


def test_free_seats_are_counted_once_per_registration_whatever_the_filters() -> None:
    event = make_event(seats=10)
    event.topics.add(Topic.objects.create(name="Film", slug="film"))
    register(event, name="Ada", email="ada@example.org", party=3)
    register(event, name="Bo", email="bo@example.org", party=4)
    (found,) = Client().get("/?topic=film").context["page"]
    assert (found.taken, found.free) == (7, 3)


def test_seats_are_taken_and_the_visitor_is_sent_back() -> None:
    event = make_event()
    answer = Client().post(
        event.get_absolute_url(), {"name": "Ada", "email": "Ada@Example.org", "party": 2}
    )
    assert (answer.status_code, answer["Location"]) == (302, event.get_absolute_url())
    assert Registration.objects.get().email == "ada@example.org"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"party": 6}, "party"),
        ({"party": 0}, "party"),
        ({"party": "many"}, "party"),
        ({"email": "nobody"}, "email"),
        ({"email": "EVE@example.org"}, "email"),
        ({"name": ""}, "name"),
    ],
)
def test_a_registration_that_cannot_be_is_explained(values: dict[str, object], field: str) -> None:
    event = make_event(seats=6)
    register(event, name="Eve", email="eve@example.org", party=1)
    given = {"name": "Ada", "email": "ada@example.org", "party": 1, **values}
    answer = Client().post(event.get_absolute_url(), given)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert Registration.objects.count() == 1


@pytest.mark.parametrize("values", [{"published": False}, {"over": True}])
def test_no_seats_of_what_is_over_or_not_published(values: dict[str, bool]) -> None:
    if values.pop("over", False):
        values |= {"starts_at": timezone.now() - DAY, "ends_at": timezone.now() - HOUR}
    event = make_event(**values)
    given = {"name": "Ada", "email": "ada@example.org", "party": 1}
    assert Client().post(event.get_absolute_url(), given).status_code == 422
    assert not Registration.objects.exists()


def test_booking_refuses_what_is_too_much() -> None:
    event = make_event(seats=3)
    register(event, name="Ada", email="ada@example.org", party=2)
    with pytest.raises(NoSeats) as refused:
        register(event, name="Bo", email="bo@example.org", party=2)
    assert refused.value.args == (1,)
    with pytest.raises(AlreadyRegistered):
        register(event, name="Ada", email="ADA@example.org", party=1)


def test_the_database_itself_refuses_nonsense() -> None:
    event = make_event()
    with pytest.raises(IntegrityError):
        Event.objects.filter(pk=event.pk).update(ends_at=event.starts_at)
    with pytest.raises(IntegrityError):
        Registration.objects.create(event=event, name="Ada", email="a@example.org", party=9)


def test_a_form_without_its_token_is_refused() -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/jobs/", {"month": "2026-01"}).status_code == 403


def test_a_proposal_is_kept_unlisted_and_its_poster_gets_a_job() -> None:
    poster = SimpleUploadedFile("../../evil.png", picture("JPEG"), "text/x-php")
    answer = Client().post("/events/propose/", proposal(poster=poster), follow=True)
    assert answer.status_code == 200
    event = Event.objects.get()
    assert not event.published
    assert event.poster.name.startswith("posters/") and event.poster.name.endswith(".jpg")
    assert b"This is a proposal" in answer.content
    assert Job.objects.get().arguments == {"event": event.pk}
    assert not list(Client().get("/").context["page"])


def test_a_proposal_without_a_poster_needs_no_job() -> None:
    assert Client().post("/events/propose/", proposal()).status_code == 302
    assert not Job.objects.exists()


def large_picture() -> bytes:
    return picture() + bytes(5 * 1024 * 1024)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"<?php", "not an image"),
        (lambda: picture("GIF"), "Only PNG, JPEG and WebP"),
        (large_picture, "at most 5.0"),
        (lambda: picture(size=(6000, 6000)), "too many pixels"),
    ],
    ids=["no picture", "other kind", "large file", "large picture"],
)
def test_a_poster_that_is_not_wanted_is_explained(content: Callable[[], bytes], words: str) -> None:
    poster = SimpleUploadedFile("poster.png", content(), "image/png")
    answer = Client().post("/events/propose/", proposal(poster=poster))
    assert answer.status_code == 422
    assert words in str(answer.context["form"].errors["poster"])
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"seats": 51}, "seats"),
        ({"seats": 0}, "seats"),
        ({"ends_at": "2001-01-01T10:00"}, "ends_at"),
        ({"starts_at": "2001-01-01T10:00"}, "starts_at"),
        ({"title": ""}, "title"),
    ],
)
def test_a_proposal_that_makes_no_sense_is_explained(values: dict[str, object], field: str) -> None:
    answer = Client().post("/events/propose/", proposal(**values))
    assert answer.status_code == 422
    assert field in answer.context["form"].errors


@override_settings(BODY_MAX_BYTES=1000)
def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    answer = Client().post("/events/propose/", {"title": "x" * 2000})
    assert answer.status_code == 413
    assert Client().get("/", CONTENT_LENGTH="many").status_code == 400


def test_the_csv_is_streamed_and_has_every_event() -> None:
    for number in range(130):
        make_event(f"event-{number}")
    answer = Client().get("/events.csv")
    assert answer.streaming
    assert "Content-Length" not in answer
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert rows[0][:3] == ["starts_at", "ends_at", "title"]
    assert len(rows) == 131


def test_the_csv_runs_no_formula() -> None:
    assert line(["=1+1", "a,b", 3]) == '\'=1+1,"a,b",3\r\n'


def test_under_asgi_the_csv_is_an_async_stream() -> None:
    make_event()

    async def body() -> bytes:
        answer = await AsyncClient().get("/events.csv")
        return b"".join([part async for part in answer.streaming_content])

    assert asyncio.run(body()).count(b"\r\n") == 2


def test_the_numbers_are_awaited_and_right() -> None:
    register(make_event(), name="Ada", email="ada@example.org", party=3)
    make_event("past", starts_at=timezone.now() - DAY, ends_at=timezone.now() - DAY + HOUR)
    make_event("secret", published=False)

    totals = asyncio.run(_numbers_page()).context["totals"]
    assert totals == {"events": 2, "upcoming": 1, "seats": 20, "registrations": 1, "taken": 3}
    assert Client().get("/numbers/").context["totals"] == totals


async def _numbers_page():  # type: ignore[no-untyped-def]
    return await AsyncClient().get("/numbers/")


def test_every_page_says_what_may_be_loaded() -> None:
    for path in ("/", "/numbers/", "/nowhere/", "/healthz"):
        assert "default-src 'self'" in Client().get(path)["Content-Security-Policy"]


def test_health_names_the_database_and_fails_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Client().get("/healthz").json() == {"status": "ok", "database": "sqlite"}
    monkeypatch.setitem(connection.settings_dict, "NAME", "/nowhere/at/all")
    connection.close()
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()["database"]) == (503, "OperationalError")
    connection.close()


def test_editors_find_everything_in_the_admin() -> None:
    from django.contrib.auth.models import User

    event = make_event("draft", published=False)
    client = Client()
    client.force_login(User.objects.create_superuser("editor"))
    for path in ("", "events/event/", f"events/event/{event.pk}/change/", "jobs/job/"):
        assert client.get(f"/admin/{path}").status_code == 200
    client.post("/admin/events/event/", {"action": "publish", "_selected_action": [event.pk]})
    assert Event.objects.get().published


def test_seeding_twice_changes_nothing_and_gives_the_same_everywhere() -> None:
    def seed() -> str:
        out = io.StringIO()
        call_command("seed", start=datetime.date(2026, 1, 1), stdout=out)
        return out.getvalue()

    def content() -> list[tuple[object, ...]]:
        return [
            *Event.objects.order_by("slug").values_list("slug", "starts_at", "venue__slug"),
            *Registration.objects.order_by("event__slug", "email").values_list("email", "party"),
        ]

    assert "events ... 240" in seed()
    first = content()
    assert "0 rows added" in seed()
    assert content() == first
    call_command("flush", interactive=False, verbosity=0)
    seed()
    assert content() == first
    assert not Event.objects.with_free_seats().filter(free__lt=0).exists()
