"""The application of these tests: the first segment of the path is what it does.

It remembers what it was called with, which `/seen` tells and forgets. An exact record of
each call shows that no request was lost, doubled, or made of another one's body.
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import select
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from backend_apps import pass_gate, tell

Environ = dict[str, Any]
SEEN: list[dict[str, Any]] = []
CLOSED: list[str] = []
LIMITED: set[str] = set()
BIG = 256 * 40_000
BIG_BODY = bytes(range(256)) * 40_000
"""Made once: memory that grows is the server's."""


class Body:
    """A body whose close() is counted, under the request's query."""

    def __init__(self, parts: Iterator[bytes], environ: Environ) -> None:
        self._parts = parts
        self._name = environ["QUERY_STRING"]

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        """PEP 3333: once, however it ended."""
        CLOSED.append(self._name)


def plain(start: Any, body: bytes, *headers: tuple[str, str]) -> list[bytes]:
    """200 with a length."""
    start("200 OK", [("Content-Length", str(len(body))), *headers])
    return [body]


def tell_json(start: Any, value: Any) -> list[bytes]:
    """200 with JSON."""
    return plain(start, json.dumps(value).encode(), ("Content-Type", "application/json"))


def seen(_environ: Environ, start: Any) -> Any:
    """What came since the last call, without these calls."""
    found, SEEN[:] = SEEN[:], []
    return tell_json(start, [each for each in found if each["target"] not in ("/seen", "/closed")])


def closed(_environ: Environ, start: Any) -> Any:
    """The names of the bodies that were closed since the last call."""
    found, CLOSED[:] = CLOSED[:], []
    return tell_json(start, found)


def environ_(environ: Environ, start: Any) -> Any:
    """All strings of the environ, and the types of all values."""
    shown = {key: value for key, value in environ.items() if isinstance(value, str)}
    types = {key: type(value).__name__ for key, value in environ.items()}
    return tell_json(start, {"strings": shown, "types": types, "kind": type(environ).__name__})


def echo(environ: Environ, start: Any) -> Any:
    """The body."""
    return plain(start, environ["wsgi.input"].read())


def hello(_environ: Environ, start: Any) -> Any:
    """As the name says."""
    return plain(start, b"hello")


def objects(_environ: Environ, start: Any) -> Any:
    """How many objects and blocks of memory Python has."""
    SEEN.clear()
    gc.collect()
    return tell_json(start, [len(gc.get_objects()), sys.getallocatedblocks()])


def pid(_environ: Environ, start: Any) -> Any:
    """Which worker this is."""
    return plain(start, str(os.getpid()).encode())


def gate(environ: Environ, start: Any) -> Any:
    """Waits for the test."""
    pass_gate(environ["QUERY_STRING"])
    return plain(start, b"passed")


def text(value: Any) -> str:
    """A string, or [string, times]: a request line has no room for long ones."""
    return value if isinstance(value, str) else value[0] * value[1]


def answer(environ: Environ, start: Any) -> Any:
    """What the query asks for, as JSON: status, headers, blocks, and how they are given."""
    import urllib.parse

    asked = json.loads(urllib.parse.unquote(environ["QUERY_STRING"]))
    blocks = [text(block).encode("latin-1") for block in asked.get("blocks", [])]
    headers = [(name, text(value)) for name, value in asked.get("headers", [])]
    write = start(asked.get("status", "200 OK"), headers)
    for block in asked.get("write", []):
        write(block.encode("latin-1"))
    how: dict[str, Callable[[], Any]] = {
        "list": lambda: blocks,
        "tuple": lambda: tuple(blocks),
        "bytes": lambda: b"".join(blocks),
        "iterator": lambda: iter(blocks),
        "generator": lambda: (block for block in blocks),
        "file": lambda: environ["wsgi.file_wrapper"](io.BytesIO(b"".join(blocks))),
    }
    return how[asked.get("how", "generator")]()


def stream(environ: Environ, start: Any) -> Any:
    """A block, a pause until the test lets it go on, another block."""
    start("200 OK", [])

    def parts() -> Iterator[bytes]:
        yield b"first,"
        pass_gate("streaming")
        yield b"last"

    return Body(parts(), environ)


def endless(environ: Environ, start: Any) -> Any:
    """Blocks until nobody wants any; the query has their size."""
    start("200 OK", [])
    block = b"e" * int(environ["QUERY_STRING"])

    def parts() -> Iterator[bytes]:
        tell("begun")
        while True:
            yield block

    class Told(Body):
        def close(self) -> None:
            tell("ended")

    return Told(parts(), environ)


def big(environ: Environ, start: Any) -> Any:
    """Ten million bytes, as one block, blocks or a file."""
    start("200 OK", [("Content-Length", str(BIG))])
    if environ["QUERY_STRING"] == "one":
        return [BIG_BODY]
    if environ["QUERY_STRING"] == "file":
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the wrapper closes it
        file.write(BIG_BODY)
        file.flush()
        file.seek(0)
        return environ["wsgi.file_wrapper"](file)
    size = int(environ["QUERY_STRING"])
    return (BIG_BODY[at : at + size] for at in range(0, BIG, size))


