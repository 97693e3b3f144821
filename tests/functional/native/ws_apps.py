# ruff: noqa: ARG001 - the signature is that of the specification
"""ASGI applications that try WebSockets: the first segment of the path is what they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from backend_apps import pass_gate_async, tell
from wire_asgi import plain

TOGETHER: set[Any] = set()
BLOCK = b"x" * 65536


async def accept(receive: Any, send: Any, **more: Any) -> None:
    """The handshake."""
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **more})


async def caught(awaitable: Any) -> list[Any]:
    """The name of what it raised, and whether that is an OSError."""
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - shown
        return [type(error).__name__, isinstance(error, OSError)]
    return []


def show(message: dict[str, Any]) -> str:
    """Of a disconnect."""
    return f"{message['type']} {message['code']} {message['reason']!r}"


async def echo_all(receive: Any, send: Any, quiet: bool = False) -> None:
    """Until the end, which it tells unless it is to be quiet."""
    while (message := await receive())["type"] == "websocket.receive":
        key = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", key: message[key]})
    if not quiet:
        tell(show(message))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """What comes goes back."""
    await accept(receive, send)
    await echo_all(receive, send, scope["query_string"] == b"quiet")


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Closes before it accepts."""
    await receive()
    await send({"type": "websocket.close", "code": 3000, "reason": "no"})
    tell(show(await receive()))


async def scope_(scope: Any, receive: Any, send: Any) -> None:
    """Sends what it was called with."""
    await accept(receive, send)
    shown = {key: scope[key] for key in ("type", "scheme", "path", "subprotocols", "extensions")}
    shown["method"] = "method" in scope
    await send({"type": "websocket.send", "text": json.dumps(shown)})
    await send({"type": "websocket.close"})


async def choose(scope: Any, receive: Any, send: Any) -> None:
    """The last subprotocol, and fields of its own."""
    headers = [(b"X-One", b"1"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")]
    await accept(receive, send, subprotocol=scope["subprotocols"][-1], headers=headers)
    await echo_all(receive, send)


async def bad_accept(scope: Any, receive: Any, send: Any) -> None:
    """Acceptances that are none, then one."""
    await receive()
    found = [
        await caught(send({"type": "websocket.accept", **more}))
        for more in (
            {"subprotocol": "not a token"},
            {"subprotocol": 3},
            {"headers": [(b"a", b"b\r\nc: d")]},
            {"headers": [("a", "b")]},
            {"headers": [(b"Sec-WebSocket-Protocol", b"chat")]},
            {"headers": [(b"sec-websocket-accept", b"x")]},
            {"headers": [(b"content-length", b"1")]},
            {"headers": [(b"a", b"x" * 300_000)]},
        )
    ]
    found += [
        await caught(send({"type": "websocket.send", "text": "early"})),
        await caught(send({"type": "http.response.start", "status": 200})),
        await caught(send({})),
        await caught(send(None)),
    ]
    await send({"type": "websocket.accept"})
    found.append(await caught(send({"type": "websocket.accept"})))
    for message in (
        {"text": b"bytes"},
        {"text": "\ud800"},
        {"bytes": "text"},
        {"bytes": None},
        {},
    ):
        found.append(await caught(send({"type": "websocket.send", **message})))
    for more in ({"code": 1006}, {"code": 99999}, {"code": "x"}, {"reason": 3}):
        found.append(await caught(send({"type": "websocket.close", **more})))
    await send({"type": "websocket.send", "text": json.dumps(found)})


async def close(scope: Any, receive: Any, send: Any) -> None:
    """Closes with the query's code and reason; then tries what is too late."""
    await accept(receive, send)
    code, _, reason = scope["query_string"].decode().partition("-")
    message = {"type": "websocket.close", "reason": reason or None}
    await send({**message, "code": int(code)} if code else message)
    found = [
        await caught(send({"type": "websocket.send", "text": "late"})),
        await caught(send({"type": "websocket.close"})),
        show(await receive()),
        show(await receive()),
    ]
    tell(json.dumps(found))


async def late(scope: Any, receive: Any, send: Any) -> None:
    """Sends when the client has closed."""
    await accept(receive, send)
    first = await receive()
    found = [show(first), show(await receive())]
    found.append((await caught(send({"type": "websocket.send", "text": "late"})))[1])
    found.append((await caught(send({"type": "websocket.close"})))[1])
    tell(json.dumps(found))
    await send({"type": "websocket.send", "text": "late"})


async def connecting(scope: Any, receive: Any, send: Any) -> None:
    """Its client has gone before it accepts."""
    await receive()
    tell("connecting")
    tell(show(await receive()))
    await send({"type": "websocket.accept"})


async def raises(scope: Any, receive: Any, send: Any) -> None:
    """Before or after it has accepted, at once or later."""
    words = scope["query_string"].decode().split("-")
    if "later" in words:
        await asyncio.sleep(0)
    if "after" in words:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "accepted"})
    if "later" in words:
        await asyncio.sleep(0)
    if "raise" in words:
        raise RuntimeError("deliberate")


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Receives nothing until the test lets it; then it counts."""
    await accept(receive, send)
    await pass_gate_async("deaf")
    count = size = 0
    while (message := await receive())["type"] == "websocket.receive":
        count, size = count + 1, size + len(message["bytes"])
        if message["bytes"] == b"end":
            await send({"type": "websocket.send", "text": f"{count} {size}"})
    tell(show(message))


async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Sends so many blocks, and tells how far it is when the test asks through receive()."""
    await accept(receive, send)
    sent = 0

    async def pour() -> None:
        nonlocal sent
        for _ in range(int(scope["query_string"])):
            await send({"type": "websocket.send", "bytes": BLOCK})
            sent += 1

    pouring = asyncio.create_task(pour())
    await asyncio.wait([pouring], timeout=0.5)
    tell(f"sent {sent} {pouring.done()}")
    error = (await asyncio.gather(pouring, return_exceptions=True))[0]
    tell(f"{'OSError' if isinstance(error, OSError) else error} {show(await receive())}")


