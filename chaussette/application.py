"""Applications: from a name to a callable, and which interface it speaks."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Interface(enum.Enum):
    """How an application is called."""

    WSGI = "wsgi"
    """PEP 3333."""
    ASGI = "asgi"
    """ASGI 3: `await app(scope, receive, send)`. ASGI 2 is adapted to this."""


@dataclass(frozen=True)
class Application:
    """One loaded application."""

    callable: Callable[..., Any]
    interface: Interface
    name: str