def reads(environ: Environ, start: Any) -> Any:
    """Calls these methods of wsgi.input, then reads once more; what came, as JSON."""
    found: list[Any] = []
    for call in environ["QUERY_STRING"].split(","):
        name, _, size = call.rstrip(")").partition("(")
        got = getattr(environ["wsgi.input"], name)(*([int(size)] if size else []))
        parts = [each.decode() for each in got] if isinstance(got, list) else got.decode()
        found.append(parts)
    found.append(environ["wsgi.input"].read(0).decode())
    return tell_json(start, found)


def files(environ: Environ, start: Any) -> Any:
    """A file from its start, from an offset, shorter or longer than promised; or a pipe."""
    how = environ["QUERY_STRING"]
    if how == "pipe":
        reader, writer = os.pipe()
        os.write(writer, b"piped")
        os.close(writer)
        start("200 OK", [])
        return closing(environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"), 2), how)
    fd, path = tempfile.mkstemp()
    os.unlink(path)
    os.write(fd, b"f" * (100_000 if how == "short" else 300_000))
    os.lseek(fd, 100_000 if how == "offset" else 0, os.SEEK_SET)
    promised = {"whole": 300_000, "offset": 200_000, "short": 300_000, "long": 100}[how]
    start("200 OK", [("Content-Length", str(promised))])
    return closing(environ["wsgi.file_wrapper"](os.fdopen(fd, "rb")), how)


def closing(wrapper: Any, name: str) -> Any:
    """The same wrapper; its file's close() is noted. Frameworks put theirs there likewise."""
    file = wrapper.filelike
    raw_close = file.close

    class Noting:
        """The file, but for close()."""

        read = file.read

        def close(self) -> None:
            CLOSED.append(name)
            raw_close()

    return type(wrapper)(Noting())


def drip(environ: Environ, start: Any) -> Any:
    """Blocks for ever, with a rest in between; it says when it is closed."""
    start("200 OK", [])
    tell(environ["QUERY_STRING"])

    def parts() -> Iterator[bytes]:
        while True:
            yield b"d" * 50_000
            select.select([], [], [], 0.002)

    class Told(Body):
        def close(self) -> None:
            tell("ended")

    return Told(parts(), environ)


def busy(environ: Environ, start: Any) -> Any:
    """So many milliseconds in which the application does not return."""
    select.select([], [], [], int(environ["QUERY_STRING"]) / 1000)
    return plain(start, b"done")


def fail(environ: Environ, start: Any) -> Any:
    """Raises where the query says."""
    where = environ["QUERY_STRING"]
    if where == "call":
        raise RuntimeError("in the call")

    def parts() -> Iterator[bytes]:
        if where == "first":
            raise RuntimeError("before the first block")
        yield b"half"
        raise RuntimeError("after the first block")

    start("200 OK", [("Content-Length", "100")] if where == "length" else [])
    if where == "started":
        raise RuntimeError("after start_response")
    return Body(parts(), environ)


def replaced(environ: Environ, start: Any) -> Any:
    """start_response again with exc_info, before the head is sent or after it."""
    late = environ["QUERY_STRING"] == "late"

    def parts() -> Iterator[bytes]:
        if late:
            yield b"sent"
        try:
            raise ValueError("found too late")
        except ValueError:
            start("503 Sorry", [("X-Second", "1")], sys.exc_info())
        yield b"sorry"

    start("200 OK", [("X-First", "1")])
    return Body(parts(), environ)


def twice(_environ: Environ, start: Any) -> Any:
    """start_response again without exc_info."""
    start("200 OK", [])
    start("200 OK", [])
    return [b"never"]


def no_exception(_environ: Environ, start: Any) -> Any:
    """exc_info of no exception, behind the head."""
    write = start("200 OK", [])
    write(b"sent")
    start("500 Oops", [], (None, None, None))
    return []


def not_bytes(_environ: Environ, start: Any) -> Any:
    """A body of str."""
    start("200 OK", [])
    return ["text"]


def not_started(_environ: Environ, _start: Any) -> Any:
    """A body without a head."""
    return [b"body"]


def environ_gone(environ: Environ, _start: Any) -> Any:
    """The environ belongs to the application."""
    environ.clear()
    raise RuntimeError("and it raises")


WAYS: dict[str, Any] = {
    way.__name__.rstrip("_").replace("_", "-"): way
    for way in (
        *(
            seen,
            closed,
            environ_,
            echo,
            hello,
            pid,
            gate,
            answer,
            stream,
            endless,
            drip,
            busy,
            big,
            fail,
        ),
        *(reads, files, objects),
        *(replaced, twice, no_exception, not_bytes, not_started, environ_gone),
    )
}


def app(environ: Environ, start: Any) -> Any:
    """The application."""
    name = environ["PATH_INFO"].partition("/")[2].partition("/")[0]
    body = None
    if name == "echo":
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
    SEEN.append(
        {
            "method": environ["REQUEST_METHOD"],
            "target": environ["RAW_URI"],
            "host": environ.get("HTTP_HOST"),
            "body": body.decode("latin-1") if body is not None else None,
            "length": environ.get("CONTENT_LENGTH"),
            "te": environ.get("HTTP_TRANSFER_ENCODING"),
        }
    )
    return WAYS.get(name, hello)(environ, start)


def few_files(environ: Environ, start: Any) -> Any:
    """The application, in a process that may open few more files."""
    if "limit" not in LIMITED:
        LIMITED.add("limit")
        taken = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 20, taken + 20))
    return app(environ, start)
