# ruff: noqa: ARG001 - the signature is that of the specification
"""ASGI applications that try the contract: the first segment of the path is what they do."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import json
import sys
from collections.abc import Callable
from typing import Any

from backend_apps import pass_gate, pass_gate_async, tell
from wire_asgi import begin, give, plain, read

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="fresh")
KEPT: list[Any] = []
BLOCK = b"x" * 65536


async def tell_json(send: Any, value: Any) -> None:
    """200 with JSON."""
    await plain(send, json.dumps(value).encode())


async def caught(awaitable: Any) -> list[Any]:
    """The name of what it raised, and whether that is an OSError."""
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - shown
        return [type(error).__name__, isinstance(error, OSError)]
    return []


async def errors(scope: Any, receive: Any, send: Any) -> None:
    """Messages that are none; the connection and the response survive all of them."""
    start = {"type": "http.response.start", "status": 200}
    body = {"type": "http.response.body", "body": b""}
    found = [
        await caught(send(message))
        for message in (
            body,
            {},
            None,
            [],
            {"type": 1},
            {"type": "http.request"},
            {"type": "websocket.send"},
            {"type": "http.response.start"},
            {**start, "status": "200"},
            {**start, "status": 99},
            {**start, "status": 101},
            {**start, "status": 1000},
            {**start, "status": 10**30},
            {**start, "headers": 1},
            {**start, "headers": [b"ab"]},
            {**start, "headers": [(b"a", "b")]},
            {**start, "headers": [(b"a", b"b", b"c")]},
            {**start, "headers": [(b"a", b"b\r\n")]},
            {**start, "headers": [(b"A b", b"b")]},
            {**start, "headers": {"a": "b"}},
            {"type": "http.response.pathsend", "path": "/etc/hostname"},
        )
    ]
    await begin(send, 200, ((name, b"1") for name in (b"x-first", b"X-Second")))
    found += [
        await caught(begin(send)),
        await caught(give(send, "text")),  # type: ignore[arg-type]
        await caught(give(send, 3)),  # type: ignore[arg-type]
        await caught(send({"type": "http.response.pathsend", "path": "/no/such/file"})),
        await caught(send({"type": "http.response.pathsend", "path": "/tmp"})),
        await caught(send({"type": "http.response.pathsend"})),
    ]
    await give(send, json.dumps(found).encode(), more=True)
    await give(send, bytearray(b" "), more=True)
    await give(send, memoryview(b" "))
    tell(json.dumps([await caught(give(send, b"late")), await caught(begin(send))]))
    tell((await receive())["type"])


async def parts(scope: Any, receive: Any, send: Any) -> None:
    """Tells of each part of the body as it comes."""
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        tell(f"{message['type']} {message.get('body', b'').decode()} {more}")
    await plain(send, b"all")


async def hold(scope: Any, receive: Any, send: Any) -> None:
    """Reads nothing of its body until the test lets it; then all of it."""
    await pass_gate_async("holding")
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await plain(send, str(size).encode())


async def ignore(scope: Any, receive: Any, send: Any) -> None:
    """Does not read its body."""
    await plain(send, b"ignored")


async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Blocks until nobody wants any."""
    await begin(send)
    tell("begun")
    block = b"x" * int(scope["query_string"])
    try:
        while True:
            await give(send, block, more=True)
    except OSError as error:
        tell(f"{type(error).__name__} {(await receive())['type']}")
        raise


async def pour(scope: Any, receive: Any, send: Any) -> None:
    """The same, and tells nobody."""
    await begin(send)
    while True:
        await give(send, BLOCK, more=True)


async def two_receivers(scope: Any, receive: Any, send: Any) -> None:
    """Two tasks wait for the end of the client, and a third gives up."""
    await read(receive)
    both = [asyncio.create_task(receive()) for _ in range(2)]
    third = asyncio.create_task(receive())
    await asyncio.sleep(0)
    third.cancel()
    await begin(send)
    await give(send, b"begun", more=True)
    tell(" ".join(message["type"] for message in await asyncio.gather(*both)))


async def late_read(scope: Any, receive: Any, send: Any) -> None:
    """Reads its body when the client has sent its last byte already."""
    await pass_gate_async("late")
    await plain(send, await read(receive))


async def sse(scope: Any, receive: Any, send: Any) -> None:
    """Events until the client has gone."""
    await begin(send, 200, [(b"content-type", b"text/event-stream")])
    await give(send, b"data: 1\n\n", more=True)
    try:
        message = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        tell("gone")
    except asyncio.CancelledError:
        tell("cancelled")
        raise


async def pathsend(scope: Any, receive: Any, send: Any) -> None:
    """A file."""
    await begin(send)
    await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})


async def sleep(scope: Any, receive: Any, send: Any) -> None:
    """Answers its query a moment later."""
    await asyncio.sleep(0.001 if scope["query_string"].startswith(b"s") else 0)
    await plain(send, scope["query_string"])


async def background(scope: Any, receive: Any, send: Any) -> None:
    """Goes on when the response is complete."""
    await plain(send, b"answered")
    await pass_gate_async("background")
    tell("done")


