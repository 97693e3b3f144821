"""Two small middlewares, usable from WSGI and ASGI without a thread in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware

# Everything the pages need comes from this site; the admin has no inline scripts either.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)

GetResponse = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def content_security_policy(get_response: GetResponse) -> GetResponse:
    """Adds a Content-Security-Policy to every response that has none."""

    def add(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    if iscoroutinefunction(get_response):

        async def awaited(request: HttpRequest) -> HttpResponseBase:
            return add(await get_response(request))

        return awaited
    return lambda request: add(get_response(request))


@sync_and_async_middleware
def body_limit(get_response: GetResponse) -> GetResponse:
    """Refuses a body that is too large before anything reads it.

    It must stand before the CSRF middleware, which reads the form to find its token.
    """

    def refusal(request: HttpRequest) -> HttpResponse | None:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return HttpResponse("Bad Content-Length", status=400, content_type="text/plain")
        if length <= settings.BODY_MAX_BYTES:
            return None
        return render(request, "413.html", {"limit": settings.POSTER_MAX_BYTES}, status=413)

    if iscoroutinefunction(get_response):

        async def awaited(request: HttpRequest) -> HttpResponseBase:
            return refusal(request) or await get_response(request)

        return awaited
    return lambda request: refusal(request) or get_response(request)
