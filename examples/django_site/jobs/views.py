"""Pages that show jobs, and the form that asks for a digest."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from jobs import queue
from jobs.forms import DigestForm
from jobs.models import Job

MAX_WAITING = 50
PER_PAGE = 20


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def job_list(request: HttpRequest) -> HttpResponse:
    form = DigestForm(
        request.POST or None, initial={"month": timezone.localdate().strftime("%Y-%m")}
    )
    if request.method == "POST" and form.is_valid():
        if queue.waiting() < MAX_WAITING:
            month = form.cleaned_data["month"]
            return redirect(queue.enqueue("digest", year=month.year, month=month.month))
        form.add_error(None, "Too many jobs are waiting; please come back later.")
    page = Paginator(Job.objects.all(), PER_PAGE).get_page(request.GET.get("page"))
    states = Job.objects.order_by().values("status").annotate(number=Count("id"))
    counts = {row["status"]: row["number"] for row in states}
    context = {
        "form": form,
        "page": page,
        "counts": [(status, counts.get(status, 0)) for status in Job.Status.values],
    }
    return render(request, "jobs/list.html", context, status=422 if form.errors else 200)


@never_cache
@require_safe
def job_detail(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "jobs/detail.html", {"job": get_object_or_404(Job, pk=pk)})
