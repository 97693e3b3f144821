"""wsgi.file_wrapper: as wsgiref's, and sendfile only where it sends what read() would give."""

from __future__ import annotations

import gc
import gzip
import io
import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.util import FileWrapper as Wsgiref

import pytest
from build_c import extension, growth

DATA = bytes(range(256)) * 100
SOURCES = ("input_stub.c", "input.c", "filewrapper.c", "body.c")


@pytest.fixture(scope="module")
def native() -> ModuleType:
    return extension("input_stub", *SOURCES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(DATA)
    return path


class Source:
    """A file-like object with nothing but what is needed."""

    def __init__(self, *blocks: Any) -> None:
        self.blocks = list(blocks)
        self.sizes: list[int] = []

    def read(self, size: int) -> Any:
        self.sizes.append(size)
        block = self.blocks.pop(0)
        if isinstance(block, Exception):
            raise block
        return block


# --- the iterator -----------------------------------------------------------


@pytest.mark.parametrize("blksize", [1, 100, 8192, 100_000, -1])
def test_the_blocks_are_wsgirefs(native: ModuleType, blksize: int) -> None:
    ours = native.FileWrapper(io.BytesIO(DATA[:9000]), blksize)
    assert list(ours) == list(Wsgiref(io.BytesIO(DATA[:9000]), blksize))
    assert next(ours, None) is None


def test_its_attributes(native: ModuleType) -> None:
    source = Source(b"one", b"")
    wrapper = native.FileWrapper(filelike=source)
    assert iter(wrapper) is wrapper
    assert (wrapper.filelike, wrapper.blksize) == (source, 8192)
    assert list(wrapper) == [b"one"]
    assert source.sizes == [8192, 8192]


def test_errors_of_the_file_pass_through(native: ModuleType) -> None:
    wrapper = native.FileWrapper(Source(b"one", OSError("gone")))
    assert next(wrapper) == b"one"
    with pytest.raises(OSError, match="gone"):
        next(wrapper)
    with pytest.raises(AttributeError, match="read"):
        next(native.FileWrapper(object()))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), TypeError),
        ((1, 2, 3), TypeError),
        ((Source(), "8"), TypeError),
        ((Source(), 0), ValueError),
    ],
)
def test_bad_arguments(
    native: ModuleType, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        native.FileWrapper(*arguments)


def test_close_is_the_files_own_at_that_time(native: ModuleType) -> None:
    native.FileWrapper(Source()).close()  # has none
    source = Source()
    wrapper = native.FileWrapper(source)
    closed: list[int] = []
    source.close = lambda: closed.append(1)  # type: ignore[attr-defined]
    wrapper.close()
    wrapper.close()
    assert closed == [1, 1]
    source.close = lambda: 1 // 0  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        wrapper.close()


def test_cycles_are_collected(native: ModuleType) -> None:
    source = Source()
    source.wrapper = native.FileWrapper(source)  # type: ignore[attr-defined]
    alive = weakref.ref(source)
    del source
    gc.collect()
    assert alive() is None


def test_nothing_is_left_behind(native: ModuleType, path: Path) -> None:
    def use() -> None:
        for wrapper in (native.FileWrapper(io.BytesIO(b"ab"), 1), native.FileWrapper(Source())):
            native.range(wrapper)
            with pytest.raises((StopIteration, IndexError)):
                while True:
                    next(wrapper)
            wrapper.close()
        with path.open("rb") as file:
            native.range(native.FileWrapper(file))
        with pytest.raises(TypeError):
            native.FileWrapper(Source(), "8")

    assert growth(use) < 0.5


# --- sendfile's range -------------------------------------------------------


def test_a_file_on_disk(native: ModuleType, path: Path) -> None:
    with path.open("rb") as file:
        assert native.range(native.FileWrapper(file)) == (file.fileno(), 0, len(DATA))
        file.read(10)  # its buffer holds more than that
        assert native.range(native.FileWrapper(file)) == (file.fileno(), 10, len(DATA) - 10)
        file.seek(len(DATA) + 5)
        assert native.range(native.FileWrapper(file)) == (file.fileno(), len(DATA) + 5, 0)
    with path.open("rb", buffering=0) as raw:
        assert native.range(native.FileWrapper(raw)) == (raw.fileno(), 0, len(DATA))


def test_what_is_written_and_not_flushed_counts(native: ModuleType) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(3)
        file.seek(0, os.SEEK_END)
        file.write(b"more")
        file.seek(3)
        fd, offset, count = native.range(native.FileWrapper(file))
        assert os.pread(fd, count + 100, offset) == DATA[3:] + b"more"


def test_not_once_it_is_iterated(native: ModuleType, path: Path) -> None:
    with path.open("rb") as file:
        wrapper = native.FileWrapper(file)
        next(wrapper)
        assert native.range(wrapper) is None


class Decrypting(io.FileIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(255 - byte for byte in super().read(size) or b"")


class Lying:
    """Delegates all but read(), as wrappers do."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, size: int) -> bytes:
        return self.file.read(size).upper()  # type: ignore[no-any-return]


class Delegating(Lying):
    """Delegates read() as well: what is read is what the file has."""

    @property
    def read(self) -> Any:  # type: ignore[override]
        return self.file.read


OTHERS: dict[str, Callable[[Path], Any]] = {
    "gzip": lambda path: gzip.open(path, "rb"),  # noqa: SIM115
    "text": lambda path: path.open(encoding="latin-1"),
    "subclass": lambda path: Decrypting(path),
    "buffered subclass": lambda path: io.BufferedReader(Decrypting(path)),
    "delegate": lambda path: Lying(path.open("rb")),
    "memory": lambda path: io.BytesIO(path.read_bytes()),
    "device": lambda _: Path("/dev/zero").open("rb"),  # noqa: SIM115
}


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_never_for_what_reads_otherwise(native: ModuleType, path: Path, kind: str) -> None:
    file = OTHERS[kind](path)
    assert native.range(native.FileWrapper(file)) is None
    file.close()


def test_never_for_a_pipe_a_closed_file_or_nonsense(native: ModuleType, path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        assert native.range(native.FileWrapper(pipe)) is None
    with path.open("rb") as file:
        pass
    assert native.range(native.FileWrapper(file)) is None
    for other in (None, 3, Source(), object):
        assert native.range(native.FileWrapper(other)) is None
        assert native.range(other) is None


def test_never_for_a_subclass_or_anothers_wrapper(native: ModuleType, path: Path) -> None:
    class Ranged(native.FileWrapper):  # type: ignore[misc, name-defined]
        pass

    with path.open("rb") as file:
        assert native.range(Ranged(file)) is None
        assert native.range(Wsgiref(file)) is None
        assert next(Ranged(file, 5)) == DATA[:5]


def test_through_a_proxy_of_the_same_read(native: ModuleType, path: Path) -> None:
    with path.open("rb") as file:
        assert native.range(native.FileWrapper(Delegating(file)))[0] == file.fileno()
