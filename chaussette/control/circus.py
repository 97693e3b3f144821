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
from zmq.utils.monitor import parse_monitor_message

from chaussette.control.client import DEFAULT_TIMEOUT
from chaussette.control.closing import Closing
from chaussette.control.curve import Credentials, Handshakes
from chaussette.control.protocol import Request, read_reply, write_request
from chaussette.control.tunnel import Tunnel
from chaussette.errors import BadMessage, ControlError, KeyRefused, NotAnswered


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


class CircusClient(Closing):
    """Sends commands to one arbiter and waits for the replies.

    `client_key` is a file that `circusctl keys add` has made, `server_key` the
    server's public key where the file does not have it; without them, a key is
    looked for where circusctl does. Raises ConfigError, WantsKey for a key that
    is missing. Not safe for use by several threads at a time.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]] | str | None = None,
        endpoint: str = "tcp://127.0.0.1:5555",
        timeout: float = DEFAULT_TIMEOUT,
        ssh_server: str | None = None,
        ssh_keyfile: str | None = None,
        *,
        client_key: str | None = None,
        server_key: str | None = None,
    ) -> None:
        if isinstance(context, str):  # an endpoint alone is what most callers have
            endpoint, context = context, None
        self.timeout = timeout
        self._tunnel = Tunnel(ssh_server, endpoint, ssh_keyfile) if ssh_server else None
        self.endpoint = self._tunnel.endpoint if self._tunnel else endpoint
        self._own = context is None
        self.context = context or zmq.Context()
        try:
            credentials = Credentials(client_key, server_key)
            self._socket, self._handshakes = _dealer(self.context, self.endpoint, credentials)
        except BaseException:
            self._end()
            raise

    def send_message(self, command: str, **props: Any) -> dict[str, Any]:
        """Sends a command with its properties; returns the reply."""
        return self.call(make_message(command, **props))

    def call(self, command: dict[str, Any] | str) -> dict[str, Any]:
        """Sends a command; returns the reply, also when it tells of an error.

        Raises CallError when there is no reply in time, KeyRefused when the key is not let in.
        """
        wanted, frame = _frame(command)
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        if self._handshakes is not None:
            poller.register(self._handshakes.monitor, zmq.POLLIN)
        self._socket.send(frame)
        deadline = time.monotonic() + self.timeout
        while ready := dict(poller.poll(max(0, int((deadline - time.monotonic()) * 1000)))):
            if self._socket not in ready:
                assert self._handshakes is not None
                self._handshakes.check()
            elif (message := _read(self._socket.recv(), wanted)) is not None:
                return message
        raise CallError(f"no answer from {self.endpoint} within {self.timeout:g}s")

    def stop(self) -> None:
        """Closes the connection."""
        if self._handshakes is not None:
            self._handshakes.close()
        self._socket.close(0)
        self._end()


class AsyncCircusClient:
    """CircusClient for an asyncio program; calls may overlap.

    A context that is given stays open; any of pyzmq's will do.
    """

    def __init__(
        self,
        context: zmq.Context[Any] | str | None = None,
        endpoint: str = "tcp://127.0.0.1:5555",
        timeout: float = DEFAULT_TIMEOUT,
        ssh_server: str | None = None,
        ssh_keyfile: str | None = None,
        *,
        client_key: str | None = None,
        server_key: str | None = None,
    ) -> None:
        if isinstance(context, str):  # as with CircusClient
            endpoint, context = context, None
        self.timeout = timeout
        self._tunnel = Tunnel(ssh_server, endpoint, ssh_keyfile) if ssh_server else None
        self.endpoint = self._tunnel.endpoint if self._tunnel else endpoint
        self._own = context is None
        self.context = (
            zmq.asyncio.Context() if context is None else zmq.asyncio.Context.shadow(context)
        )
        try:
            credentials = Credentials(client_key, server_key)
            self._socket, self._handshakes = _dealer(self.context, self.endpoint, credentials)
        except BaseException:
            self._end()
            raise
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def send_message(self, command: str, **props: Any) -> dict[str, Any]:
        """Sends a command with its properties; returns the reply."""
        return await self.call(make_message(command, **props))

    async def call(self, command: dict[str, Any] | str) -> dict[str, Any]:
        """Sends a command; returns the reply.

        Raises CallError when there is none in time, KeyRefused when the key is not let in.
        """
        wanted, frame = _frame(command)
        reply = self._waiting[wanted] = asyncio.get_running_loop().create_future()
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._read_replies()))
            if self._handshakes is not None:
                self._tasks.append(asyncio.create_task(self._hear(self._handshakes)))
        await self._socket.send(frame)
        try:
            return await asyncio.wait_for(reply, self.timeout)
        except TimeoutError:
            raise CallError(f"no answer from {self.endpoint} within {self.timeout:g}s") from None
        finally:
            self._waiting.pop(wanted, None)

    async def stop(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reply in self._waiting.values():
            reply.cancel()
        if self._handshakes is not None:
            self._handshakes.close()
        self._socket.close(0)
        self._end()

    def _end(self) -> None:
        if self._own:
            self.context.term()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

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

    async def _hear(self, handshakes: Handshakes) -> None:
        while True:
            event = parse_monitor_message(await handshakes.monitor.recv_multipart())
            try:
                handshakes.heard(int(event["event"]))
            except KeyRefused as error:
                for reply in self._waiting.values():
                    if not reply.done():
                        reply.set_exception(error)


def _dealer(context: Any, endpoint: str, credentials: Credentials) -> tuple[Any, Handshakes | None]:
    """A connected DEALER, and what hears of its handshakes where it has a key."""
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
    dealer.setsockopt(zmq.LINGER, 0)
    try:
        handshakes = Handshakes(dealer, endpoint) if credentials.arm(dealer, endpoint) else None
        dealer.connect(endpoint)
    except BaseException:
        dealer.close(0)
        raise
    return dealer, handshakes


__all__ = ["AsyncCircusClient", "CallError", "CircusClient", "NotAnswered", "make_message"]
