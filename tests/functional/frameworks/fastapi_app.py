"""FastAPI: dependencies, validation, uploads, background tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated

from backend_apps import tell
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI()
OPEN: list[int] = []


class Item(BaseModel):
    """What is posted."""

    name: str
    price: float


async def session() -> AsyncIterator[int]:
    """Open for as long as the request lasts."""
    OPEN.append(1)
    yield len(OPEN)
    OPEN.pop()


Session = Annotated[int, Depends(session)]


@app.get("/items/{number}")
async def item(number: int, opened: Session, wait: bool = False) -> dict[str, int]:
    await asyncio.sleep(0 if wait else 0.001)
    if number == 404:
        raise HTTPException(404)
    return {"number": number, "open": opened}


@app.get("/thread")
def thread() -> dict[str, bool]:
    return {"main": threading.current_thread() is threading.main_thread()}


@app.post("/items")
async def create(posted: Item, tasks: BackgroundTasks) -> Item:
    tasks.add_task(tell, f"made {posted.name}")
    return posted


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, int]:
    return {"size": len(await file.read())}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield str(number).encode()
            await asyncio.sleep(0)

    return StreamingResponse(parts())
