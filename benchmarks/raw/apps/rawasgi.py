"""ASGI applications."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HELLO = b"Hello, World!"
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
}
BODY = {"type": "http.response.body", "body": HELLO}
TICK = 0.001


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Thirteen bytes; never suspends by itself."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    await send(START)
    await send(BODY)


async def suspending(scope: Scope, receive: Receive, send: Send) -> None:
    """Gives way to the event loop once before it answers."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future
    await send(START)
    await send(BODY)


async def post(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body and says how long it was."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    size = 0
    more = True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await _text(send, str(size).encode())


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A WebSocket whose texts come back."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    if scope["type"] != "websocket":
        return await hello(scope, receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


_room: dict[int, Send] = {}


async def room(scope: Scope, receive: Receive, send: Send) -> None:
    """A WebSocket whose texts go to all."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    _room[id(send)] = send
    try:
        while (message := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": message["text"]}
            for each in list(_room.values()):
                with contextlib.suppress(OSError):  # it may be about to leave
                    await each(answer)
    finally:
        del _room[id(send)]


_late: list[float] = []
_tickers: list[asyncio.Task[None]] = []


async def ticker(scope: Scope, receive: Receive, send: Send) -> None:
    """Hello beside a task that wants to wake up every millisecond.

    The first request to /late starts that task; each answers with the seconds by
    which it woke up late since the one before, as JSON.
    """
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    if scope["path"] != "/late":
        await send(START)
        await send(BODY)
        return None
    if not _tickers:
        _tickers.append(asyncio.create_task(_tick()))
    report = json.dumps(_late).encode()
    _late.clear()
    await _text(send, report)


async def _tick() -> None:
    while True:
        due = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        _late.append(time.monotonic() - due)


async def _text(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
