"""The ASGI twin of wire_apps: the same paths, the same record of what was called."""

from __future__ import annotations

import json
import os
import urllib.parse
from typing import Any

from backend_apps import pass_gate_async
from wire_apps import BIG, SEEN, text


async def read(receive: Any) -> bytes:
    """All of the body."""
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        more = message["more_body"]
    return body


async def begin(send: Any, status: int = 200, headers: Any = ()) -> None:
    """The head."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def give(send: Any, body: bytes, more: bool = False) -> None:
    """One block of the body."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def plain(send: Any, body: bytes) -> None:
    """200 with a length."""
    await begin(send, 200, [(b"content-length", str(len(body)).encode())])
    await give(send, body)


async def answer(query: str, send: Any) -> None:
    """As in wire_apps; a `list` is sent as one block."""
    asked = json.loads(urllib.parse.unquote(query))
    blocks = [text(block).encode("latin-1") for block in asked.get("blocks", [])]
    headers = [
        (name.encode("latin-1"), text(value).encode("latin-1"))
        for name, value in asked.get("headers", [])
    ]
    await begin(send, int(asked.get("status", "200")[:3]), headers)
    if asked.get("how", "generator") not in ("generator", "file"):
        await give(send, b"".join(blocks))
        return
    for block in filter(None, blocks):
        await give(send, block, more=True)
    await give(send, b"")


async def big(query: str, send: Any) -> None:
    """Ten million bytes, as one block or many."""
    pattern = bytes(range(256)) * (BIG // 256 + 1)
    size = BIG if query == "one" else int(query)
    await begin(send, 200, [(b"content-length", str(BIG).encode())])
    for at in range(0, BIG, size):
        await give(send, pattern[at : min(at + size, BIG)], more=True)
    await give(send, b"")


async def fail(where: str, send: Any) -> None:
    """Raises where the query says."""
    if where == "call":
        raise RuntimeError("in the call")
    await begin(send, 200, [(b"content-length", b"100")] if where == "length" else [])
    if where == "started":
        raise RuntimeError("after the head")
    await give(send, b"half", more=True)
    raise RuntimeError("after the first block")


def remember(scope: Any, body: bytes | None) -> None:
    """What it was called with."""
    fields = {name: value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    SEEN.append(
        {
            "method": scope["method"],
            "target": target.decode("latin-1"),
            "host": fields.get(b"host"),
            "body": body.decode("latin-1") if body is not None else None,
            "te": None,
        }
    )


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The application."""
    assert scope["type"] == "http"
    name = scope["path"].partition("/")[2].partition("/")[0]
    query = scope["query_string"].decode("latin-1")
    body = await read(receive) if name == "echo" else None
    if name == "seen":
        found, SEEN[:] = SEEN[:], []
        await plain(send, json.dumps(found).encode())
        return
    if name == "closed":  # which WSGI's bodies are
        await plain(send, b"[]")
        return
    remember(scope, body)
    if name == "answer":
        await answer(query, send)
    elif name == "big":
        await big(query, send)
    elif name == "fail":
        await fail(query, send)
    elif name == "gate":
        await pass_gate_async(query)
        await plain(send, b"passed")
    elif name == "pid":
        await plain(send, str(os.getpid()).encode())
    else:
        await plain(send, body if body is not None else b"hello")
