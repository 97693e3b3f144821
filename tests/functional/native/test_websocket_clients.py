"""WebSockets as the `websockets` library and Starlette have them."""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import Any

import pytest
from wire_server import Nest, WireServer
from ws_client import serve

pytest.importorskip("websockets")

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

MESSAGES: list[str | bytes] = [
    *("", "short", "grüße " * 30, "a" * 127, "b" * 128, "c" * 100_000),
    *(b"", b"\0" * 5000, os.urandom(70_000)),
    *["the same text again and again, so that a window pays " * 5] * 20,
]
WINDOWS = (None, 9, 12, 15)


def url(server: WireServer, path: str) -> str:
    """Of a path."""
    host, port = server.listeners[0].socket.getsockname()
    return f"ws://{host}:{port}{path}"


async def converse(server: WireServer, **more: Any) -> str:
    """All messages there and back; the extensions that were agreed on."""
    async with connect(url(server, "/echo?quiet"), max_size=None, **more) as client:
        assert client.response is not None
        agreed = client.response.headers.get("Sec-WebSocket-Extensions", "")
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send(str(number) for number in range(100))  # as fragments
        assert await client.recv() == "".join(map(str, range(100)))
        await (await client.ping())
    return agreed


@pytest.mark.parametrize("takeover", list(itertools.product((False, True), repeat=2)))
def test_every_extension_setting(nest: Nest, takeover: tuple[bool, bool]) -> None:
    server = serve(nest)
    for theirs, ours in itertools.product(WINDOWS, (*WINDOWS, True)):
        factory = ClientPerMessageDeflateFactory(
            server_no_context_takeover=takeover[0],
            client_no_context_takeover=takeover[1],
            server_max_window_bits=theirs,
            client_max_window_bits=ours,
        )
        agreed = asyncio.run(converse(server, compression=None, extensions=[factory]))
        assert agreed.startswith("permessage-deflate"), (theirs, ours)
    assert asyncio.run(converse(server, compression=None)) == ""
    assert server.slot().errors == 0


def test_starlette(nest: Nest) -> None:
    pytest.importorskip("starlette")
    server = serve(nest)

    async def talk() -> None:
        async with connect(url(server, "/starlette")) as client:
            await client.send('{"a": [1, "é"]}')
            assert await client.recv() == '{"got":{"a":[1,"é"]}}'
        async with connect(url(server, "/starlette")) as client:
            await client.send("this is no JSON")
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1011

    asyncio.run(talk())
    assert "JSONDecodeError" in server.log()
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_very_many_leave_nothing_behind(nest: Nest) -> None:
    """WS_LEAK_CONNECTIONS of them, each with ten messages there and back."""
    number = int(os.environ.get("WS_LEAK_CONNECTIONS", "300"))
    server = serve(nest)

    async def one(limit: asyncio.Semaphore, which: int) -> None:
        async with limit, connect(url(server, "/echo?quiet"), compression=None) as client:
            for _ in range(5):
                await client.send("a" * (which % 500))
                await client.recv()
            for _ in range(5):
                await client.send(b"b" * 1000)
                await client.recv()
            if which % 5 == 0:
                client.transport.abort()

    async def many(count: int) -> None:
        limit = asyncio.Semaphore(50)
        await asyncio.gather(*(one(limit, which) for which in range(count)))

    asyncio.run(many(number // 2))
    server.wait_slot(lambda slot: slot.in_flight == 0)
    before = server.memory()
    asyncio.run(many(number))
    server.wait_slot(lambda slot: slot.in_flight == 0)
    growth = server.memory() - before
    assert server.slot().requests == number + number // 2
    assert growth < 512 * 1024
