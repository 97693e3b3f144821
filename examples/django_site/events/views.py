"""The pages about events."""

from __future__ import annotations

from django.contrib import messages
from django.core.handlers.asgi import ASGIRequest
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from events import csvlines
from events.booking import AlreadyRegistered, NoSeats, register
from events.forms import FindForm, ProposalForm, RegistrationForm
from events.models import Event, Topic
from jobs import queue

PER_PAGE = 12


@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    form = FindForm(request.GET)
    found = form.narrow(Event.objects.published().for_lists())
    topics = Topic.objects.annotate(
        number=Count(
            "events", filter=Q(events__published=True, events__ends_at__gte=timezone.now())
        )
    ).filter(number__gt=0)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "events/list.html", {"form": form, "page": page, "topics": topics})


@require_safe
def event_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The list with the same filters, sent while it is read from the database."""
    found = FindForm(request.GET).narrow(Event.objects.published().for_lists())
    # Under ASGI a plain generator would be read to its end before the first byte.
    rows = csvlines.lines_async if isinstance(request, ASGIRequest) else csvlines.lines
    return StreamingHttpResponse(
        rows(found),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="events.csv"',
            "X-Accel-Buffering": "no",  # nginx passes each piece on as it comes
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
def event_detail(request: HttpRequest, slug: str) -> HttpResponse:
    event = get_object_or_404(Event.objects.for_lists(), slug=slug)
    form = RegistrationForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _take_seats(request, event, form):
        return redirect(event)
    more = (
        Event.objects.published()
        .upcoming()
        .filter(venue=event.venue_id)
        .exclude(pk=event.pk)
        .only("title", "slug", "starts_at")[:4]
    )
    status = 422 if form.errors else 200
    context = {"event": event, "form": form, "more": more}
    return render(request, "events/detail.html", context, status=status)


def _take_seats(request: HttpRequest, event: Event, form: RegistrationForm) -> bool:
    """Whether the seats are taken; if not, the form says why."""
    if event.is_over or not event.published:
        form.add_error(None, "Seats cannot be taken for this event.")
        return False
    try:
        taken = register(event, **form.cleaned_data)
    except NoSeats as refused:
        form.add_error("party", f"Only {refused.args[0]} seats are left.")
    except AlreadyRegistered:
        form.add_error("email", "This address is registered already.")
    else:
        messages.success(request, f"{taken.party} seats are kept for {taken.name}.")
        return True
    return False


@require_http_methods(["GET", "HEAD", "POST"])
def propose(request: HttpRequest) -> HttpResponse:
    """Keeps a proposal for the editors; a poster gets its thumbnail in a job."""
    form = ProposalForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            event = form.save()
            if event.poster:
                queue.enqueue("thumbnail", event=event.pk)
        messages.success(request, "Thank you. An editor will read the proposal.")
        return redirect(event)
    return render(
        request, "events/propose.html", {"form": form}, status=422 if form.errors else 200
    )
