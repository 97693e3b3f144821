"""The request body: memory, then a file that has no name; failures leave it as it was."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from build_c import shared
from hypothesis import given, settings
from hypothesis import strategies as st

MEMORY = 1000


class Struct(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("room", ctypes.c_size_t),
        ("size", ctypes.c_uint64),
        ("file", ctypes.c_int),
    ]


class Body:
    """struct body and its functions."""

    def __init__(self, library: ctypes.CDLL, directory: str) -> None:
        self.library, self.directory, self.struct = library, directory, Struct()
        library.body_read.restype = ctypes.c_int64
        library.body_start(ctypes.byref(self.struct))

    def append(self, data: bytes, expected: int = 0, memory: int = MEMORY) -> None:
        failed = self.library.body_append(
            ctypes.byref(self.struct),
            data,
            ctypes.c_size_t(len(data)),
            ctypes.c_uint64(expected),
            ctypes.c_size_t(memory),
            os.fsencode(self.directory),
        )
        if failed:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def read(self, at: int, size: int) -> bytes:
        out = ctypes.create_string_buffer(size + 1)
        got = self.library.body_read(
            ctypes.byref(self.struct), ctypes.c_uint64(at), out, ctypes.c_size_t(size)
        )
        if got < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return out.raw[:got]

    def free(self) -> None:
        self.library.body_free(ctypes.byref(self.struct))


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(shared("body", "body.c")), use_errno=True)


@pytest.fixture(scope="module")
def without_tmpfile() -> ctypes.CDLL:
    return ctypes.CDLL(str(shared("body_stub", "body_stub.c")), use_errno=True)


@pytest.fixture
def body(library: ctypes.CDLL, tmp_path: Path) -> Iterator[Body]:
    body = Body(library, str(tmp_path))
    yield body
    body.free()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=700), max_size=8),
    st.integers(0, 3 * MEMORY),
    st.integers(0, 2 * MEMORY),
)
def test_what_went_in_comes_out(pieces: list[bytes], expected: int, memory: int) -> None:
    body = Body(ctypes.CDLL(str(shared("body", "body.c")), use_errno=True), "/tmp")
    whole = b""
    for piece in pieces:
        body.append(piece, expected, memory)
        whole += piece
        assert body.struct.size == len(whole)
        assert (body.struct.file >= 0) == (len(whole) > memory)
        assert body.struct.room <= max(memory, 4096)
    for at in (0, 1, len(whole) // 2, len(whole), len(whole) + 5):
        assert body.read(at, len(whole)) == whole[at:]
        assert body.read(at, 10) == whole[at : at + 10]
    body.free()
    assert (body.struct.data, body.struct.size, body.struct.file) == (None, 0, -1)


def test_the_first_room_is_what_is_expected_within_memory(body: Body) -> None:
    body.append(b"x", expected=700)
    assert body.struct.room == 700
    body.free()
    body.append(b"x", expected=10**15)
    assert body.struct.room == MEMORY


def spooled_privately(body: Body, directory: Path) -> None:
    body.append(b"x" * MEMORY)
    assert body.struct.file == -1
    body.append(b"y")
    facts = os.fstat(body.struct.file)
    assert list(directory.iterdir()) == []
    assert facts.st_nlink == 0
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert facts.st_size == MEMORY + 1
    assert not os.get_inheritable(body.struct.file)
    assert body.read(MEMORY - 1, 5) == b"xy"


def test_the_file_has_no_name(body: Body, tmp_path: Path) -> None:
    spooled_privately(body, tmp_path)


def test_nor_where_o_tmpfile_is_not_known(without_tmpfile: ctypes.CDLL, tmp_path: Path) -> None:
    body = Body(without_tmpfile, str(tmp_path))
    spooled_privately(body, tmp_path)
    body.free()
    with pytest.raises(OSError) as caught:
        Body(without_tmpfile, "/x" * 3000).append(b"x" * 2000)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_a_missing_directory_is_told_and_nothing_is_lost(library: ctypes.CDLL) -> None:
    body = Body(library, "/nonexistent/directory")
    body.append(b"x" * MEMORY)
    with pytest.raises(FileNotFoundError):
        body.append(b"y")
    assert body.read(0, 2 * MEMORY) == b"x" * MEMORY
    body.free()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow past `size`: write(2) fails with EFBIG there (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_file_is_told_and_nothing_is_lost(body: Body) -> None:
    body.append(b"x" * MEMORY)
    with file_size_limit(MEMORY // 2), pytest.raises(OSError) as caught:
        body.append(b"y" * MEMORY)
    assert caught.value.errno == errno.EFBIG
    assert body.struct.file == -1
    assert body.read(0, 3 * MEMORY) == b"x" * MEMORY
    body.append(b"y" * MEMORY)
    with file_size_limit(3 * MEMORY), pytest.raises(OSError) as caught:
        body.append(b"z" * 2 * MEMORY)
    assert caught.value.errno == errno.EFBIG
    assert body.read(0, 9 * MEMORY) == b"x" * MEMORY + b"y" * MEMORY
    body.append(b"w")
    assert body.read(MEMORY, 9 * MEMORY) == b"y" * MEMORY + b"w"


def test_a_full_disk_is_told(library: ctypes.CDLL, tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(tmp_path), b"tmpfs", 0, b"size=64k"):
        pytest.skip(f"no tmpfs of its own: {os.strerror(ctypes.get_errno())}")
    try:
        body = Body(library, str(tmp_path))
        body.append(b"x" * 60_000)
        with pytest.raises(OSError) as caught:
            body.append(b"y" * 60_000)
        assert caught.value.errno == errno.ENOSPC
        assert body.read(0, 120_000) == b"x" * 60_000
        body.free()
        body.append(b"z" * 60_000)  # the space is free again
        body.free()
    finally:
        assert libc.umount(os.fsencode(tmp_path)) == 0


def test_a_file_cut_by_others_is_an_error_and_no_short_body(body: Body) -> None:
    body.append(b"x" * (MEMORY + 1))
    os.ftruncate(body.struct.file, 10)
    with pytest.raises(OSError) as caught:
        body.read(0, MEMORY)
    assert caught.value.errno == errno.EIO
