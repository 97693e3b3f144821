"""Quart: views, streams, bodies, tasks behind the response."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from backend_apps import pass_gate_async, tell
from quart import Quart, current_app, request

app = Quart(__name__)


@app.before_serving
async def start() -> None:
    app.config["STARTED"] = "yes"


@app.after_serving
async def end() -> None:
    tell("shutdown")


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"started": current_app.config["STARTED"], "query": request.args["q"]}


@app.get("/sync")
def synchronous() -> str:
    return "sync"


@app.post("/body")
async def body() -> str:
    digest = hashlib.sha256()
    async for part in request.body:
        digest.update(part)
    return digest.hexdigest()


@app.get("/stream")
async def stream() -> Any:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first,"
        await pass_gate_async("streaming")
        yield b"last"

    return parts()


@app.get("/behind")
async def behind() -> str:
    async def task() -> None:
        tell("behind")

    app.add_background_task(task)
    return "answered"


@app.get("/fails")
async def fails() -> str:
    raise RuntimeError("deliberate")
