"""The lifespan of an ASGI application: its start, its state and its end.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from chaussette.application import user_error
from chaussette.errors import AppLoadError

LOGGER = logging.getLogger("chaussette")
STARTUP = {"type": "lifespan.startup"}
SHUTDOWN = {"type": "lifespan.shutdown"}


class Lifespan:
    """One conversation with the application, in a task of its own.

    An application that raises before it answers does not know lifespan, and is
    served without; one that answers that its startup failed is not served.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Waits until the application has started. Raises AppLoadError when it failed."""
        self._task = asyncio.ensure_future(self._run())
        answer = await self._ask(STARTUP)
        if answer["type"] == "lifespan.startup.failed":
            message = answer.get("message") or "it does not say why"
            raise AppLoadError(f"the application's lifespan startup failed: {message}")
        if answer["type"] == "unsupported":
            self._task = None

    async def shutdown(self, seconds: float) -> None:
        """Waits until the application has ended, for so long at most; never raises."""
        if self._task is None or self._task.done():
            return
        try:
            async with asyncio.timeout(seconds):
                answer = await self._ask(SHUTDOWN)
                if answer["type"] == "lifespan.shutdown.failed":
                    LOGGER.error("the application's shutdown failed: %s", answer.get("message", ""))
                await self._task
        except TimeoutError:
            LOGGER.error("the application's lifespan did not end in time")

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The application's answer; `unsupported` when it ended instead."""
        assert self._task is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.put_nowait(message)
        waited: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self._answer.done():
            return self._answer.result()
        return {"type": "unsupported"}

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._messages.get, self._send)
        except Exception as error:  # noqa: BLE001 - told below, or the application knows no lifespan
            if self._is_answered():
                LOGGER.error("%s", user_error("the application's lifespan failed", error))
            elif self._messages.empty():  # it has read that it may start
                LOGGER.warning("%s", user_error("the application's lifespan has no start", error))
            else:
                LOGGER.debug("the application knows no lifespan: %r", error)

    def _is_answered(self) -> bool:
        return self._answer is not None and self._answer.done()

    async def _send(self, message: dict[str, Any]) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)
