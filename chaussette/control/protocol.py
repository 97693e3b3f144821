"""Control messages: bytes to requests, replies to bytes. No socket, no clock, no zmq.

The format is Circus's JSON: `{"id", "command", "properties"}`, answered by
`{"id", "status", "time", …}`. `read_request` gives a Request or raises
BadMessage, and nothing else, whatever it is fed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaussette.errors import BadMessage, ControlError

MAX_MESSAGE = 2**20
"""Bytes of the longest message that is looked at."""
LONGEST_REASON = 8000
"""Characters of an error; what a client has sent may be part of it."""


@dataclass(frozen=True)
class Request:
    """One command as a client sent it; `cast` asks for no reply."""

    id: str
    command: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    cast: bool = False

    @property
    def waiting(self) -> bool:
        """Whether the reply shall wait until all is done."""
        return self.properties.get("waiting") is True


@dataclass(frozen=True)
class Reply:
    """One answer: `fields` of the command, or the error that it ended with."""

    ok: bool
    fields: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    errno: int = 0


def read_request(frame: bytes) -> Request:
    """The request in a frame. Raises BadMessage."""
    message = _read_object(frame)
    command = message.get("command")
    properties = message.get("properties", {})
    if not isinstance(command, str):
        raise BadMessage("a request needs a command, as a string")
    if not isinstance(properties, dict):
        raise BadMessage("properties must be an object")
    return Request(
        id=str(message.get("id", ""))[:256],
        command=command.lower(),
        properties=properties,
        cast=message.get("msg_type") == "cast",
    )


def write_request(request: Request) -> bytes:
    """The frame for a request."""
    message: dict[str, Any] = {
        "id": request.id,
        "command": request.command,
        "properties": dict(request.properties),
    }
    if request.cast:
        message["msg_type"] = "cast"
    return json.dumps(message).encode()


def write_reply(request_id: str, reply: Reply, now: float) -> bytes:
    """The frame for a reply; `now` is seconds since the epoch."""
    message: dict[str, Any] = {"id": request_id, "time": now}
    if reply.ok:
        message.update({"status": "ok", **reply.fields})
    else:
        message.update(
            {
                "status": "error",
                "reason": reply.reason,
                "errno": reply.errno,
                "tb": None,
                **reply.fields,
            }
        )
    return json.dumps(message, default=str).encode()


def read_reply(frame: bytes) -> tuple[str, Reply, dict[str, Any]]:
    """The id, the reply and the whole message in a frame. Raises BadMessage."""
    message = _read_object(frame)
    extra = {
        key: value
        for key, value in message.items()
        if key not in ("id", "status", "time", "reason", "errno", "tb")
    }
    if message.get("status") not in ("ok", "error"):
        # The state of one watcher stands where other replies have `ok`, as in Circus.
        extra["status"] = message.get("status")
    reply = Reply(
        ok=message.get("status") != "error",
        fields=extra,
        reason=str(message.get("reason", "")),
        errno=message["errno"] if isinstance(message.get("errno"), int) else 0,
    )
    return str(message.get("id", "")), reply, message


def error_reply(error: ControlError) -> Reply:
    """The reply that tells a client of an error."""
    reason = str(error)
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]}..."
    return Reply(ok=False, reason=reason, errno=error.errno)


def _read_object(frame: bytes) -> dict[str, Any]:
    if len(frame) > MAX_MESSAGE:
        raise BadMessage(f"message of {len(frame)} bytes; at most {MAX_MESSAGE} are read")
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        raise InvalidJson("the message is not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("the message is not a JSON object")
    return message


class InvalidJson(BadMessage):
    """The bytes are not JSON; Circus numbers this apart."""

    errno = 1
