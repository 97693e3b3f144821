"""wsgi.input: as io.BytesIO over the same bytes, whatever is asked in whatever order."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from build_c import extension, growth
from hypothesis import given, settings
from hypothesis import strategies as st

MAKERS = ("bytes", "body", "spooled")
Maker = Callable[[bytes], Any]

SOURCES = ("input_stub.c", "input.c", "filewrapper.c", "body.c")
# Without readers kept for reuse each one is its own memory: use after free shows.
DEFINES = ("INPUT_KEEP=0",) if os.environ.get("CHAUSSETTE_SANITIZE") else ()


@pytest.fixture(scope="module")
def native() -> ModuleType:
    return extension("input_stub", *SOURCES, defines=DEFINES)


def makers(native: ModuleType, directory: str) -> dict[str, Maker]:
    return {
        "bytes": lambda data: native.from_bytes(data or None),
        "body": lambda data: native.from_body(data, len(data), directory, 1000),
        "spooled": lambda data: native.from_body(data, 0, directory, 1000),
    }


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, native: ModuleType, tmp_path: Path) -> Maker:
    return makers(native, str(tmp_path))[request.param]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- the same as io.BytesIO -------------------------------------------------

SIZES = st.one_of(
    st.none(),
    st.integers(-3, 40),
    st.integers(8000, 8400),
    st.sampled_from([sys.maxsize, -sys.maxsize, 2**31, 2**32 + 1]),
)
CALLS = st.one_of(
    st.tuples(st.sampled_from(["read", "read1", "readline", "readlines"]), SIZES),
    st.tuples(st.sampled_from(["read", "read1", "readline", "readlines", "next"])),
    st.tuples(st.sampled_from(["readinto", "readinto1"]), st.integers(0, 9000)),
)
# Lines shorter and longer than the window that a spooled body is looked through with.
LINES = st.one_of(
    st.binary(max_size=30),
    st.builds(lambda n, end: b"x" * n + end, st.integers(0, 20000), st.sampled_from([b"", b"\n"])),
)
BODIES = st.lists(LINES, max_size=6).map(b"".join)


def ask(stream: Any, call: tuple[Any, ...]) -> Any:
    """The answer of one call, the same for both kinds of stream."""
    name, *args = call
    if name == "next":
        return next(stream, None)
    if name.startswith("readinto"):
        buffer = bytearray(b"." * args[0])
        return getattr(stream, name)(buffer), bytes(buffer)
    return getattr(stream, name)(*args)


@settings(max_examples=150, deadline=None)
@given(BODIES, st.lists(CALLS, max_size=12), st.sampled_from(MAKERS))
def test_any_calls_in_any_order(data: bytes, calls: list[tuple[Any, ...]], kind: str) -> None:
    module = extension("input_stub", *SOURCES, defines=DEFINES)
    stream, model = makers(module, "/tmp")[kind](data), io.BytesIO(data)
    for call in calls:
        assert ask(stream, call) == ask(model, call), call
    assert stream.read() == model.read()
    assert stream.read() == stream.readline() == b""


def test_a_line_across_the_window(make: Maker) -> None:
    data = b"a" * 8000 + b"\n" + b"b" * 400 + b"\n" + b"c" * 30000 + b"\nd"
    assert list(make(data)) == data.splitlines(keepends=True)


def test_iteration(make: Maker) -> None:
    stream = make(b"one\r\n\ntwo")
    assert iter(stream) is stream
    assert list(stream) == [b"one\r\n", b"\n", b"two"]
    with pytest.raises(StopIteration):
        next(stream)


def test_a_hint_is_where_readlines_ends(make: Maker) -> None:
    lines = [b"ab\n", b"cd\n", b"ef\n"]
    for hint, count in ((1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (99, 3), (0, 3), (None, 3)):
        assert make(b"".join(lines)).readlines(hint) == lines[:count]


def test_sizes_past_the_machines_are_bounded(make: Maker) -> None:
    assert make(b"abc").read(2**200) == b"abc"
    assert make(b"abc").read(-(2**200)) == b"abc"


class Index:
    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


def test_a_size_may_be_anything_with_an_index(make: Maker) -> None:
    assert make(b"abc").read(Index(2)) == b"ab"


@pytest.mark.parametrize("method", ["read", "read1", "readline", "readlines"])
@pytest.mark.parametrize("size", ["1", 1.0, b"1", [], object()])
def test_other_sizes_are_type_errors(make: Maker, method: str, size: object) -> None:
    stream = make(b"abc")
    with pytest.raises(TypeError, match="must be an integer or None"):
        getattr(stream, method)(size)
    with pytest.raises(TypeError, match="at most 1 argument"):
        getattr(stream, method)(1, 2)
    assert stream.read() == b"abc"


@pytest.mark.parametrize("target", [b"read only", "text", None, 3, memoryview(b"ro")])
def test_readinto_wants_a_writable_buffer(make: Maker, target: object) -> None:
    stream = make(b"abc")
    with pytest.raises(TypeError, match="writable bytes-like"):
        stream.readinto(target)
    assert stream.read() == b"abc"


def test_a_whole_body_in_memory_is_not_copied(native: ModuleType) -> None:
    data = os.urandom(100)
    assert native.from_bytes(data).read() is data
    assert native.from_bytes(data).read(100) is data
    assert native.from_bytes(data).read(1000) is data
    stream = native.from_bytes(data)
    assert (stream.read(1), stream.read()) == (data[:1], data[1:])


# --- its ends ---------------------------------------------------------------

READS = ("read", "read1", "readline", "readlines", "readable", "seekable", "writable", "__iter__")


def test_what_it_says_of_itself(make: Maker) -> None:
    stream = make(b"abc")
    assert (stream.readable(), stream.seekable(), stream.writable()) == (True, False, False)
    assert not stream.closed
    assert not hasattr(stream, "fileno")


def test_close(make: Maker) -> None:
    with make(b"abc") as stream:
        stream.readline()
    assert stream.closed
    stream.close()
    for method in READS:
        with pytest.raises(ValueError, match="closed"):
            getattr(stream, method)()
    with pytest.raises(ValueError, match="closed"):
        next(stream)
    with pytest.raises(ValueError, match="closed"):
        stream.readinto(bytearray(1))


def test_detached_reader_fails(native: ModuleType, make: Maker) -> None:
    files = open_files()
    stream = make(b"a\nbc")
    stream.readline()
    native.detach(stream)
    native.detach(stream)
    assert open_files() == files
    for method in READS:
        with pytest.raises(OSError, match="after its request was answered"):
            getattr(stream, method)()
    with pytest.raises(OSError, match="after its request was answered"):
        stream.readinto(bytearray(1))
    assert not stream.closed


def test_nobody_else_makes_one(native: ModuleType) -> None:
    with pytest.raises(TypeError):
        native.Input()
    with pytest.raises(TypeError):
        type("Sub", (native.Input,), {})


# --- with others' readers ---------------------------------------------------


def test_under_a_buffered_reader(make: Maker) -> None:
    data = b"line\n" * 5000
    with io.BufferedReader(make(data)) as reader:
        assert reader.peek(1)[:1] == b"l"
        assert reader.readline() == b"line\n"
        assert reader.read(7) == data[5:12]
        assert reader.read() == data[12:]


def test_under_a_text_reader(make: Maker) -> None:
    text = "grün\r\nblau\n" * 3000
    with io.TextIOWrapper(make(text.encode()), encoding="utf-8", newline="") as reader:
        assert reader.readline() == "grün\r\n"
        assert reader.read() == text[6:]
    with io.TextIOWrapper(io.BufferedReader(make(text.encode())), encoding="utf-8") as reader:
        assert list(reader) == ["grün\n", "blau\n"] * 3000


def test_a_dropped_wrapper_is_silent_after_the_request(native: ModuleType, make: Maker) -> None:
    stream = make(b"abc")
    reader = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8")
    native.detach(stream)
    del reader
    gc.collect()


def form(boundary: bytes, size: int) -> bytes:
    return (
        b'--%b\r\nContent-Disposition: form-data; name="title"\r\n\r\nSock\r\n'
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%b\r\n--%b--\r\n"
    ) % (boundary, boundary, b"\r\n-" * (size // 3), boundary)


def form_environ(stream: Any, body: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "multipart/form-data; boundary=frontier",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": stream,
        "wsgi.url_scheme": "http",
    }


def test_django_reads_a_form(make: Maker) -> None:
    pytest.importorskip("django")
    import django.conf

    if not django.conf.settings.configured:
        django.conf.settings.configure(DATA_UPLOAD_MAX_MEMORY_SIZE=None)
    from django.core.handlers.wsgi import WSGIRequest

    body = form(b"frontier", 200_000)
    request = WSGIRequest(form_environ(make(body), body))
    assert request.POST["title"] == "Sock"
    with request.FILES["file"] as upload:
        assert upload.read() == b"\r\n-" * (200_000 // 3)
    plain = WSGIRequest({**form_environ(make(body), body), "CONTENT_TYPE": "text/plain"})
    assert plain.readline() == b"--frontier\r\n"
    assert plain.read() == body[12:]


def test_werkzeug_reads_a_form(make: Maker) -> None:
    wrappers = pytest.importorskip("werkzeug.wrappers")
    body = form(b"frontier", 200_000)
    request = wrappers.Request(form_environ(make(body), body))
    assert request.form["title"] == "Sock"
    assert request.files["file"].read() == b"\r\n-" * (200_000 // 3)
    request.close()


# --- references and memory --------------------------------------------------


def use(native: ModuleType, make: Maker, data: bytes) -> None:
    """Every path once, with its errors."""
    stream = make(data)
    for call in (("readline",), ("readlines", 10), ("read", 3), ("next",)):
        ask(stream, call)
    for bad in ("x", 1.5):
        with pytest.raises(TypeError):
            stream.readlines(bad)
    with pytest.raises(TypeError):
        stream.readinto(b"")
    stream.readinto(bytearray(5))
    list(stream)
    native.detach(stream)
    with pytest.raises(OSError):
        stream.read()
    make(data).close()
    make(data).read()


def test_nothing_is_left_behind(native: ModuleType, make: Maker) -> None:
    data = b"line\n" * 4000
    files, references = open_files(), sys.getrefcount(data)
    assert growth(lambda: use(native, make, data)) < 0.5
    assert sys.getrefcount(data) == references
    assert open_files() == files


def starved(call: Callable[[], object], start: int) -> bool:
    """Runs it with every allocation failing from the start-th on; whether it ran out."""
    import _testcapi

    _testcapi.set_nomemory(start, 0)
    try:
        call()
    except MemoryError:
        return True
    finally:
        _testcapi.remove_mem_hooks()
    return False


def test_without_memory_it_says_so_and_loses_nothing(make: Maker) -> None:
    pytest.importorskip("_testcapi")
    data = b"".join(b"x" * n + b"\n" for n in range(0, 30000, 3000))
    references, files = sys.getrefcount(data), open_files()
    for start in range(40):
        starved(lambda: make(data).readlines(), start)
        starved(lambda: (make(data).readline(), make(data).read(20)), start)
        assert sys.getrefcount(data) == references
        assert open_files() == files
        stream = make(data)
        failed = starved(stream.readline, start)
        assert failed or stream.read() == data[1:]
        if failed:
            assert stream.read() == data
        del stream
    assert not starved(lambda: make(data).readlines(), 1000)


@pytest.fixture(autouse=True)
def no_files_left() -> Iterator[None]:
    files = open_files()
    yield
    gc.collect()
    assert open_files() == files
