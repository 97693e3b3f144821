"""Django saying hello, with its default middleware for a small site, without a database."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for measurements only",
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware"],
)


def hello(request: HttpRequest) -> HttpResponse:
    """With Content-Length."""
    del request
    answer = HttpResponse("Hello, World!", content_type="text/plain")
    answer["Content-Length"] = "13"
    return answer


def hello_without(request: HttpRequest) -> HttpResponse:
    """Without Content-Length, as Django leaves it when CommonMiddleware is not there."""
    del request
    return HttpResponse("Hello, World!", content_type="text/plain")


urlpatterns = [path("", hello), path("without", hello_without)]
application: Any = get_wsgi_application()
