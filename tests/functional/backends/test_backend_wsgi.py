"""What a WSGI application may rely on, whatever serves it (PEP 3333, RFC 9110, RFC 9112)."""

from __future__ import annotations

import hashlib
import json
import socket

import pytest
from backend_choice import Shared, backends
from backend_server import Nursery, Server

from chaussette.backends.base import Can

pytestmark = pytest.mark.backends(Can.WSGI)
APP = "validated"
KEEPS = backends(Can.WSGI | Can.KEEPALIVE)


@pytest.fixture
def nest_and_server(shared: Shared, backend: str) -> tuple[Nursery, Server]:
    return shared.get(backend, APP)


@pytest.fixture
def server(nest_and_server: tuple[Nursery, Server]) -> Server:
    return nest_and_server[1]


def digest(body: bytes) -> bytes:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def test_environ_is_complete_and_decoded(server: Server, backend: str) -> None:
    with server.connect() as wire:
        response = wire.get(
            "/environ/caf%C3%A9?q=1%202", "X-Thing: one", "Cookie: a=b", "User_Agent: underscore"
        )
    assert response.status == 200, server.log()
    environ = json.loads(response.body)
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/environ/caf\xc3\xa9"
    assert environ["QUERY_STRING"] == "q=1%202"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"] == str(server.listeners[0].socket.getsockname()[1])
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["HTTP_HOST"] == "test"
    assert environ["HTTP_X_THING"] == "one"
    assert environ["HTTP_COOKIE"] == "a=b"
    assert environ["wsgi.url_scheme"] == "http"
    # An underscore must not pass for a dash; for the exception see its declaration's notes.
    assert ("HTTP_USER_AGENT" in environ) == (backend in ("meinheld", "granian"))


def test_query_string_is_there_when_empty(server: Server) -> None:
    with server.connect() as wire:
        assert json.loads(wire.get("/environ").body).get("QUERY_STRING", "") == ""


def test_two_values_of_a_header_are_joined(backend: str, server: Server) -> None:
    with server.connect() as wire:
        environ = json.loads(wire.get("/environ", "X-Twice: 1", "X-Twice: 2").body)
    expected = "12" if backend == "bjoern" else "1,2"  # see the notes in its declaration
    assert environ["HTTP_X_TWICE"].replace(" ", "") == expected


def test_head_has_no_body(server: Server) -> None:
    with server.connect() as wire:
        wire.ask("/hello", "HEAD", b"", "Connection: close")
        response = wire.read("HEAD")
        assert response.status == 200
        assert response.get("content-length") == "5"
        assert wire.rest() == b""


def test_head_of_a_body_of_unknown_length_has_none(server: Server) -> None:
    with server.connect() as wire:
        wire.ask("/write", "HEAD", b"", "Connection: close")
        assert wire.read("HEAD").status == 200
        assert wire.rest() == b""


def test_no_content_has_no_body(server: Server) -> None:
    with server.connect() as wire:
        response = wire.get("/empty", "Connection: close")
        assert response.status == 204
        assert response.get("transfer-encoding") == ""
        assert wire.rest() == b""


def test_response_has_a_date(server: Server) -> None:
    with server.connect() as wire:
        assert wire.get("/hello").get("date").endswith("GMT")


