"""One Python stack that replaces supervisor, app server and workers.

This package module stays empty of imports: a worker pays for what it uses. The
library (docs/library.md) is imported when one of its names is first asked for.
"""

from __future__ import annotations

from chaussette.version import __version__

TYPE_CHECKING = False  # see records.py

if TYPE_CHECKING:
    from typing import Any

    from chaussette.arbiter.library import Arbiter, get_arbiter, get_trainer
    from chaussette.arbiter.members import CircusSocket, Watcher
    from chaussette.arbiter.plugins import CircusPlugin
    from chaussette.arbiter.sinks.memory import QueueStream
    from chaussette.control.circus import AsyncCircusClient, CircusClient
    from chaussette.control.consumer import CircusConsumer

_HOMES = {
    "Arbiter": "chaussette.arbiter.library",
    "AsyncCircusClient": "chaussette.control.circus",
    "CircusClient": "chaussette.control.circus",
    "CircusConsumer": "chaussette.control.consumer",
    "CircusPlugin": "chaussette.arbiter.plugins",
    "CircusSocket": "chaussette.arbiter.members",
    "QueueStream": "chaussette.arbiter.sinks.memory",
    "Watcher": "chaussette.arbiter.members",
    "get_arbiter": "chaussette.arbiter.library",
    "get_trainer": "chaussette.arbiter.library",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'chaussette' has no attribute {name!r}")
    from importlib import import_module  # see above

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


__all__ = [
    "Arbiter",
    "AsyncCircusClient",
    "CircusClient",
    "CircusConsumer",
    "CircusPlugin",
    "CircusSocket",
    "QueueStream",
    "Watcher",
    "__version__",
    "get_arbiter",
    "get_trainer",
]
