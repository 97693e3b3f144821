"""A Django project in one file: views that wait, stream, and use what Django keeps per thread."""

from __future__ import annotations

import time
from collections.abc import Iterator

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils import translation

settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], USE_I18N=True, DEBUG=False, SECRET_KEY="of a test"
)
django.setup()


def language(request: HttpRequest) -> HttpResponse:
    """Activates a language, which Django keeps per context, waits, and tells it."""
    translation.activate(request.GET["to"])
    time.sleep(0.05)  # noqa: TID251 - patched: it lets the others go on
    return HttpResponse(translation.get_language())


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Parts with waits between them."""

    def parts() -> Iterator[str]:
        for number in range(10):
            time.sleep(0.001)  # noqa: TID251
            yield f"{request.GET['name']}{number},"

    return StreamingHttpResponse(parts())


urlpatterns = [path("language", language), path("stream", stream)]
application = get_wsgi_application()
