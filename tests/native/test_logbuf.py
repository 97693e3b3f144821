"""The buffer of whole lines in front of a log: files, pipes and sockets that may be full."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from edges import library

SIZE, PIPE_LINE, LINE = 64 * 1024, 4096, 16 * 1024


class Head(ctypes.Structure):
    """The beginning of struct logbuf."""

    _fields_ = (
        ("fd", ctypes.c_int),
        ("kind", ctypes.c_uint8),
        ("ask_first", ctypes.c_bool),
        ("failing", ctypes.c_int),
        ("used", ctypes.c_uint32),
        ("torn", ctypes.c_uint32),
        ("lines", ctypes.c_uint64),
        ("dropped", ctypes.c_uint64),
    )


class Log:
    def __init__(self, fd: int) -> None:
        self._log = ctypes.c_void_p(library().logbuf_open(fd))
        assert self._log
        self.head = Head.from_address(self._log.value or 0)

    def append(self, line: bytes) -> bool:
        return bool(library().logbuf_append(self._log, line, ctypes.c_size_t(len(line))))

    def flush(self) -> int:
        return int(library().logbuf_flush(self._log))

    def reopen(self, path: Path) -> int:
        return int(library().logbuf_reopen(self._log, os.fsencode(path)))

    def close(self) -> None:
        library().logbuf_close(self._log)


def lines(start: int, count: int, size: int = 100) -> list[bytes]:
    return [b"%0*d\n" % (size - 1, number) for number in range(start, start + count)]


@pytest.fixture(autouse=True)
def no_descriptor_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before


def test_lines_wait_until_half_the_buffer_is_full(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    os.close(fd)
    sent = lines(0, 327)
    assert all(log.append(line) for line in sent)
    assert path.read_bytes() == b""
    assert log.append(b"one more beyond 32 KiB" + b"." * 100 + b"\n")
    assert path.read_bytes().startswith(b"".join(sent))
    assert log.head.used == 0
    log.append(b"last\n")
    log.close()
    assert path.read_bytes().endswith(b"last\n")


def test_lines_that_are_too_long_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    os.close(fd)
    assert log.append(b"x" * 20000 + b"\n")
    log.close()
    assert path.read_bytes() == b"x" * (LINE - 1) + b"\n"


def fill(log: Log, size: int = 100) -> int:
    """Appends until lines are dropped; how many were taken."""
    taken = 0
    while log.append(lines(taken, 1, size)[0]):
        taken += 1
        assert taken < 100_000
    return taken


def drain(fd: int) -> bytes:
    data = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except BlockingIOError:
            return data
        if not part:
            return data
        data += part


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_is_slow_costs_lines_and_never_waits(kind: str) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (each.detach() for each in socket.socketpair())
    os.set_blocking(reader, False)
    log = Log(writer)
    taken = fill(log)
    assert log.head.failing and log.head.dropped == 1 and log.head.lines == taken
    assert fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK == 0, "others share this flag"
    assert not log.append(b"lost\n") and log.head.dropped == 2

    data = drain(reader)
    while log.flush():
        data += drain(reader)
    data += drain(reader)
    assert data == b"".join(lines(0, taken)), "whole lines, in order"
    assert log.head.failing == 0
    assert log.append(b"back\n") and log.flush() == 0
    assert drain(reader) == b"back\n"
    log.close()
    os.close(reader)
    os.close(writer)


def test_a_pipe_that_may_not_be_opened_anew_is_asked_first() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    log = Log(writer)
    # As after a change of user: our own descriptor of the pipe is the shared, blocking one.
    os.dup2(writer, log.head.fd)
    log.head.ask_first = True
    taken = fill(log)
    data = drain(reader)
    while log.flush():
        data += drain(reader)
    assert data + drain(reader) == b"".join(lines(0, taken))
    log.close()
    os.close(reader)
    os.close(writer)


def test_a_pipe_without_a_reader_is_no_end() -> None:
    reader, writer = os.pipe()
    log = Log(writer)
    os.close(reader)
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    fill(log)
    assert log.head.failing
    log.close()
    os.close(writer)


def test_lines_of_several_writers_to_a_pipe_do_not_mix() -> None:
    reader, writer = os.pipe()
    logs = [Log(writer) for _ in range(4)]
    os.close(writer)
    got = bytearray()

    def read() -> None:
        while part := os.read(reader, 1000):
            got.extend(part)

    thread = threading.Thread(target=read)
    thread.start()
    taken = 0
    for number in range(2000):
        for each, log in enumerate(logs):
            taken += log.append(b"%d" % each * (50 + number % 700) + b"\n")
    for log in logs:
        while log.flush():
            pass
        log.close()
    thread.join(60)
    assert not thread.is_alive()
    os.close(reader)
    found = bytes(got).splitlines(keepends=True)
    assert len(found) == taken
    assert all(len(set(line[:-1])) == 1 and line.endswith(b"\n") for line in found)


def test_a_full_disk_costs_lines_and_logging_resumes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    # As a full disk does: a short write at first, and errors then.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_050, hard))
    try:
        taken = fill(log)
        assert path.stat().st_size == 50_050
        assert log.flush() != 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not log.append(b"not before a flush\n")
    assert log.flush() == 0
    assert path.read_bytes() == b"".join(lines(0, taken)), "the torn line was completed"
    assert log.append(b"back\n")
    log.close()
    assert path.read_bytes().endswith(b"\nback\n")


def test_rotation(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = Log(fd)
    os.close(fd)
    log.append(b"before\n")
    path.rename(old)
    assert log.reopen(path) == 0
    log.append(b"after\n")
    assert log.flush() == 0
    assert (old.read_bytes(), path.read_bytes()) == (b"before\n", b"after\n")
    assert path.stat().st_mode & 0o777 & ~0o640 == 0
    assert not os.get_inheritable(log.head.fd)
    assert log.reopen(tmp_path / "no" / "such") == -1
    log.append(b"still\n")
    log.close()
    assert path.read_bytes() == b"after\nstill\n"


def test_dev_null_and_dev_full() -> None:
    for name, works in (("/dev/null", True), ("/dev/full", False)):
        fd = os.open(name, os.O_WRONLY)
        log = Log(fd)
        os.close(fd)
        assert log.append(b"x\n")
        assert (log.flush() == 0) is works
        log.close()