def test_each_response_header_goes_out(server: Server) -> None:
    with server.connect() as wire:
        response = wire.get("/cookies")
    assert [value for key, value in response.headers if key == "set-cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize("size", [1, 70_000, 2_000_000])
def test_post_with_content_length(server: Server, size: int) -> None:
    body = b"p" * size
    with server.connect() as wire:
        wire.ask("/digest", "POST", body)
        assert wire.read().body == digest(body)


def test_post_in_two_parts(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
        wire.send(b"67890")
        assert wire.read().body == digest(b"1234567890")


def test_expect_continue(server: Server) -> None:
    with server.connect() as wire:
        wire.send(
            b"POST /digest HTTP/1.1\r\nHost: test\r\n"
            b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n12345"
        )
        assert wire.read().body == digest(b"12345")


def test_body_that_nobody_reads_does_not_hurt_the_response(server: Server) -> None:
    with server.connect() as wire:
        wire.ask("/hello", "POST", b"u" * 200_000)
        assert wire.read().body == b"hello"


def test_large_response_to_a_slow_reader(shared: Shared, backend: str) -> None:
    """More than the buffers on the way hold, so that the server must wait for the client."""
    _, server = shared.get(backend, "wsgi")
    with server.connect() as wire:
        wire.ask("/large", "GET", b"", "Connection: close")
        wire.read_exactly(1)
        with server.connect() as other:
            other.ask("/hello")
            assert len(wire.rest()) > 20_000_000, server.log()
            assert other.read().body == b"hello"


def test_write_callable(server: Server) -> None:
    with server.connect() as wire:
        response = wire.get("/write")
    assert (response.status, response.body) == (200, b"written,returned"), server.log()


def test_file_wrapper(shared: Shared, backend: str) -> None:
    _, server = shared.get(backend, "wsgi")  # the validator hides the wrapper from the server
    with server.connect() as wire:
        response = wire.get("/file")
    assert response.complete
    assert response.body == b"f" * 300_000


@pytest.mark.parametrize("path", ["/fail-early", "/fail-started"])
def test_exception_before_the_body_is_a_500(server: Server, path: str) -> None:
    with server.connect() as wire:
        assert wire.get(path).status == 500
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"


def test_exception_in_the_body_cuts_the_response(
    nest_and_server: tuple[Nursery, Server], backend: str
) -> None:
    nest, server = nest_and_server
    with server.connect() as wire:
        wire.ask("/fail-late?late")
        try:
            response = wire.read()
        except EOFError:
            pass  # cut before the head: nothing that could pass for whole
        else:
            looks_whole = response.complete and response.status != 500
            assert looks_whole == (backend == "granian")  # see the notes in its declaration
        nest.gate.wait("closed late")
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"
    assert nest.gate.is_quiet()


def test_keep_alive(backend: str, server: Server) -> None:
    with server.connect() as wire:
        first = wire.get("/hello")
        assert first.body == b"hello"
        if first.closes:
            assert backend not in KEEPS, "it declares KEEPALIVE"
            assert wire.is_at_end()
            return
        assert wire.get("/hello").body == b"hello"
        last = wire.get("/hello", "Connection: close")
        assert last.body == b"hello"
        assert wire.is_at_end()


def test_http_1_0(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"GET /write HTTP/1.0\r\n\r\n")
        response = wire.read()
        assert (response.status, response.body) == (200, b"written,returned")
        assert response.get("transfer-encoding") == ""


def test_malformed_request_is_refused(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"NONSENSE\r\n\r\n")
        head = wire.rest()
    assert head == b"" or b" 400 " in head.split(b"\r\n")[0]


@pytest.mark.backends(Can.WSGI | Can.STREAMING)
def test_first_block_arrives_before_the_last_is_made(
    nest_and_server: tuple[Nursery, Server],
) -> None:
    nest, server = nest_and_server
    with server.connect() as wire:
        wire.ask("/stream?streamed", "GET", b"", "Connection: close")
        gate = nest.gate.wait("streaming")
        status, headers = wire.read_head()
        chunked = ("transfer-encoding", "chunked") in headers
        first = wire.read_chunk() if chunked else wire.read_exactly(6)
        assert (status, first) == (200, b"first,")
        gate.close()
        nest.gate.wait("closed streamed")
        assert b"last" in wire.rest()
    assert nest.gate.is_quiet()


@pytest.mark.backends(Can.WSGI | Can.STREAMING)
def test_close_is_called_once_when_the_client_leaves(
    nest_and_server: tuple[Nursery, Server],
) -> None:
    nest, server = nest_and_server
    with server.connect() as wire:
        wire.ask("/flood?abort")
        gate = nest.gate.wait("flooding")
    gate.close()
    nest.gate.wait("closed abort")
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"
    assert nest.gate.is_quiet()


@pytest.mark.backends(Can.WSGI | Can.CHUNKED_REQUEST)
def test_chunked_upload(server: Server) -> None:
    with server.connect() as wire:
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"5\r\nhello\r\n")
        wire.send(b"6\r\n world\r\n0\r\n\r\n")
        assert wire.read().body == digest(b"hello world")


@pytest.mark.backends(Can.WSGI | Can.UNIX_SOCKET)
def test_unix_socket(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, on=[nest.listen(socket.AF_UNIX)])
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello", server.log()
    with server.connect() as wire:
        response = wire.get("/environ")
    assert response.status == 200, server.log()
    assert json.loads(response.body).get("REMOTE_ADDR", "") in ("", "localhost", "127.0.0.1")


@pytest.mark.backends(Can.WSGI | Can.TCP)
def test_ipv6(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, on=[nest.listen(socket.AF_INET6)])
    with server.connect() as wire:
        response = wire.get("/environ")
    assert response.status == 200, server.log()
    environ = json.loads(response.body)
    assert environ["SERVER_PORT"] == str(server.listeners[0].socket.getsockname()[1])


@pytest.mark.backends(Can.WSGI | Can.MANY_SOCKETS)
def test_many_sockets(nest: Nursery, backend: str) -> None:
    families = (socket.AF_INET, socket.AF_INET, socket.AF_UNIX)
    server = nest.serve(backend, APP, on=[nest.listen(each) for each in families])
    for listener in server.listeners:
        with listener.connect() as wire:
            assert wire.get("/hello").body == b"hello"


@pytest.mark.parametrize("path", ["/app/environ", "/environ"])
def test_root_path(nest: Nursery, backend: str, path: str) -> None:
    server = nest.serve(backend, APP, "--root-path", "/app")
    with server.connect() as wire:
        environ = json.loads(wire.get(path).body)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/environ")


@pytest.mark.backends(Can.WSGI | Can.THREADS)
def test_threads(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--threads", "3")
    with server.connect() as one, server.connect() as two, server.connect() as three:
        for wire in (one, two):
            wire.ask("/gate?in")
        gates = [nest.gate.wait("in") for _ in range(2)]
        assert three.get("/hello").body == b"hello"
        for gate in gates:
            gate.close()
        assert [one.read().body, two.read().body] == [b"passed", b"passed"]


@pytest.mark.backends(Can.WSGI | Can.BODY_LIMIT)
def test_limit_of_the_body(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--limit-request-body", "1000")
    with server.connect() as wire:
        wire.ask("/digest", "POST", b"x" * 1000)
        assert wire.read().body == digest(b"x" * 1000)
    with server.connect() as wire:
        # Refused for what it announces, before any of it is sent.
        wire.send(b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 1001\r\n\r\n")
        assert wire.read().status == 413
    with server.connect() as wire:
        chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        wire.send(
            b"POST /digest HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + 2 * chunk
        )
        assert wire.read().status == 413
