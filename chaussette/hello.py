"""The page that is served when no application is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any

PAGE = b"Hello from Chaussette.\n"


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:  # noqa: ARG001
    """A WSGI application that says hello (PEP 3333)."""
    start_response(
        "200 OK",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(PAGE)))],
    )
    return [PAGE]
