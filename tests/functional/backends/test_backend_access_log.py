"""The access log, on backends that write one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from backend_server import Nursery, Server

from chaussette.backends.base import Can

pytestmark = pytest.mark.backends(Can.WSGI | Can.ACCESS_LOG)
APP = "validated"


def stopped(server: Server, path: Path) -> list[str]:
    """The lines of the log once the worker has ended."""
    server.terminate()
    assert server.wait_exit() == 0
    return path.read_text("ascii").splitlines()


def test_a_line_for_each_request(nest: Nursery, backend: str) -> None:
    path = nest.folder / "access"
    server = nest.serve(backend, APP, "--access-logfile", str(path))
    with server.connect() as wire:
        body = wire.get("/hello?a=1", "Referer: http://r.example/", 'User-Agent: a"b\\c\xe9').body
        wire.ask("/hello", "HEAD")
        wire.read("HEAD")
    with server.connect() as wire:
        wire.send(b"GET  / HTTP/1.1\r\n\r\n")
        assert wire.read().status == 400
    first, second, *_ = stopped(server, path)
    date = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {date} "GET /hello\?a=1 HTTP/1\.1" 200 {len(body)} '
        r'"http://r\.example/" "a\\"b\\\\c\\x(c3\\xa)?9?e?9"',
        first,
    ), first
    assert re.fullmatch(rf'127\.0\.0\.1 - - {date} "HEAD /hello HTTP/1\.1" 200 0 "-" "-"', second)


def test_atoms_of_request_response_and_environ(nest: Nursery, backend: str) -> None:
    path = nest.folder / "access"
    text = "%({x-id}i)s %({content-type}o)s %({SERVER_PROTOCOL}e)s %({x-none}i)s %(U)s %(p)s %(L)s"
    server = nest.serve(backend, APP, "--access-logfile", str(path), "--access-logformat", text)
    pid = server.process.pid
    with server.connect() as wire:
        wire.get("/hello/%0a%22", "X-Id: 7")
    (line,) = stopped(server, path)
    assert re.fullmatch(rf'7 text/plain\S* HTTP/1\.1 - /hello/\\x0a\\" <{pid}> 0\.\d{{6}}', line), (
        line
    )


def test_json_lines(nest: Nursery, backend: str) -> None:
    path = nest.folder / "access"
    server = nest.serve(backend, APP, "--access-logfile", str(path), "--access-logformat", "json")
    with server.connect() as wire:
        wire.get("/hello", "Authorization: Basic YWRhOnNlY3JldA==")
    (line,) = stopped(server, path)
    record = json.loads(line)
    assert (record["status"], record["target"], record["user"]) == (200, "/hello", "ada")
    assert "secret" not in line and "YWRh" not in line


def test_a_full_log_does_not_stop_the_server(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--access-logfile", "/dev/full")
    agent = "User-Agent: " + "x" * 500
    with server.connect() as wire:
        for _ in range(300):
            assert wire.get("/hello", agent).status == 200


def test_a_malformed_format_is_refused_at_start(nest: Nursery, backend: str) -> None:
    path = str(nest.folder / "access")
    server = nest.start(
        backend, APP, "--access-logfile", path, "--access-logformat", "%(h)s %(zz)s"
    )
    assert server.wait_exit() != 0
    assert "access_log_format" in server.log() and "unknown atom" in server.log()
    assert "Traceback" not in server.log()
