"""WSGI applications: one per case, each as short as its work allows."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

Environ = dict[str, Any]
Start = Callable[..., Any]

HELLO = b"Hello, World!"
HELLO_FIELDS = [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))]
BLOCK = bytes(range(256)) * 256
"""64 KiB."""
BLOCKS = 16
BIG = BLOCK * BLOCKS
BIG_FIELDS = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(BIG)))]
JSON_FIELDS = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-cache, private"),
    ("ETag", '"5f2c8e1b9a7d4"'),
    ("Last-Modified", "Fri, 20 Nov 2026 20:00:00 GMT"),
    ("Vary", "Accept, Accept-Encoding"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("X-Request-Id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
]
"""With Content-Length ten fields."""
RECORDS = [
    {"id": number, "name": f"customer {number}", "active": number % 2 == 0, "total": number * 1.25}
    for number in range(18)
]


def hello(environ: Environ, start: Start) -> Iterable[bytes]:
    """Thirteen bytes."""
    del environ
    start("200 OK", HELLO_FIELDS)
    return [HELLO]


def answer_json(environ: Environ, start: Start) -> Iterable[bytes]:
    """About 1.2 KB made with json.dumps for each request, and ten fields."""
    del environ
    body = json.dumps(RECORDS).encode()
    start("200 OK", [*JSON_FIELDS, ("Content-Length", str(len(body)))])
    return [body]


def post(environ: Environ, start: Start) -> Iterable[bytes]:
    """Reads the whole body and says how long it was."""
    size = str(len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))).encode()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(size)))])
    return [size]


def big_blocks(environ: Environ, start: Start) -> Iterable[bytes]:
    """1 MiB from a generator of 64 KiB blocks."""
    del environ
    start("200 OK", BIG_FIELDS)
    return _blocks()


def _blocks() -> Iterator[bytes]:
    for _ in range(BLOCKS):
        yield BLOCK


def big_list(environ: Environ, start: Start) -> Iterable[bytes]:
    """1 MiB in a list of one block."""
    del environ
    start("200 OK", BIG_FIELDS)
    return [BIG]


def big_file(environ: Environ, start: Start) -> Iterable[bytes]:
    """1 MiB from a file, through wsgi.file_wrapper where the server has one."""
    wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
    start("200 OK", BIG_FIELDS)
    wrapped: Iterable[bytes] = wrapper(os.fdopen(_big_file(), "rb"), len(BLOCK))
    return wrapped


_files: dict[int, str] = {}


def _big_file() -> int:
    """A fresh descriptor of the file, at its start; one nameless file per process."""
    if (pid := os.getpid()) not in _files:
        descriptor, name = tempfile.mkstemp()
        os.write(descriptor, BIG)
        os.unlink(name)
        _files[pid] = f"/proc/self/fd/{descriptor}"
    return os.open(_files[pid], os.O_RDONLY)


def sleeping(environ: Environ, start: Start) -> Iterable[bytes]:
    """Waits 20 ms without the GIL, as for a database."""
    time.sleep(0.020)  # noqa: TID251
    return hello(environ, start)


def uneven_sleeping(environ: Environ, start: Start) -> Iterable[bytes]:
    """1 ms, or 50 ms for /slow, without the GIL."""
    time.sleep(_uneven(environ))  # noqa: TID251
    return _with_pid(start)


def uneven_busy(environ: Environ, start: Start) -> Iterable[bytes]:
    """1 ms, or 50 ms for /slow, in which it computes and gives the GIL up only when asked to."""
    until = time.monotonic() + _uneven(environ)
    while time.monotonic() < until:
        pass
    return _with_pid(start)


def _uneven(environ: Environ) -> float:
    return 0.050 if environ["PATH_INFO"] == "/slow" else 0.001


def who(environ: Environ, start: Start) -> Iterable[bytes]:
    """The pid of the worker."""
    del environ
    return _with_pid(start)


def _with_pid(start: Start) -> Iterable[bytes]:
    body = str(os.getpid()).encode()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
