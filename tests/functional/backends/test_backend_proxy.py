"""What is believed of a client that comes through a proxy, on backends that believe anything."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import pytest
from backend_client import Wire
from backend_server import Nursery, Server

from chaussette.backends.base import Can

APP = "validated"
FOR, PROTO = "X-Forwarded-For: 6.6.6.6, 203.0.113.7:4711", "X-Forwarded-Proto: https"
headers = pytest.mark.backends(Can.WSGI | Can.PROXY_HEADERS)
protocol = pytest.mark.backends(Can.WSGI | Can.PROXY_PROTOCOL)


def environ(wire: Wire, *lines: str) -> dict[str, Any]:
    """What the application got."""
    response = wire.get("/environ", *lines)
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.body)
    return found


def client(found: dict[str, Any]) -> tuple[Any, ...]:
    """Its address, port and scheme."""
    return found["REMOTE_ADDR"], found.get("REMOTE_PORT"), found["wsgi.url_scheme"]


@headers
def test_a_proxy_on_this_machine_is_believed(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP)
    with server.connect() as wire:
        first = environ(wire)
        assert first["REMOTE_ADDR"] == "127.0.0.1" and first["wsgi.url_scheme"] == "http"
        assert client(environ(wire, FOR, PROTO)) == ("203.0.113.7", "4711", "https")
        # What it said of one request does not hold for the next.
        assert client(environ(wire)) == client(first)
        unset = environ(wire, "X-Forwarded-Host: evil.example", "Forwarded: for=6.6.6.6")
        assert client(unset) == client(first) and unset["HTTP_HOST"] == "test"


@headers
@pytest.mark.parametrize("who", ["", "10.0.0.0/8", "unix"])
def test_others_are_not(nest: Nursery, backend: str, who: str) -> None:
    server = nest.serve(backend, APP, f"--forwarded-allow-ips={who}")
    with server.connect() as wire:
        found = environ(wire, FOR, PROTO, "X-Forwarded-Ssl: what")
    assert found["REMOTE_ADDR"] == "127.0.0.1" and found["wsgi.url_scheme"] == "http"
    assert found["HTTP_X_FORWARDED_PROTO"] == "https"


@headers
def test_fields_that_are_believed_are_named(nest: Nursery, backend: str) -> None:
    names = "forwarded,x-forwarded-host,x-forwarded-port"
    server = nest.serve(backend, APP, "--forwarded-fields", names)
    with server.connect() as wire:
        found = environ(
            wire,
            'Forwarded: for="[2001:db8::7]:99";proto=https',
            "X-Forwarded-Host: shop.example",
            "X-Forwarded-Port: 8443",
            "X-Forwarded-For: not an address",
        )
    assert client(found) == ("2001:db8::7", "99", "https")
    assert (found["HTTP_HOST"], found["SERVER_PORT"]) == ("shop.example", "8443")


@headers
@pytest.mark.parametrize(
    "lines",
    [
        ("X-Forwarded-For: localhost",),
        ("X-Forwarded-Proto: gopher",),
        ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
    ],
)
def test_what_cannot_be_is_refused(nest: Nursery, backend: str, lines: tuple[str, ...]) -> None:
    server = nest.serve(backend, APP)
    with server.connect() as wire:
        response = wire.get("/environ", *lines)
        assert response.status == 400 and response.closes and wire.is_at_end()
    with server.connect() as wire:
        assert wire.get("/hello").status == 200


@headers
@pytest.mark.parametrize(
    ("who", "believed"), [("127.0.0.1,::1", False), ("unix", True), ("*", True)]
)
def test_unix_sockets_are_believed_by_name(
    nest: Nursery, backend: str, who: str, believed: bool
) -> None:
    listener = nest.listen(socket.AF_UNIX)
    server = nest.serve(backend, APP, "--forwarded-allow-ips", who, on=[listener])
    with server.connect() as wire:
        found = environ(wire, FOR, PROTO)
    assert (found["wsgi.url_scheme"] == "https") is believed
    assert (found["REMOTE_ADDR"] == "203.0.113.7") is believed


V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n"
V1_SIX = b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = (
    SIGNATURE
    + struct.pack("!BBH", 0x21, 0x11, 12 + 4)
    + bytes([203, 0, 113, 7, 10, 0, 0, 1])
    + struct.pack("!HH", 4711, 80)
    + b"\x04\x00\x01x"
)
LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)


def through(server: Server, header: bytes) -> dict[str, Any]:
    with server.connect() as wire:
        wire.send(header)
        first = environ(wire)
        assert client(environ(wire)) == client(first), "it holds for the whole connection"
        return first


@protocol
@pytest.mark.parametrize(
    ("header", "address"),
    [
        (V1, "203.0.113.7"),
        (V1_SIX, "2001:db8::7"),
        (V2, "203.0.113.7"),
        (LOCAL, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ],
)
def test_proxy_header_names_the_client(
    nest: Nursery, backend: str, header: bytes, address: str
) -> None:
    server = nest.serve(backend, APP, "--proxy-protocol")
    found = through(server, header)
    assert found["REMOTE_ADDR"] == address
    assert address == "127.0.0.1" or found["REMOTE_PORT"] == "4711"
    # In whatever pieces it comes, the request right behind it or not.
    request = b"GET /environ HTTP/1.1\r\nHost: test\r\n\r\n"
    for size in (1, len(header) - 1, len(header) + 5):
        with server.connect() as wire:
            wire.send((header + request)[:size])
            wire.send((header + request)[size:])
            assert json.loads(wire.read().body)["REMOTE_ADDR"] == address


@protocol
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"PROXY TCP4 x\r\n"])
def test_connections_without_a_good_header_are_closed(
    nest: Nursery, backend: str, start: bytes
) -> None:
    server = nest.serve(backend, APP, "--proxy-protocol")
    with server.connect() as wire:
        wire.send(start)
        assert wire.is_at_end()
    assert through(server, V1)["REMOTE_ADDR"] == "203.0.113.7"


@protocol
@pytest.mark.parametrize("who", ["10.0.0.0/8", ""])
def test_proxy_headers_from_others_are_refused(nest: Nursery, backend: str, who: str) -> None:
    server = nest.serve(backend, APP, "--proxy-protocol", f"--proxy-allow-ips={who}")
    with server.connect() as wire:
        wire.send(V1 + b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert wire.is_at_end()
    assert server.process.poll() is None


@protocol
def test_the_client_of_a_proxy_header_is_no_proxy(nest: Nursery, backend: str) -> None:
    server = nest.serve(backend, APP, "--proxy-protocol")
    with server.connect() as wire:
        wire.send(V1)
        found = environ(wire, "X-Forwarded-For: 6.6.6.6", PROTO)
    assert client(found) == ("203.0.113.7", "4711", "http")
