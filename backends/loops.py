"""Which asyncio event loop a worker runs on."""

from __future__ import annotations

import asyncio
import importlib


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop: uvloop's when it is installed."""
    try:
        uvloop = importlib.import_module("uvloop")  # only now: it need not be installed
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
