"""Starlette answering JSON."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def answer(request: Request) -> JSONResponse:
    """A small object."""
    del request
    return JSONResponse({"hello": "world", "numbers": [1, 2, 3]})


application = Starlette(routes=[Route("/", answer)])
