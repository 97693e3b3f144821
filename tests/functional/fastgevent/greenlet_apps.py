"""Applications that wait, leave something behind, or end in their own way, by their path."""

from __future__ import annotations

import contextvars
import os
import threading
import urllib.parse
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import gevent
import gevent.event
import gevent.local
from backend_apps import pass_gate, tell

IN_THREAD = threading.local()
IN_GREENLET = gevent.local.local()
IN_CONTEXT: contextvars.ContextVar[str] = contextvars.ContextVar("IN_CONTEXT")
BLOCK = b"x" * 65536
FLOOD = 16 << 20
WATCHED: list[object] = []


def _answer(start: Any, body: bytes) -> list[bytes]:
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _leave(environ: dict[str, Any], start: Any) -> Any:
    """Tells what it finds, and leaves what the query names."""
    found = {
        "thread": getattr(IN_THREAD, "value", ""),
        "local": getattr(IN_GREENLET, "value", ""),
        "context": IN_CONTEXT.get(""),
        "attribute": getattr(gevent.getcurrent(), "left_here", ""),
    }
    what = environ["QUERY_STRING"]
    if what == "thread":
        IN_THREAD.value = "left"
    elif what == "local":
        IN_GREENLET.value = "left"
    elif what == "context":
        IN_CONTEXT.set("left")
    elif what == "attribute":
        gevent.getcurrent().left_here = "left"
    elif what == "watched":
        WATCHED.append(weakref.ref(gevent.getcurrent()))
    elif what == "timeout":
        gevent.Timeout(0.05).start()  # and nobody cancels it
    return _answer(start, ",".join(key for key, value in found.items() if value).encode())


def _who(_environ: dict[str, Any], start: Any) -> Any:
    """The greenlet: its kind, and a number that no other one has for as long as it lives."""
    current = gevent.getcurrent()
    return _answer(start, f"{type(current).__name__} {id(current)}".encode())


def _sleep(environ: dict[str, Any], start: Any) -> Any:
    gevent.sleep(float(environ["QUERY_STRING"]))
    return _answer(start, b"slept")


def _gate(environ: dict[str, Any], start: Any) -> Any:
    pass_gate(environ["QUERY_STRING"])
    body = environ["wsgi.input"].read() or environ["QUERY_STRING"].encode()
    return _answer(start, body)


def _locked(_environ: dict[str, Any], start: Any) -> Any:
    with LOCK:
        pass_gate("locked")
    return _answer(start, b"locked")


LOCK = threading.Lock()


class _Stream:
    """Blocks with a switch between each two; says when it is closed."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._count):
            gevent.sleep(0)
            yield f"{self._name}{number},".encode()

    def close(self) -> None:
        """PEP 3333."""
        gevent.sleep(0)


def _stream(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    start("200 OK", [])
    return _Stream(environ["QUERY_STRING"], 100)


def _write(environ: dict[str, Any], start: Any) -> Any:
    write = start("200 OK", [])
    for number in range(100):
        gevent.sleep(0)
        write(f"{environ['QUERY_STRING']}{number},".encode())
    return []


def _flood(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
    """More than the kernel holds; says when it has begun, and how it ended."""
    size = int(environ["QUERY_STRING"] or 65536)
    start("200 OK", [])
    made = 0
    try:
        while made < FLOOD:
            yield BLOCK[:size]
            made += size
            if made == size:
                tell("begun")
    finally:
        tell(f"ended {'whole' if made >= FLOOD else 'early'}")


def _flood_write(_environ: dict[str, Any], start: Any) -> Any:
    write = start("200 OK", [])
    for _ in range(FLOOD // len(BLOCK)):
        write(BLOCK)
    return []


def _timed_out(_environ: dict[str, Any], start: Any) -> Any:
    with gevent.Timeout(0.05, False):
        gevent.sleep(60)
    return _answer(start, b"in time")


def _uncaught(_environ: dict[str, Any], _start: Any) -> Any:
    with gevent.Timeout(0.05):
        gevent.sleep(60)


def _raise(environ: dict[str, Any], _start: Any) -> Any:
    raise {
        "exit": gevent.GreenletExit,
        "system": SystemExit,
        "keyboard": KeyboardInterrupt,
        "base": BaseException,
    }[environ["QUERY_STRING"]]("on purpose")


def _kill_self(_environ: dict[str, Any], _start: Any) -> Any:
    gevent.kill(gevent.getcurrent())
    gevent.sleep(60)


def _stubborn(_environ: dict[str, Any], _start: Any) -> Any:
    tell("stubborn")
    while True:
        try:
            gevent.sleep(60)
        except BaseException:  # noqa: BLE001 - that is what it is for
            pass


def _background(_environ: dict[str, Any], start: Any) -> Any:
    """A greenlet of the application's own outlives its request."""
    gevent.spawn_later(0.01, tell, "background")
    return _answer(start, b"spawned")


def _given_away(_environ: dict[str, Any], start: Any) -> Any:
    """write() is called by another greenlet than the request's."""
    write = start("200 OK", [])
    gevent.spawn(write, b"by another,").join()
    return [b"by its own"]


def _redis(environ: dict[str, Any], start: Any) -> Any:
    """Blocks on a real server, through redis-py as it is."""
    import redis

    client = redis.Redis(unix_socket_path=os.environ["REDIS"])
    found = client.blpop([urllib.parse.unquote(environ["QUERY_STRING"])], timeout=10)
    return _answer(start, found[1] if found else b"nothing")


PATHS = {
    "leave": _leave,
    "who": _who,
    "sleep": _sleep,
    "gate": _gate,
    "locked": _locked,
    "stream": _stream,
    "write": _write,
    "flood": _flood,
    "flood-write": _flood_write,
    "timed-out": _timed_out,
    "uncaught": _uncaught,
    "raise": _raise,
    "kill-self": _kill_self,
    "stubborn": _stubborn,
    "background": _background,
    "given-away": _given_away,
    "redis": _redis,
}


def app(environ: dict[str, Any], start: Any) -> Any:
    """The application."""
    return PATHS.get(environ["PATH_INFO"][1:], _sleep)(environ, start)
