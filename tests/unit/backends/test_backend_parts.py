"""The small parts that adapters are made of: the drain's marks, repairs, descriptors."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from chaussette.backends import descriptors, repairs
from chaussette.backends.base import IDLE_GRACE
from chaussette.backends.drain import Drain
from chaussette.backends.library import library
from chaussette.backends.waker import Waker
from chaussette.errors import BackendUnavailable


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_drain_goes_through_its_marks() -> None:
    clock = Clock()
    drain = Drain(30.0, clock)
    assert not drain.began
    assert not drain.idle_is_over()
    assert not drain.is_over()
    assert drain.begin()
    assert not drain.begin()
    assert drain.began
    assert not drain.idle_is_over()
    clock.now += IDLE_GRACE
    assert drain.idle_is_over()
    assert not drain.is_over()
    assert drain.remaining() == 30.0 - IDLE_GRACE
    clock.now += 30.0
    assert drain.is_over()


def test_second_stop_does_not_lengthen_the_drain() -> None:
    clock = Clock()
    drain = Drain(10.0, clock)
    drain.begin()
    clock.now += 9.0
    drain.begin()
    assert drain.remaining() == 1.0


def test_idle_grace_is_no_longer_than_the_drain() -> None:
    clock = Clock()
    drain = Drain(0.5, clock)
    drain.begin()
    clock.now += 0.5
    assert drain.idle_is_over()


class Body:
    """An iterable that remembers its close()."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        self.closed += 1


def ask(app: Any, method: str = "GET") -> tuple[str, list[tuple[str, str]], list[bytes]]:
    """What a server would send: status, headers, parts."""
    seen: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
        seen[:] = [status, headers]

    result: Iterable[bytes] = app({"REQUEST_METHOD": method}, start)
    parts = list(result)
    if hasattr(result, "close"):
        result.close()
    return seen[0], seen[1], parts


def application(body: Iterable[bytes], *headers: tuple[str, str]) -> Any:
    def app(_environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", list(headers))
        return body

    return app


def test_head_learns_the_length() -> None:
    body = Body(b"one", b"two")
    app = repairs.mute_head(application(body), needs_length=True)
    assert ask(app, "HEAD") == ("200 OK", [("Content-Length", "6")], [])
    assert body.closed == 1


def test_head_with_a_length_makes_no_body() -> None:
    made: list[int] = []

    def parts() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"x"

    app = repairs.mute_head(application(parts(), ("Content-Length", "3")), needs_length=True)
    assert ask(app, "HEAD") == ("200 OK", [("Content-Length", "3")], [])
    assert len(made) == 1


def test_get_is_left_alone() -> None:
    body = Body(b"one")
    assert ask(repairs.mute_head(application(body), needs_length=True))[2] == [b"one"]


def test_what_was_written_comes_first() -> None:
    body = Body(b"returned")

    def app(_environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", [])(b"written")
        return body

    assert ask(repairs.allow_write(app))[2] == [b"written", b"returned"]
    assert body.closed == 1


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\0b"])
def test_line_breaks_in_headers_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        repairs.refuse_line_breaks("200 OK", [("X", bad)])
    with pytest.raises(ValueError, match="line break"):
        repairs.refuse_line_breaks(bad, [])


def test_date_is_added_once() -> None:
    assert ask(repairs.add_date(application([])))[1][0][0] == "Date"
    kept = application([], ("date", "then"))
    assert ask(repairs.add_date(kept))[1] == [("date", "then")]


def test_start_response_twice_needs_an_exception() -> None:
    started = repairs.Started()
    started("200 OK", [])
    with pytest.raises(AssertionError):
        started("500 Oops", [])
    error = ValueError("x")
    started("500 Oops", [], (ValueError, error, None))
    assert started.code() == 500
    started.is_sent = True
    with pytest.raises(ValueError, match="x"):
        started("500 Oops", [], (ValueError, error, None))


def test_no_start_response_is_an_error() -> None:
    with pytest.raises(AssertionError, match="start_response"):
        repairs.Started().code()


def test_library_that_cannot_be_imported_says_how_to_mend_it() -> None:
    with pytest.raises(BackendUnavailable, match=r"surely_not_there .*: pip install it"):
        library("surely_not_there", "pip install it")


def test_waker_ends_a_wait() -> None:
    waker = Waker()
    assert select.select([waker], [], [], 0)[0] == []
    for _ in range(100_000):  # more than a pipe holds
        waker.wake()
    assert select.select([waker], [], [], 0)[0] == [waker]
    waker.clear()
    assert select.select([waker], [], [], 0)[0] == []
    waker.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def test_silenced_listener_is_watched_no_more(listener: socket.socket) -> None:
    copy = os.dup(listener.fileno())
    with select.epoll() as epoll, socket.create_connection(listener.getsockname()):
        epoll.register(copy, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        assert descriptors.watching(listener.fileno()) == [(epoll.fileno(), copy)]
        descriptors.silence(epoll.fileno(), copy)
        assert epoll.poll(0) == []
        assert descriptors.watching(listener.fileno()) == []
        epoll.unregister(copy)  # as the library will do later
        assert listener.accept()[0].close() is None  # the socket itself is as it was
    os.close(copy)


def test_connections_of_an_epoll_set(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client, select.epoll() as epoll:
        accepted, _ = listener.accept()
        epoll.register(listener, select.EPOLLIN)
        epoll.register(accepted, select.EPOLLIN)
        epoll.register(client, select.EPOLLIN)  # one that the application opened itself
        found = descriptors.connections(epoll.fileno(), listener)
        assert [each.getpeername() for each in found] == [client.getsockname()]
        for each in (*found, accepted):
            each.close()
    assert descriptors.connections(12345, listener) == []


def test_connection_is_idle_until_something_comes(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            assert descriptors.is_idle(accepted)
            # The kernel counts in ticks: wait until one has passed since the accept.
            select.select([accepted], [], [], 0.02)
            client.send(b"GET")
            accepted.recv(3)
            assert not descriptors.is_idle(accepted)
            select.select([accepted], [], [], 0.02)
            accepted.send(b"200")
            assert descriptors.is_idle(accepted)


def test_unix_connection_is_idle_when_nothing_waits() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert descriptors.is_idle(ours)
        theirs.send(b"GET")
        assert not descriptors.is_idle(ours)