async def both(scope: Any, receive: Any, send: Any) -> None:
    """One task receives while another one sends."""
    await accept(receive, send)
    seen = 0

    async def count() -> None:
        nonlocal seen
        while (await receive())["type"] == "websocket.receive":
            seen += 1

    counting = asyncio.create_task(count())
    for number in range(500):
        await send({"type": "websocket.send", "text": str(number)})
        if number % 50 == 0:
            await asyncio.sleep(0)
    while seen < 500:
        await asyncio.sleep(0)
    await send({"type": "websocket.close", "code": 4000, "reason": f"{seen}"})
    await counting


async def together(scope: Any, receive: Any, send: Any) -> None:
    """Each text goes to all."""
    await accept(receive, send)
    TOGETHER.add(send)
    await send({"type": "websocket.send", "text": "joined"})
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for each in list(TOGETHER):
                await each({"type": "websocket.send", "text": message["text"]})
    finally:
        TOGETHER.discard(send)


async def channels(scope: Any, receive: Any, send: Any) -> None:
    """As a consumer of Channels does it: a queue between, and handlers by type."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()

    async def pump() -> None:
        while True:
            await inbox.put(await receive())

    pumping = asyncio.create_task(pump())
    try:
        while True:
            message = await inbox.get()
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            elif message["type"] == "websocket.receive":
                text = message.get("text")
                await send({"type": "websocket.send", "text": text, "bytes": None})
            else:
                tell(show(message))
                return
    finally:
        pumping.cancel()


async def starlette(scope: Any, receive: Any, send: Any) -> None:
    """Starlette's class; what it raises at the end is not caught."""
    from starlette.websockets import WebSocket

    socket = WebSocket(scope, receive, send)
    await socket.accept()
    while True:
        await socket.send_json({"got": await socket.receive_json()})


WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    way.__name__.rstrip("_").replace("_", "-"): way
    for way in (
        *(echo, refuse, scope_, choose, bad_accept, close, late, connecting, raises, deaf),
        *(flood, both, together, channels, starlette),
    )
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Without lifespan; over HTTP it says hello."""
    if scope["type"] == "http":
        await plain(send, b"hello")
        return
    assert scope["type"] == "websocket"
    await WAYS[scope["path"].partition("/")[2].partition("/")[0]](scope, receive, send)
