"""Starlette: what its users do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from backend_apps import pass_gate_async, tell
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route


async def asynchronous(request: Request) -> Response:
    await asyncio.sleep(0)
    return JSONResponse({"query": dict(request.query_params), "state": request.state.started})


def synchronous(request: Request) -> Response:
    client = request.client
    assert client is not None
    return PlainTextResponse(f"hello {client.host}")


async def body(request: Request) -> Response:
    digest = hashlib.sha256()
    async for part in request.stream():
        digest.update(part)
    return PlainTextResponse(digest.hexdigest())


async def upload(request: Request) -> Response:
    async with request.form() as form:
        file: Any = form["file"]
        digest = hashlib.sha256(await file.read()).hexdigest()
        return PlainTextResponse(f"{form['name']} {digest}")


async def stream(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first,"
        await pass_gate_async("streaming")
        yield b"last"

    return StreamingResponse(parts())


async def endless(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    return StreamingResponse(parts())


def old_stream(_request: Request) -> Response:
    def parts() -> Iterator[bytes]:
        yield b"one,"
        yield b"two"

    return StreamingResponse(parts())


async def background(_request: Request) -> Response:
    return PlainTextResponse("answered", background=BackgroundTask(pass_gate_async, "background"))


async def file(_request: Request) -> Response:
    return FileResponse(__file__)


async def fails(_request: Request) -> Response:
    raise RuntimeError("deliberate")


async def disconnected(request: Request) -> Response:
    while not await request.is_disconnected():
        await asyncio.sleep(0)
    tell("disconnected")
    return PlainTextResponse("nobody")


class Marking(BaseHTTPMiddleware):
    """The middleware with a task group and streams of its own."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-marked"] = "yes"
        return response


@contextlib.asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    yield {"started": True}
    tell("shutdown")


VIEWS = (asynchronous, synchronous, body, upload, stream, endless, old_stream, background, file)
routes = [
    Route(f"/{view.__name__}", view, methods=["GET", "POST"])
    for view in (*VIEWS, fails, disconnected)
]
bare = Starlette(routes=routes, lifespan=lifespan)
marked = Starlette(
    routes=routes,
    lifespan=lifespan,
    middleware=[Middleware(Marking), Middleware(GZipMiddleware, minimum_size=100)],
)
