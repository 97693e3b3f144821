"""The access log while files are rotated, disks are full and clients try to forge it."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_client import WAIT
from wire_rows import get
from wire_server import Nest, WireServer

FORMAT = '%(u)s "%(r)s" %(s)s %(B)s %(a)s'


def serve(nest: Nest, backend: str, threads: int, path: Path, *args: str) -> WireServer:
    named = ("--access-logfile", str(path), "--access-logformat", FORMAT)
    return nest.serve(backend, "app", "--threads", str(threads), *named, *args)


def stopped(server: WireServer, path: Path) -> list[str]:
    """The lines once the worker has ended."""
    server.terminate()
    assert server.wait_exit() == 0
    return path.read_text("ascii").splitlines()


def wait_for_line(server: WireServer, path: Path, text: str) -> None:
    """Until the file has it; the worker writes when it has nothing else to do."""
    end = time.monotonic() + WAIT
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end, f"no {text!r} in {path}\n{server.log()}"
        select.select([server.pidfd], [], [], 0.01)


def test_lines_are_those_of_the_requests(nest: Nest, backend: str, threads: int) -> None:
    path = nest.folder / "access"
    server = serve(nest, backend, threads, path, "--limit-request-body", "100")
    with server.connect() as wire:
        wire.get("/hello?1", "Authorization: Basic YWRhOnNlY3JldA==", "User-Agent: x")
        wire.ask("/hello", "HEAD")
        wire.read("HEAD")
        wire.ask("/echo", "POST", b"x" * 100)
        wire.read()
        wire.send(get(b"/hello?2") + get(b"/answer?{%22blocks%22:[%22a%22,%22b%22]}"))
        assert (wire.read().body, wire.read().body) == (b"hello", b"ab")
        wire.get("/fail?call")
    with server.connect() as wire:
        wire.ask("/echo", "POST", b"x" * 101)
        assert wire.read().status == 413
    assert stopped(server, path) == [
        'ada "GET /hello?1 HTTP/1.1" 200 5 x',
        '- "HEAD /hello HTTP/1.1" 200 0 -',
        '- "POST /echo HTTP/1.1" 200 100 -',
        '- "GET /hello?2 HTTP/1.1" 200 5 -',
        '- "GET /answer?{%22blocks%22:[%22a%22,%22b%22]} HTTP/1.1" 200 2 -',
        '- "GET /fail?call HTTP/1.1" 500 0 -',
        '- "POST /echo HTTP/1.1" 413 0 -',
    ]


def test_nobody_forges_a_line(nest: Nest, backend: str, threads: int) -> None:
    path = nest.folder / "access"
    server = serve(nest, backend, threads, path)
    users = ("YQpiIGZha2VkOg==", "YSIgYgA6eA==", "G1szMW06eA==", "bm9jb2xvbg==", "!!!!", "")
    with server.connect() as wire:
        for user in users:
            wire.get("/hello", f"Authorization: Basic {user}", 'User-Agent: "x" \\ \t y')
        wire.send(get(b"/%0a%0dGET", b"User-Agent: \x85\xe2\x80\xa8\xff"))
        wire.read()
    lines = stopped(server, path)
    assert len(lines) == len(users) + 1
    assert all(re.fullmatch(r'[ -~]+ "GET [ -~]+ HTTP/1\.1" 200 5 [ -~]+', each) for each in lines)
    assert [line.split(' "GET')[0] for line in lines[:4]] == [
        "a\\x0ab faked",
        'a\\" b\\x00',
        "\\x1b[31m",
        "-",
    ]


def test_it_follows_a_rotation(nest: Nest, backend: str, threads: int) -> None:
    path, old = nest.folder / "access", nest.folder / "access.1"
    server = serve(nest, backend, threads, path)
    with server.connect() as wire:
        wire.get("/hello?before")
        path.rename(old)
        wire.get("/hello?renamed")
        signal.pidfd_send_signal(server.pidfd, signal.SIGUSR1)
        wait_for(lambda: path.exists(), server)
        wire.get("/hello?after")
        wait_for_line(server, path, "/hello?after")
    held = [link.resolve() for link in Path(f"/proc/{server.process.pid}/fd").iterdir()]
    assert path in held and old not in held, "the space of the old one can be given back"
    text = old.read_text()
    assert "?before" in text and "?renamed" in text and "?after" not in text
    assert len(stopped(server, path)) == 1


def wait_for(holds: object, server: WireServer) -> None:
    end = time.monotonic() + WAIT
    assert callable(holds)
    while not holds():
        assert time.monotonic() < end, server.log()
        select.select([server.pidfd], [], [], 0.01)


def test_a_rotation_that_fails_leaves_the_old_file(nest: Nest, backend: str, threads: int) -> None:
    path, old = nest.folder / "access", nest.folder / "access.1"
    server = serve(nest, backend, threads, path)
    path.rename(old)
    path.mkdir()
    signal.pidfd_send_signal(server.pidfd, signal.SIGUSR1)
    wait_for(lambda: "goes on in the old one" in server.log(), server)
    with server.connect() as wire:
        wire.get("/hello?still")
    wait_for_line(server, old, "?still")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 512 KiB; skips where it cannot be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=512k,mode=777", "chaussette-test", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_log_and_nothing_else(nest: Nest, backend: str, threads: int) -> None:
    with small_disk(nest.folder / "disk") as disk:
        path, ballast = disk / "access", disk / "ballast"
        ballast.write_bytes(b"x" * 470_000)
        server = serve(nest, backend, threads, path)
        with server.connect() as wire:
            for number in range(3000):
                assert wire.get(f"/hello?{number}", "User-Agent: " + "x" * 100).status == 200
            ballast.unlink()
            wire.get("/hello?space")
            wait_for_line(server, path, "/hello?")
            for number in range(5):
                wire.get(f"/hello?again{number}")
            wait_for_line(server, path, "/hello?again4")
        whole = re.compile(r'- "GET /hello\?\w+ HTTP/1\.1" 200 5 (x{100}|-)')
        bad = [line for line in stopped(server, path) if not whole.fullmatch(line)]
        assert bad == [], "a line that the disk cut off is not gone on with in another one"