async def outlive(scope: Any, receive: Any, send: Any) -> None:
    """A task that its request leaves behind."""
    KEPT.append(asyncio.create_task(pass_gate_async("left behind")))
    await plain(send, b"left")


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Ends without a response, or with half of one."""
    if scope["query_string"]:
        await begin(send)
        await give(send, b"half", more=True)
        await asyncio.sleep(0)


async def raises(scope: Any, receive: Any, send: Any) -> None:
    """Raises what the query says, before it waits or after."""
    kind, _, when = scope["query_string"].decode().partition("-")
    if when == "later":
        await asyncio.sleep(0)
    if when == "after":
        await plain(send, b"whole")
    if kind == "cancel":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
    raise {"error": RuntimeError("deliberate"), "exit": SystemExit(3)}[kind]


async def asyncio_(scope: Any, receive: Any, send: Any) -> None:
    """What an application of asyncio takes for granted."""
    task = asyncio.current_task()
    assert task is not None
    found: dict[str, Any] = {"variable": VARIABLE.get(), "name": task.get_name()}
    VARIABLE.set("mine")
    repr(task)
    found["in all_tasks"] = task in asyncio.all_tasks()
    found["awaitable"] = asyncio.iscoroutine(receive())
    await asyncio.sleep(0)
    found["same task"] = asyncio.current_task() is task
    found["variable kept"] = VARIABLE.get()
    found["child has it"] = await asyncio.create_task(variable())
    found["thread has it"] = await asyncio.to_thread(VARIABLE.get)
    loop = asyncio.get_running_loop()
    found["executor"] = await loop.run_in_executor(None, lambda: 1)
    found["loop"] = type(loop).__module__.partition(".")[0]
    found["timeout"] = await timed_out()
    found["group"] = await group()
    task.set_name("renamed")
    await tell_json(send, found)


async def variable() -> str:
    """As a task of its own sees it."""
    return VARIABLE.get()


async def timed_out() -> bool:
    """asyncio.timeout, of a wait without end."""
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        return True
    return False


async def group() -> list[str]:
    """A TaskGroup whose one task fails."""
    seen = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def fails() -> None:
        raise ValueError("deliberate")

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waits())
            tasks.create_task(fails())
    except* ValueError:
        seen.append("raised")
    return seen


async def anyio_(scope: Any, receive: Any, send: Any) -> None:
    """Cancel scopes, groups and threads of anyio."""
    import anyio

    found = {}
    with anyio.move_on_after(0.01) as cancelled:
        await anyio.sleep_forever()
    found["moved on"] = cancelled.cancelled_caught
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        tasks.cancel_scope.cancel()
    found["thread"] = await anyio.to_thread.run_sync(lambda: 1)
    with anyio.move_on_after(0.01) as cancelled:
        await read(receive)
        await receive()
    found["receive"] = cancelled.cancelled_caught
    await tell_json(send, found)


async def block(scope: Any, receive: Any, send: Any) -> None:
    """Holds the loop itself."""
    pass_gate("blocking")
    await plain(send, b"passed")


async def unawaited(scope: Any, receive: Any, send: Any) -> None:
    """Forgets to await."""
    send({"type": "http.response.start", "status": 200})
    await plain(send, b"sent")


async def state(scope: Any, receive: Any, send: Any) -> None:
    """What lifespan left, of which each request has a copy."""
    found = json.loads(json.dumps(scope["state"]))
    scope["state"]["mine"] = 1
    scope["state"].get("list", []).append(1)
    await tell_json(send, found)


async def stuck(scope: Any, receive: Any, send: Any) -> None:
    """Waits without end; tells when it is cancelled."""
    try:
        tell("stuck")
        await asyncio.Event().wait()
    finally:
        tell("unstuck")


async def echo_stream(scope: Any, receive: Any, send: Any) -> None:
    """Sends each part of the body back as it comes."""
    await begin(send)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await give(send, message["body"], more=True)
    await give(send, b"")


async def objects(scope: Any, receive: Any, send: Any) -> None:
    """How many objects there are, how many blocks of memory, and how many tasks."""
    gc.collect()
    tasks = len(asyncio.all_tasks())
    await tell_json(send, [len(gc.get_objects()), sys.getallocatedblocks(), tasks])


async def drop(scope: Any, receive: Any, send: Any) -> None:
    """Waits for a client that leaves, in two ways at once, with one that gives up."""
    waiter = asyncio.create_task(receive())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(receive(), 0.0001)
    try:
        while True:
            await begin(send) if waiter.done() else await asyncio.sleep(0)
    finally:
        waiter.cancel()


WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    way.__name__.rstrip("_").replace("_", "-"): way
    for way in (
        *(errors, parts, hold, ignore, flood, two_receivers, late_read, sse, pathsend, sleep),
        *(background, outlive, nothing, raises, asyncio_, anyio_, block, unawaited, state, stuck),
        *(echo_stream, objects, drop, pour),
    )
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Without lifespan."""
    assert scope["type"] == "http"
    name = scope["path"].partition("/")[2].partition("/")[0]
    if name in WAYS:
        await WAYS[name](scope, receive, send)
    else:
        await plain(send, b"hello")


async def living(scope: Any, receive: Any, send: Any) -> None:
    """With lifespan."""
    if scope["type"] != "lifespan":
        await app(scope, receive, send)
        return
    await receive()
    scope["state"].update(started="yes", list=[])
    await send({"type": "lifespan.startup.complete"})
    await receive()
    tell("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


def lifespan(act: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """An application that does this in its lifespan."""

    async def made(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await act(receive, send)
        else:
            await app(scope, receive, send)

    return made


async def _fails(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def _raises(receive: Any, send: Any) -> None:
    raise RuntimeError("in the startup")


async def _never_ends(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.complete"})
    await asyncio.Event().wait()


async def _fails_late(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "no farewell"})


failing = lifespan(_fails)
raising = lifespan(_raises)
unending = lifespan(_never_ends)
failing_late = lifespan(_fails_late)


class Two:
    """ASGI 2."""

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await app(self._scope, receive, send)
