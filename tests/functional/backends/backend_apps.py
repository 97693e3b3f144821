"""The applications that the conformance suite serves, one per interface, told by the path.

An application that must wait for the test, or tell it something, connects to
the unix socket named in CONFORMANCE_GATE, says its name, and reads until the
test lets it go on: an event and a gate in one, without a clock.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

GATE = "CONFORMANCE_GATE"
BLOCK = b"x" * 65536


def pass_gate(name: str) -> None:
    """Tells the test that this point is reached, and waits until it says go."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gate:
        gate.connect(os.environ[GATE])
        gate.sendall(name.encode() + b"\n")
        gate.recv(1)


def tell(name: str) -> None:
    """Tells the test something, and goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gate:
        gate.connect(os.environ[GATE])
        gate.sendall(name.encode() + b"\n")


async def pass_gate_async(name: str) -> None:
    """The same for an event loop."""
    reader, writer = await asyncio.open_unix_connection(os.environ[GATE])
    writer.write(name.encode() + b"\n")
    await reader.read(1)
    writer.close()


class Closing:
    """A body that tells the test about each call of its close()."""

    def __init__(self, parts: Iterator[bytes], name: str) -> None:
        self._parts = parts
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        """PEP 3333: to be called once, however the response ended."""
        tell(f"closed {self._name}")


def _answer(start_response: Any, body: bytes, *headers: tuple[str, str]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", str(len(body))), *headers])
    return [body]


def _hello(_environ: dict[str, Any], start_response: Any) -> Any:
    return _answer(start_response, b"hello", ("Content-Type", "text/plain"))


def _show_environ(environ: dict[str, Any], start_response: Any) -> Any:
    shown = {key: value for key, value in environ.items() if isinstance(value, (str, bool))}
    body = json.dumps(shown).encode()
    return _answer(start_response, body, ("Content-Type", "application/json"))


def _digest(environ: dict[str, Any], start_response: Any) -> Any:
    digest, size = hashlib.sha256(), 0
    while part := environ["wsgi.input"].read(8192):
        digest.update(part)
        size += len(part)
    body = f"{size} {digest.hexdigest()}".encode()
    return _answer(start_response, body, ("Content-Type", "text/plain"))


def _gate(environ: dict[str, Any], start_response: Any) -> Any:
    pass_gate(environ["QUERY_STRING"])
    return _answer(start_response, b"passed", ("Content-Type", "text/plain"))


def _stream(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])

    def parts() -> Iterator[bytes]:
        yield b"first,"
        pass_gate("streaming")
        yield b"last"

    return Closing(parts(), environ["QUERY_STRING"])


def _flood(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])

    def parts() -> Iterator[bytes]:
        yield BLOCK
        pass_gate("flooding")
        for _ in range(2000):  # 128 MB: more than any buffer on the way
            yield BLOCK

    return Closing(parts(), environ["QUERY_STRING"])


def _write(_environ: dict[str, Any], start_response: Any) -> Any:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written,")
    return [b"returned"]


def _file(environ: dict[str, Any], start_response: Any) -> Any:
    size = 300_000
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the file wrapper closes it
    file.write(b"f" * size)
    file.seek(0)
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))]
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](file, 8192)


def _empty(_environ: dict[str, Any], start_response: Any) -> Any:
    start_response("204 No Content", [])
    return []


def _fail_early(_environ: dict[str, Any], _start_response: Any) -> Any:
    raise RuntimeError("before start_response")


def _fail_started(_environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise RuntimeError("after start_response")


def _fail_late(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])

    def parts() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("in the middle of the body")

    return Closing(parts(), environ["QUERY_STRING"])


def _two_cookies(_environ: dict[str, Any], start_response: Any) -> Any:
    cookies = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    return _answer(start_response, b"", ("Content-Type", "text/plain"), *cookies)


def _large(_environ: dict[str, Any], start_response: Any) -> Any:
    size = 320 * len(BLOCK)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
    return (BLOCK for _ in range(320))


def _socket_module(_environ: dict[str, Any], start_response: Any) -> Any:
    return _answer(start_response, socket.socket.__module__.encode())


WSGI = {
    "socket-module": _socket_module,
    "large": _large,
    "hello": _hello,
    "environ": _show_environ,
    "digest": _digest,
    "gate": _gate,
    "stream": _stream,
    "flood": _flood,
    "write": _write,
    "file": _file,
    "empty": _empty,
    "fail-early": _fail_early,
    "fail-started": _fail_started,
    "fail-late": _fail_late,
    "cookies": _two_cookies,
}


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    """The WSGI application: the first segment of the path is what it does."""
    name = environ.get("PATH_INFO", "").split("/")[1]
    return WSGI.get(name, _hello)(environ, start_response)


validated = validator(wsgi)
"""The same behind wsgiref.validate: a breach of PEP 3333 is a 500 with its reason in the log."""


async def _read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _reply(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _show(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [_show(each) for each in value]
    if isinstance(value, dict):
        return {key: _show(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


async def _http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    name = scope["path"].split("/")[1]
    if name == "scope":
        await _reply(send, json.dumps(_show(dict(scope))).encode())
    elif name == "digest":
        body = await _read(receive)
        await _reply(send, f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())
    elif name == "gate":
        await pass_gate_async(scope["query_string"].decode())
        await _reply(send, b"passed")
    elif name == "stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first,", "more_body": True})
        await pass_gate_async("streaming")
        await send({"type": "http.response.body", "body": b"last"})
    elif name == "disconnect":
        await _read(receive)
        tell("waiting")
        message = await receive()
        tell(message["type"])
    elif name == "fail":
        raise RuntimeError("before the response")
    else:
        await _reply(send, b"hello")


async def _websocket(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"echo {message['text']}"})
    tell(f"websocket closed {message['code']}")


async def _lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["started"] = "yes"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    tell("lifespan shutdown")
    await send({"type": "lifespan.shutdown.complete"})


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await _websocket(receive, send)
    else:
        await _http(scope, receive, send)


async def asgi_without_lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that knows HTTP only, as the specification allows."""
    assert scope["type"] == "http"
    await _http(scope, receive, send)


async def asgi_that_does_not_start(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application whose startup fails."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def asgi_below_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application, mounted at /app."""
    if scope["type"] == "http":
        assert scope["path"].startswith("/app/")
        show = _show(dict(scope))
        await _reply(send, json.dumps(show).encode())
    else:
        await asgi(scope, receive, send)
