"""Django's ASGI handler: asynchronous and synchronous views, streams and uploads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import django
from backend_apps import pass_gate_async, tell
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http import StreamingHttpResponse as Stream
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django_app.measured"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING_CONFIG=None,
)
django.setup()


def measured(get_response: Any) -> Any:
    """A middleware of the older, synchronous kind."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        response["X-Measured"] = "yes"
        return response

    return middleware


async def asynchronous(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return JsonResponse({"path": request.path, "query": request.GET.dict()})


def synchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.META['REMOTE_ADDR']}")


async def upload(request: HttpRequest) -> HttpResponse:
    file: Any = request.FILES["file"]
    digest = hashlib.sha256(b"".join(file.chunks())).hexdigest()
    return HttpResponse(f"{request.POST['name']} {file.size} {digest}")


async def body(request: HttpRequest) -> HttpResponse:
    return HttpResponse(hashlib.sha256(request.body).hexdigest())


async def stream(_request: HttpRequest) -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first,"
        await pass_gate_async("streaming")
        yield b"last"

    return Stream(parts())


async def endless(_request: HttpRequest) -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    return Stream(parts())


def old_stream(_request: HttpRequest) -> Stream:
    def parts() -> Iterator[bytes]:
        yield b"one,"
        yield b"two"

    return Stream(parts())


def file(_request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


async def fails(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("deliberate")


async def cancelled(_request: HttpRequest) -> HttpResponse:
    try:
        tell("waiting")
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell("cancelled")
        raise
    return HttpResponse()


VIEWS = (asynchronous, synchronous, upload, body, stream, endless, old_stream, file, fails)
urlpatterns = [path(view.__name__, view) for view in (*VIEWS, cancelled)]
app = get_asgi_application()
