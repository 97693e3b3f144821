"""The table of requests: what is sent, and what must come of it.

Sections are RFC 9112's, or RFC 9110's where they begin with 9110. A row that is refused is
also sent with a request right behind it, which must never reach the application.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOST = b"Host: test\r\n"
Seen = tuple[str, str, str | None]
"""Method, target and body (of /echo) of one call of the application."""


@dataclass(frozen=True)
class Row:
    """`answers` are (method, status, body or None for any); `stays`: the connection does."""

    name: str
    send: bytes
    answers: tuple[tuple[str, int, bytes | None], ...]
    seen: tuple[Seen, ...] = ()
    stays: bool = True
    host: str = field(default="test")


def get(target: bytes = b"/hello", *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with Host."""
    return b"GET " + target + b" " + version + b"\r\n" + HOST + fields(*lines)


def fields(*lines: bytes) -> bytes:
    """Field lines and the end of the head."""
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(body: bytes, *lines: bytes) -> bytes:
    """A POST to /echo."""
    return b"POST /echo HTTP/1.1\r\n" + HOST + fields(*lines) + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A POST to /echo whose body is chunked."""
    return post(body, b"Transfer-Encoding: chunked", *lines)


OK = (("GET", 200, b"hello"),)
GET: tuple[Seen, ...] = (("GET", "/hello", None),)


def echoed(body: bytes) -> tuple[tuple[str, int, bytes | None], ...]:
    return (("POST", 200, body),)


def posted(body: str) -> tuple[Seen, ...]:
    return (("POST", "/echo", body),)


ACCEPTED = (
    Row("plain", get(), OK, GET),
    Row("one empty line before it, 2.2", b"\r\n" + get(), OK, GET),
    Row("1.0, 9.3", get(version=b"HTTP/1.0"), OK, GET, stays=False),
    Row("1.0 without Host, 3.2", b"GET /hello HTTP/1.0\r\n\r\n", OK, GET, False, ""),
    Row(
        "1.0 keep-alive, 9.3",
        get(b"/hello", b"Connection: keep-alive", version=b"HTTP/1.0"),
        OK,
        GET,
    ),
    Row("1.1 close, 9.3", get(b"/hello", b"Connection: close"), OK, GET, stays=False),
    Row(
        "close in a list, 9110 7.6.1", get(b"/hello", b"Connection: x, CLOSE"), OK, GET, stays=False
    ),
    Row(
        "nothing behind close, 9.6",
        get(b"/hello", b"Connection: close") + get(b"/no"),
        OK,
        GET,
        False,
    ),
    Row("a higher minor version, 2.3", get(version=b"HTTP/1.2"), OK, GET),
    Row(
        "absolute form goes before Host, 3.2.2",
        b"GET http://other:81/hello HTTP/1.1\r\n" + HOST + b"\r\n",
        OK,
        (("GET", "http://other:81/hello", None),),
        host="other:81",
    ),
    Row(
        "asterisk form, 3.2.4",
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        (("OPTIONS", 200, b"hello"),),
        (("OPTIONS", "*", None),),
    ),
    Row(
        "methods are case-sensitive and their own, 9110 9.1",
        b"gEt /hello HTTP/1.1\r\n" + HOST + b"\r\n",
        (("gEt", 200, b"hello"),),
        (("gEt", "/hello", None),),
    ),
    Row("a list in a field, OWS, 5.1", get(b"/hello", b"A:\t b \t", b"A:c"), OK, GET),
    Row("an empty field value, 5.5", get(b"/hello", b"A:"), OK, GET),
    Row("length, 6.3", post(b"body", b"Content-Length: 4"), echoed(b"body"), posted("body")),
    Row("no length, no body, 6.3", post(b""), echoed(b""), posted("")),
    Row("length 0", post(b"", b"Content-Length: 0"), echoed(b""), posted("")),
    Row(
        "bytes of a body are bytes",
        post(b"\r\n\r\n\0\xff", b"Content-Length: 6"),
        echoed(b"\r\n\r\n\0\xff"),
        posted("\r\n\r\n\0\xff"),
    ),
    Row(
        "chunked, 7.1", chunked(b"3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n"), echoed(b"body"), posted("body")
    ),
    Row(
        "chunked in capitals, 7",
        post(b"0\r\n\r\n", b"Transfer-Encoding: CHUNKED"),
        echoed(b""),
        posted(""),
    ),
    Row(
        "chunk extensions are dropped, 7.1.1",
        chunked(b'4;a;b=c;d="e"\r\nbody\r\n000;x\r\n\r\n'),
        echoed(b"body"),
        posted("body"),
    ),
    Row(
        "trailers are dropped, 7.1.2",
        chunked(b"4\r\nbody\r\n0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n"),
        echoed(b"body"),
        posted("body"),
    ),
    Row(
        "pipelined, in order, 9.3.2",
        get(b"/hello?1")
        + post(b"two", b"Content-Length: 3")
        + chunked(b"1\r\n3\r\n0\r\n\r\n")
        + get(b"/hello?4"),
        (*OK, *echoed(b"two"), *echoed(b"3"), *OK),
        (("GET", "/hello?1", None), *posted("two"), *posted("3"), ("GET", "/hello?4", None)),
    ),
    Row(
        "HEAD has no body, 9110 9.3.2",
        b"HEAD /hello HTTP/1.1\r\n" + HOST + b"\r\n" + get(),
        (("HEAD", 200, b""), *OK),
        (("HEAD", "/hello", None), *GET),
    ),
    Row(
        "100-continue with the body at hand",
        post(b"body", b"Content-Length: 4", b"Expect: 100-Continue"),
        echoed(b"body"),
        posted("body"),
    ),
    Row("100-continue without a body", get(b"/hello", b"Expect: 100-continue"), OK, GET),
    Row(
        "an expectation in 1.0 is ignored, 9110 10.1.1",
        get(b"/hello", b"Expect: 100-continue", version=b"HTTP/1.0"),
        OK,
        GET,
        stays=False,
    ),
    Row(
        "field names with an underscore are dropped", get(b"/hello", b"Content_Length: 5"), OK, GET
    ),
    Row(
        "upgrades are not taken, 9110 7.8",
        get(b"/hello", b"Connection: upgrade", b"Upgrade: h2c"),
        OK,
        GET,
    ),
)


@dataclass(frozen=True)
class Refused:
    """A message that is answered with `status` and nothing else, before or behind it."""

    name: str
    send: bytes
    status: int = 400


def line(text: bytes, *lines: bytes) -> bytes:
    """A request line with Host."""
    return text + b"\r\n" + HOST + fields(*lines)


REFUSED = (
    Refused("a bare LF, 2.2", b"GET /hello HTTP/1.1\nHost: test\n\n"),
    Refused("a bare LF behind a field", b"GET /hello HTTP/1.1\r\nHost: test\n\r\n"),
    Refused("a bare CR in a value, 2.2", get(b"/hello", b"A: b\rc")),
    Refused("a bare CR in the request line", b"GET /hello\rHTTP/1.1\r\n" + HOST + b"\r\n"),
    Refused("space before the first field, 2.2", b"GET /hello HTTP/1.1\r\n Host: test\r\n\r\n"),
    Refused("space before a name", get(b"/hello", b" A: b")),
    Refused("space behind a name, 5.1", get(b"/hello", b"A : b")),
    Refused("a folded line, 5.2", get(b"/hello", b"A: b", b" c")),
    Refused("no name", get(b"/hello", b": b")),
    Refused("no colon", get(b"/hello", b"A")),
    Refused("a name that is no token", get(b"/hello", b"A(: b")),
    Refused("NUL in a value, 9110 5.5", get(b"/hello", b"A: b\0c")),
    Refused("a control character in a value", get(b"/hello", b"A: b\x0bc")),
    Refused("lower-case version, 2.3", line(b"GET /hello http/1.1")),
    Refused("another major version", line(b"GET /hello HTTP/2.0"), 505),
    Refused("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    Refused("no version", line(b"GET /hello")),
    Refused("two digits", line(b"GET /hello HTTP/1.10")),
    Refused("two spaces, 3", line(b"GET  /hello HTTP/1.1")),
    Refused("HTAB between the parts", line(b"GET\t/hello HTTP/1.1")),
    Refused("four parts", line(b"GET /hello x HTTP/1.1")),
    Refused("a target in Latin-1, 3.2", line(b"GET /\xe9 HTTP/1.1")),
    Refused("a fragment", line(b"GET /a#b HTTP/1.1")),
    Refused("DEL in the target", line(b"GET /\x7f HTTP/1.1")),
    Refused("no slash", line(b"GET hello HTTP/1.1")),
    Refused("asterisk with GET, 3.2.4", line(b"GET * HTTP/1.1")),
    Refused("authority with GET, 3.2.3", line(b"GET test:80 HTTP/1.1")),
    Refused("another scheme", line(b"GET ftp://test/ HTTP/1.1")),
    Refused("user information", line(b"GET http://a@test/ HTTP/1.1")),
    Refused("CONNECT, 9110 9.3.6", line(b"CONNECT test:80 HTTP/1.1"), 501),
    Refused("half an escape, 3986 2.1", line(b"GET /%4 HTTP/1.1")),
    Refused("an escape of NUL", line(b"GET /%00 HTTP/1.1")),
    Refused("a method that is no token, 3.1", line(b"G@T /hello HTTP/1.1")),
    Refused("no Host, 3.2", b"GET /hello HTTP/1.1\r\n\r\n"),
    Refused("two Hosts, 3.2", get(b"/hello", b"Host: test")),
    Refused("a Host that is a list", b"GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    Refused("a Host with a path, 9110 7.2", b"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    Refused("a Host with user information", b"GET /hello HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    Refused("a Host with a port that is none", b"GET /hello HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
    Refused("a signed length, 9110 8.6", post(b"body", b"Content-Length: +4")),
    Refused("a negative length", post(b"", b"Content-Length: -1")),
    Refused("a hexadecimal length", post(b"body", b"Content-Length: 0x4")),
    Refused("a length with an underscore", post(b"body", b"Content-Length: 0_4")),
    Refused("an empty length", post(b"", b"Content-Length:")),
    Refused("a list of lengths", post(b"body", b"Content-Length: 4, 4")),
    Refused("two lengths that agree", post(b"body", b"Content-Length: 4", b"Content-Length: 4")),
    Refused(
        "two lengths that differ, 6.3", post(b"body", b"Content-Length: 4", b"Content-Length: 5")
    ),
    Refused("a length of 2**64 + 4", post(b"body", b"Content-Length: 18446744073709551620")),
    Refused("a length with NBSP", post(b"body", b"Content-Length: \xa04")),
    Refused("both framings, 6.3", chunked(b"0\r\n\r\n", b"Content-Length: 5")),
    Refused("chunked twice, 6.1", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, chunked")),
    Refused("chunked in two fields", chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked")),
    Refused("chunked not last, 6.3", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, gzip")),
    Refused(
        "another coding before chunked, 6.1",
        post(b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked"),
        501,
    ),
    Refused("identity", post(b"body", b"Transfer-Encoding: identity", b"Content-Length: 4")),
    Refused("nearly chunked", post(b"0\r\n\r\n", b"Transfer-Encoding: xchunked")),
    Refused("vertical tab before chunked", post(b"0\r\n\r\n", b"Transfer-Encoding: \x0bchunked")),
    Refused(
        "chunked in 1.0, 6.1",
        b"POST /echo HTTP/1.0\r\n" + HOST + fields(b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Refused("no chunk size, 7.1", chunked(b"\r\n\r\n")),
    Refused("a chunk size that is no number", chunked(b"g\r\n")),
    Refused("a signed chunk size", chunked(b"+1\r\na\r\n0\r\n\r\n")),
    Refused("a chunk size with 0x", chunked(b"0x1\r\na\r\n0\r\n\r\n")),
    Refused("a blank behind a chunk size", chunked(b"1 \r\na\r\n0\r\n\r\n")),
    Refused("a chunk size of 17 digits", chunked(b"00000000000000001\r\na\r\n0\r\n\r\n")),
    Refused("a chunk size of 2**63", chunked(b"8000000000000000\r\n")),
    Refused("a bare LF behind a chunk size", chunked(b"1\na\r\n0\r\n\r\n")),
    Refused("a chunk longer than its size", chunked(b"1\r\nab\r\n0\r\n\r\n")),
    Refused("a bare LF behind a chunk", chunked(b"1\r\na\n0\r\n\r\n")),
    Refused("a bare CR in an extension", chunked(b"1;a\rb\r\na\r\n0\r\n\r\n")),
    Refused("a folded trailer", chunked(b"0\r\nA: b\r\n c\r\n\r\n")),
    Refused("a trailer without a colon", chunked(b"0\r\nA\r\n\r\n")),
    Refused("another expectation, 9110 10.1.1", get(b"/hello", b"Expect: tea"), 417),
    Refused("a Connection that is no list", get(b"/hello", b"Connection: @")),
    Refused("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32),
    Refused("zeros", b"\0" * 64),
    Refused("letters", b"A" * 9000, 414),
    Refused("a long request line", line(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    Refused("a long field", get(b"/hello", b"A: " + b"b" * 17000), 431),
    Refused("many fields", get(b"/hello", *[b"A: b"] * 101), 431),
    Refused("a long head", get(b"/hello", *[b"A: " + b"b" * 7000] * 20), 431),
)
