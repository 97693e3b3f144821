"""What belongs to no app: the health page and uploaded files."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.static import serve

INLINE = {"image/png", "image/jpeg", "image/webp", "text/plain"}


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when this worker answers and reaches its database, else 503.

    Whoever asks must send a Host that the site allows, as visitors do.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return JsonResponse(
            {"status": "failing", "database": type(error).__name__},
            status=503,
        )
    return JsonResponse({"status": "ok", "database": connection.vendor})


@require_safe
def media(request: HttpRequest, path: str) -> HttpResponseBase:
    """Uploads and results of jobs, for a site without nginx in front.

    nginx serves /media/ itself. Whatever is not known to be harmless in a
    browser is offered as a download.
    """
    response = serve(request, path, document_root=settings.MEDIA_ROOT)
    if response.headers.get("Content-Type", "").partition(";")[0] not in INLINE:
        response.headers["Content-Disposition"] = "attachment"
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response
