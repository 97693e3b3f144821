"""Circus's client classes: whoever used `circus.client` changes an import.

Replies are dictionaries, as they came: `{"status": "ok", "time": …, …}`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from types import TracebackType
from typing import Any

import zmq
import zmq.asyncio

from chaussette.control.client import DEFAULT_TIMEOUT
from chaussette.control.protocol import Request, read_reply, write_request
from chaussette.control.tunnel import Tunnel
from chaussette.errors import BadMessage, ControlError, NotAnswered


class CallError(ControlError):
    """A command could not be sent, or was not answered in time."""


def make_message(command: str, **props: Any) -> dict[str, Any]:
    """A command as `call` takes it."""
    return {"id": uuid.uuid4().hex, "command": command, "properties": props}


def _frame(command: dict[str, Any] | str) -> tuple[str, bytes]:
    if isinstance(command, str):
        command = make_message(command)
    request = Request(
        str(command.get("id") or uuid.uuid4().hex),
        str(command["command"]),
        dict(command.get("properties", {})),
        cast=command.get("msg_type") == "cast",
    )
    return request.id, write_request(request)


def _read(frame: bytes, wanted: str) -> dict[str, Any] | None:
    try:
        reply_id, _, message = read_reply(frame)
    except BadMessage:
        return None
    return message if reply_id == wanted else None


class CircusClient:
    """Sends commands to one arbiter and waits for the replies.

    Not safe for use by several threads at a time.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]] | str | None = None,
        endpoint: str = "tcp://127.0.0.1:5555",
        timeout: float = DEFAULT_TIMEOUT,
        ssh_server: str | None = None,
        ssh_keyfile: str | None = None,
    ) -> None:
        if isinstance(context, str):  # an endpoint alone is what most callers have
            endpoint, context = context, None
        self.timeout = timeout
        self._tunnel = Tunnel(ssh_server, endpoint, ssh_keyfile) if ssh_server else None
        self.endpoint = self._tunnel.endpoint if self._tunnel else endpoint
        self._own = context is None
        self.context = context or zmq.Context()
        self._socket = _dealer(self.context, self.endpoint)

    def send_message(self, command: str, **props: Any) -> dict[str, Any]:
        """Sends a command with its properties; returns the reply."""
        return self.call(make_message(command, **props))

    def call(self, command: dict[str, Any] | str) -> dict[str, Any]:
        """Sends a command; returns the reply, also when it tells of an error.

        Raises CallError when there is no reply in time.
        """
        wanted, frame = _frame(command)
        self._socket.send(frame)
        deadline = time.monotonic() + self.timeout
        while self._socket.poll(max(0, int((deadline - time.monotonic()) * 1000)), zmq.POLLIN):
            if (message := _read(self._socket.recv(), wanted)) is not None:
                return message
        raise CallError(f"no answer from {self.endpoint} within {self.timeout:g}s")

    def stop(self) -> None:
        """Closes the connection."""
        self._socket.close(0)
        if self._own:
            self.context.term()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    def __enter__(self) -> CircusClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class AsyncCircusClient:
    """CircusClient for an asyncio program; calls may overlap."""

    def __init__(
        self, endpoint: str = "tcp://127.0.0.1:5555", timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._context = zmq.asyncio.Context()
        self._socket = _dealer(self._context, endpoint)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def send_message(self, command: str, **props: Any) -> dict[str, Any]:
        """Sends a command with its properties; returns the reply."""
        return await self.call(make_message(command, **props))

    async def call(self, command: dict[str, Any] | str) -> dict[str, Any]:
        """Sends a command; returns the reply. Raises CallError when there is none in time."""
        wanted, frame = _frame(command)
        reply = self._waiting[wanted] = asyncio.get_running_loop().create_future()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_replies())
        await self._socket.send(frame)
        try:
            return await asyncio.wait_for(reply, self.timeout)
        except TimeoutError:
            raise CallError(f"no answer from {self.endpoint} within {self.timeout:g}s") from None
        finally:
            self._waiting.pop(wanted, None)

    async def stop(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        for reply in self._waiting.values():
            reply.cancel()
        self._socket.close(0)
        self._context.term()

    async def __aenter__(self) -> AsyncCircusClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _read_replies(self) -> None:
        while True:
            frame = await self._socket.recv()
            for wanted, reply in list(self._waiting.items()):
                message = _read(frame, wanted)
                if message is not None and not reply.done():
                    reply.set_result(message)


def _dealer(context: Any, endpoint: str) -> Any:
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.connect(endpoint)
    return dealer


__all__ = ["AsyncCircusClient", "CallError", "CircusClient", "NotAnswered", "make_message"]
