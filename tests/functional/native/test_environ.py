"""What the application is given: environ, sockets of every family, wsgi.input, file_wrapper."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from wire_rows import get
from wire_server import Nest, Shared, WireServer


def environ(server: WireServer, *lines: bytes, target: bytes = b"/environ") -> dict[str, Any]:
    with server.connect() as wire:
        wire.send(get(target, *lines))
        found: dict[str, Any] = json.loads(wire.read().body)
    return found


def test_it_has_what_pep_3333_asks_for(shared: Shared, backend: str, threads: int) -> None:
    server = shared.get(backend, threads)
    found = environ(server, b"X-A: 1", b"x-a: 2", b"Cookie: a=1", b"Cookie: b=2", b"X-L: \xe9")
    strings, types = found["strings"], found["types"]
    host, port = server.listeners[0].socket.getsockname()
    assert found["kind"] == "dict"
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ",
        "QUERY_STRING": "",
        "RAW_URI": "/environ",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "test",
        "HTTP_X_A": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_L": "\xe9",
        "wsgi.url_scheme": "http",
    }
    assert {key: strings.get(key) for key in expected} == expected
    assert int(strings["REMOTE_PORT"]) > 0
    assert "CONTENT_LENGTH" not in strings and "CONTENT_TYPE" not in strings
    assert types["wsgi.version"] == "tuple" and types["wsgi.multithread"] == "bool"
    assert types["wsgi.errors"] == "TextIOWrapper" and types["wsgi.file_wrapper"] == "type"


def test_nothing_of_a_request_is_left_for_the_next(shared: Shared, backend: str) -> None:
    server = shared.get(backend)
    plain = environ(server)
    with server.connect() as wire:
        wire.send(b"POST /environ?q HTTP/1.0\r\nHost: other\r\nConnection: keep-alive\r\n")
        wire.send(b"Content-Type: a/b\r\nContent-Length: 1\r\nX-Secret: s\r\n\r\nx")
        first = json.loads(wire.read().body)["strings"]
        assert (first["CONTENT_TYPE"], first["CONTENT_LENGTH"]) == ("a/b", "1")
        assert (first["SERVER_PROTOCOL"], first["HTTP_HOST"]) == ("HTTP/1.0", "other")
        wire.send(get(b"/environ"))
        second = json.loads(wire.read().body)["strings"]
    plain["strings"]["REMOTE_PORT"] = second["REMOTE_PORT"]
    assert second == plain["strings"]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/environ/%e9%2F%25?a=%41&b", "/environ/\xe9/%", "a=%41&b"),
        (b"/environ//a/../b", "/environ//a/../b", ""),
        (b"/environ?", "/environ", ""),
        (b"/environ??a?", "/environ", "?a?"),
        (b"http://h/environ?x", "/environ", "x"),
        (b"/environ/%c3%a9", "/environ/\xc3\xa9", ""),
    ],
)
def test_paths(shared: Shared, backend: str, target: bytes, path: str, query: str) -> None:
    strings = environ(shared.get(backend), target=target)["strings"]
    assert (strings["PATH_INFO"], strings["QUERY_STRING"]) == (path, query)
    assert strings["RAW_URI"] == target.decode()


def test_fields_that_could_be_taken_for_others_are_not_there(shared: Shared, backend: str) -> None:
    lines = (b"Content_Length: 5", b"X_Forwarded_For: 1.2.3.4", b"HTTP_PROXY: x", b"REMOTE_USER: r")
    strings = environ(shared.get(backend), *lines, b"Remote-User: fine")["strings"]
    assert [key for key in strings if "PROXY" in key or "FORWARDED" in key] == []
    assert "REMOTE_USER" not in strings and strings["HTTP_REMOTE_USER"] == "fine"


def test_sockets_of_every_family_at_once(nest: Nest, backend: str, threads: int) -> None:
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_INET)
    listeners = [nest.listen(family) for family in families]
    server = nest.serve(backend, "app", "--threads", str(threads), on=listeners)
    found = []
    for listener in listeners:
        with listener.connect() as wire:
            strings = json.loads(wire.get("/environ").body)["strings"]
            found.append((strings["REMOTE_ADDR"], strings["SERVER_PORT"]))
    ports = [str(each.socket.getsockname()[1]) for each in listeners if each.family != 1]
    assert found == [
        ("127.0.0.1", ports[0]),
        ("::1", ports[1]),
        ("", "80"),
        ("127.0.0.1", ports[2]),
    ]
    assert server.is_well()


def test_mounted_below_a_path(nest: Nest, backend: str) -> None:
    server = nest.serve(backend, "app", "--root-path", "/app")
    strings = environ(server, target=b"/app/environ/x")["strings"]
    assert (strings["SCRIPT_NAME"], strings["PATH_INFO"]) == ("/app", "/environ/x")


READS: dict[str, list[Any]] = {
    "read()": ["one\ntwo\r\n\nlast", ""],
    "read(3), read(100), read(1)": ["one", "\ntwo\r\n\nlast", ""],
    "read(0)": [""],
    "readline(), readline(2), readline()": ["one\n", "tw", "o\r\n"],
    "readlines()": [["one\n", "two\r\n", "\n", "last"]],
    "readlines(4), readlines()": [["one\n"], ["two\r\n", "\n", "last"]],
}
BODY = b"one\ntwo\r\n\nlast"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("memory", ["1000", "1"], ids=["memory", "file"])
def test_input_is_this_body_and_no_more(
    nest: Nest, backend: str, framing: str, memory: str
) -> None:
    server = nest.serve(backend, "app", "--body-memory", memory)
    behind = get(b"/hello?behind")
    with server.connect() as wire:
        for calls, expected in READS.items():
            target = b"/reads?" + calls.replace(" ", "").encode()
            head = b"POST " + target + b" HTTP/1.1\r\nHost: test\r\n"
            if framing == "length":
                wire.send(head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + behind)
            else:
                chunks = b"".join(b"1\r\n" + BODY[at : at + 1] + b"\r\n" for at in range(len(BODY)))
                wire.send(
                    head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n" + behind
                )
            found = json.loads(wire.read().body)
            assert found[: len(expected)] == expected, calls
            assert wire.read().body == b"hello"


@pytest.mark.parametrize(
    ("how", "size"),
    [("whole", 300_000), ("offset", 200_000), ("short", 300_000), ("long", 100), ("pipe", 5)],
)
def test_files(shared: Shared, backend: str, threads: int, how: str, size: int) -> None:
    """By sendfile where it can be; `short`: the file has less than its Content-Length."""
    if (backend, how) == ("fastgevent", "pipe"):
        pytest.skip("a plain file object on a pipe holds the thread of all greenlets")
    server = shared.get(backend, threads)
    with server.connect() as wire:
        for method in ("HEAD", "GET"):
            wire.ask(f"/files?{how}", method)
            response = wire.read(method)
            assert response.status == 200
            if method == "GET" and how != "short":
                assert response.complete and len(response.body) == size
                assert wire.get("/hello").body == b"hello"
            elif method == "GET":
                assert not response.complete and len(response.body) == 100_000
        assert how != "short" or wire.is_at_end()
    with server.connect() as wire:
        assert json.loads(wire.get("/closed").body) == [how, how], "closed once each"
