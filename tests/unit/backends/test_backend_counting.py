"""What is counted, and what is passed on untouched."""

from __future__ import annotations

import asyncio
import io
import wsgiref.util
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from chaussette.application import Application, Interface
from chaussette.backends.base import Task
from chaussette.backends.counting import (
    Meter,
    count_asgi,
    count_wsgi,
    mount_asgi,
    mount_wsgi,
    request_limit,
    with_close,
)
from chaussette.scoreboard import Slot, private_slot
from chaussette.settings.server import ServerSettings

Result = Iterable[bytes]


def nothing() -> None:
    """For a limit that is not reached."""


class Counted:
    """A meter on a slot of its own."""

    def __init__(self, on_limit: Callable[[], None] = nothing, **settings: Any) -> None:
        self.slot: Slot = private_slot()
        app = Application(lambda: None, Interface.WSGI, "test")
        self.meter = Meter(Task(app, [], ServerSettings(**settings), self.slot), on_limit)

    def call(self, result: Result, environ: dict[str, Any] | None = None) -> Result:
        """What a server would get from an application that returns `result`."""
        app = count_wsgi(lambda _environ, _start: result, self.meter)
        return app(environ or {}, lambda *_: None)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.mark.parametrize("result", [[b"one", b"two"], (b"one", b"two")])
def test_list_and_tuple_reach_the_server_as_they_are(counted: Counted, result: Result) -> None:
    assert counted.call(result) is result
    view = counted.slot.read()
    assert (view.requests, view.in_flight, view.bytes_sent, view.errors) == (1, 0, 6, 0)


def test_file_wrapper_reaches_the_server_as_it_is(counted: Counted) -> None:
    environ = {"wsgi.file_wrapper": wsgiref.util.FileWrapper}
    result = wsgiref.util.FileWrapper(io.BytesIO(b"file"))
    assert counted.call(result, environ) is result
    assert counted.slot.read().requests == 1


def test_iterator_is_counted_until_its_end(counted: Counted) -> None:
    body = counted.call(iter([b"one", b"two"]))
    assert not hasattr(body, "__len__")
    assert counted.slot.read().in_flight == 1
    assert list(body) == [b"one", b"two"]
    view = counted.slot.read()
    assert (view.requests, view.in_flight, view.bytes_sent) == (1, 0, 6)


class Sized:
    """A body of known length that counts the calls of its close()."""

    def __init__(self) -> None:
        self.closed = 0

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"sized"])

    def close(self) -> None:
        self.closed += 1


def test_length_shows_through(counted: Counted) -> None:
    body = counted.call(Sized())
    assert len(body) == 1  # type: ignore[arg-type]


def test_close_is_passed_on_and_ends_the_request_once(counted: Counted) -> None:
    inner = Sized()
    body = counted.call(inner)
    list(body)
    body.close()  # type: ignore[attr-defined]
    assert inner.closed == 1
    assert (counted.slot.read().requests, counted.slot.read().in_flight) == (1, 0)


def test_close_ends_a_request_that_was_not_read(counted: Counted) -> None:
    body = counted.call(Sized())
    body.close()  # type: ignore[attr-defined]
    assert (counted.slot.read().requests, counted.slot.read().in_flight) == (1, 0)


def test_exception_is_an_error_and_goes_on(counted: Counted) -> None:
    def fail(_environ: Any, _start: Any) -> Result:
        raise KeyError("x")

    with pytest.raises(KeyError):
        count_wsgi(fail, counted.meter)({}, lambda *_: None)
    view = counted.slot.read()
    assert (view.requests, view.in_flight, view.errors) == (1, 0, 1)


def test_exception_in_the_body_is_an_error(counted: Counted) -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise KeyError("x")

    body = counted.call(parts())
    with pytest.raises(KeyError):
        list(body)
    view = counted.slot.read()
    assert (view.requests, view.in_flight, view.errors, view.bytes_sent) == (1, 0, 1, 3)


def test_limit_is_told_once_with_the_last_request() -> None:
    told: list[None] = []
    counted = Counted(on_limit=lambda: told.append(None), max_requests=2)
    for expected in (0, 1, 1, 1):
        counted.call([])
        assert len(told) == expected


def test_jitter_stays_within_its_bounds() -> None:
    assert request_limit(0, 100) == 0
    limits = {request_limit(10, 3) for _ in range(200)}
    assert limits == {10, 11, 12, 13}


def test_no_beat_when_every_thread_hangs() -> None:
    counted = Counted(timeout=0.0)
    counted.meter._period_ns = 0
    counted.meter.begin()
    counted.meter.beat_for(1)
    first = counted.slot.read().heartbeat_ns
    assert first
    counted.meter.beat_for(1)
    assert counted.slot.read().heartbeat_ns == first  # the one thread is still where it was
    counted.meter.beat_for(2)
    second = counted.slot.read().heartbeat_ns
    assert second > first  # another thread is free
    counted.meter.move()
    counted.meter.beat_for(1)
    assert counted.slot.read().heartbeat_ns > second


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/app/x", ("/app", "/x")),
        ("/app", ("/app", "")),
        ("/application", ("/app", "/application")),
        ("/x", ("/app", "/x")),
    ],
)
def test_mount_wsgi(path: str, expected: tuple[str, str]) -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], _start: Any) -> Result:
        seen.update(environ)
        return []

    mount_wsgi(app, "/app/")({"PATH_INFO": path}, lambda *_: None)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == expected


def test_mount_nowhere_is_the_application_itself() -> None:
    async def asgi(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError

    def wsgi(_environ: Any, _start: Any) -> Result:
        raise AssertionError

    assert mount_asgi(asgi, "/") is asgi
    assert mount_wsgi(wsgi, "") is wsgi


@pytest.mark.parametrize("path", ["/app/x", "/x"])
def test_mount_asgi_has_the_prefix_in_the_path(path: str) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.update(scope)

    scope = {"type": "http", "path": path, "raw_path": path.encode()}
    drive(mount_asgi(app, "app"), scope)
    assert (seen["root_path"], seen["path"], seen["raw_path"]) == ("/app", "/app/x", b"/app/x")


def drive(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """Calls an ASGI application without a server or a loop; what it sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    coroutine = app(scope, receive, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    return sent


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"x", b"1"), (b"Connection", b"keep-alive")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await send({"type": "http.response.body", "body": b"de"})


def test_asgi_request_is_counted(counted: Counted) -> None:
    sent = drive(count_asgi(answer, counted.meter, lambda: False), {"type": "http"})
    assert (b"Connection", b"keep-alive") in sent[0]["headers"]
    view = counted.slot.read()
    assert (view.requests, view.in_flight, view.bytes_sent, view.errors) == (1, 0, 5, 0)


@pytest.mark.parametrize(("version", "closes"), [("1.1", True), ("1.0", True), ("2", False)])
def test_leaving_is_announced_to_http_1_only(counted: Counted, version: str, closes: bool) -> None:
    scope = {"type": "http", "http_version": version}
    sent = drive(count_asgi(answer, counted.meter, lambda: True), scope)
    assert ((b"connection", b"close") in sent[0]["headers"]) == closes


def test_lifespan_is_no_request(counted: Counted) -> None:
    async def lifespan(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    drive(count_asgi(lifespan, counted.meter, lambda: True), {"type": "lifespan"})
    assert counted.slot.read().requests == 0


def test_cancelled_request_is_over(counted: Counted) -> None:
    async def waits(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()

    async def never() -> Any:
        raise asyncio.CancelledError

    coroutine = count_asgi(waits, counted.meter, lambda: False)({"type": "http"}, never, never)
    with pytest.raises(asyncio.CancelledError):
        coroutine.send(None)  # type: ignore[attr-defined]
    assert counted.slot.read().in_flight == 0


def test_with_close_is_the_only_connection_header() -> None:
    headers = with_close([(b"A", b"1"), (b"CONNECTION", b"upgrade")])
    assert headers == [(b"A", b"1"), (b"connection", b"close")]
