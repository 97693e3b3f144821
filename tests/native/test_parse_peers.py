"""The C parser beside h11 and httptools (llhttp): where the three differ, and that they
differ nowhere else in what matters.

A server behind a proxy that reads a message otherwise is how requests are smuggled, so
the property for any bytes is: what this parser accepts, a peer reads the same or refuses.
Each row of DISAGREEMENTS is explained in docs/native.md under its topic.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from parse_messages import Message, broken, messages
from parse_peers import Seen, Verdict, h11_says, httptools_says, ours

CORPUS = Path(__file__).parent / "corpus"
DOCS = Path(__file__).parents[2] / "docs" / "native.md"
HOST = b"GET / HTTP/1.1\r\nHost: x\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = PUT + b"Transfer-Encoding: chunked\r\n\r\n"
YES, NO, WAITS = "accepted", "refused", "partial"

# Bytes, and what this parser, h11 and httptools say. "accepted" is of the head.
DISAGREEMENTS: dict[str, list[tuple[bytes, str, str, str]]] = {
    "empty lines before the request": [
        (b"\r\n\r\n" + HOST + b"\r\n", YES, NO, YES),
        (b"\r\n" * 5 + HOST + b"\r\n", NO, NO, YES),
    ],
    "more than one space": [
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", NO, NO, YES),
        (b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n", NO, NO, YES),
    ],
    "bare LF": [
        (b"GET / HTTP/1.1\nHost: x\r\n\r\n", NO, YES, NO),
        (HOST + b"A: b\nC: d\r\n\r\n", NO, YES, NO),
        (CHUNKED + b"0\r\nA: b\n\r\n", NO, YES, NO),
    ],
    "no version": [(b"GET /\r\n", NO, WAITS, WAITS)],
    "other versions": [
        (b"GET / HTTP/1.9\r\nHost: x\r\n\r\n", YES, YES, NO),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", NO, YES, YES),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", NO, YES, YES),
    ],
    "unknown methods": [(b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", YES, YES, NO)],
    "fragment in the target": [(b"GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", NO, YES, YES)],
    "form of the target": [
        (b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", NO, YES, NO),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", NO, YES, YES),
        (b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", NO, YES, YES),
        (b"GET http://u@y/ HTTP/1.1\r\nHost: x\r\n\r\n", NO, YES, YES),
        (b"GET ftp://y/ HTTP/1.1\r\nHost: x\r\n\r\n", NO, YES, YES),
    ],
    "no Host, or two": [
        (b"GET / HTTP/1.1\r\n\r\n", NO, NO, YES),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", NO, NO, YES),
    ],
    "Host that is no host": [
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", NO, YES, YES),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", NO, YES, YES),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", NO, YES, YES),
        (b"GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n", NO, YES, YES),
    ],
    "folded fields": [
        (HOST + b"A: b\r\n\tc\r\n\r\n", NO, YES, NO),
        (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", NO, YES, NO),
    ],
    "DEL in a value": [(HOST + b"A: \x7f\r\n\r\n", NO, YES, NO)],
    "underscores in names": [(HOST + b"A_b: c\r\n\r\n", YES, YES, YES)],
    "repeated Content-Type": [
        (HOST + b"Content-Type: a\r\nContent-Type: b\r\n\r\n", NO, YES, YES),
    ],
    "repeated Content-Length": [
        (PUT + b"Content-Length: 5, 5\r\n\r\n", NO, YES, NO),
        (PUT + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", NO, YES, NO),
    ],
    "large Content-Length": [
        (PUT + b"Content-Length: 9223372036854775808\r\n\r\n", NO, YES, YES),
        (PUT + b"Content-Length: 18446744073709551617\r\n\r\n", NO, YES, NO),
    ],
    "Content-Length with Transfer-Encoding": [
        (PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NO, YES, NO),
    ],
    "Transfer-Encoding in HTTP/1.0": [
        (b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", NO, YES, YES),
    ],
    "other transfer codings": [
        (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n", NO, NO, YES),
    ],
    "Connection that is no list": [(HOST + b"Connection: close; x\r\n\r\n", NO, YES, YES)],
    "other expectations": [(PUT + b"Expect: 200-ok\r\n\r\n", NO, YES, YES)],
    "blanks in a size line": [
        (CHUNKED + b"1 \r\nx\r\n0\r\n\r\n", NO, YES, NO),
        (CHUNKED + b"1; a\r\nx\r\n0\r\n\r\n", NO, YES, NO),
    ],
    "large chunk sizes": [
        (CHUNKED + b"00000000000000001\r\nx\r\n0\r\n\r\n", NO, YES, YES),
        (CHUNKED + b"8000000000000000\r\n", NO, YES, YES),
    ],
    "malformed extensions": [
        (CHUNKED + b"1;a=\r\nx\r\n0\r\n\r\n", NO, YES, YES),
        (CHUNKED + b"1;=a\r\nx\r\n0\r\n\r\n", NO, YES, YES),
        (CHUNKED + b'1;a="b"c\r\nx\r\n0\r\n\r\n', NO, YES, NO),
    ],
    "HTAB behind a coding": [(PUT + b"Transfer-Encoding: chunked\t\r\n\r\n", YES, YES, NO)],
    "Content-Length as a trailer": [(CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", YES, YES, NO)],
}
ROWS = [(topic, *row) for topic, rows in DISAGREEMENTS.items() for row in rows]


def said(verdict: Verdict) -> str:
    return YES if isinstance(verdict, Seen) else verdict


@pytest.mark.parametrize(("topic", "wire", "native", "h11_", "httptools_"), ROWS)
def test_disagreements(topic: str, wire: bytes, native: str, h11_: str, httptools_: str) -> None:
    assert said(ours(wire)) == native
    assert said(h11_says(wire)) == h11_
    assert said(httptools_says(wire)) == httptools_
    assert f"| {topic} |" in DOCS.read_text(), "docs/native.md does not explain it"


def alike(verdict: Verdict) -> Verdict:
    """Without what the three are known to write differently.

    httptools leaves blanks behind a value, h11 writes the transfer coding in lower case, and
    names with an underscore are left out here.
    """
    if not isinstance(verdict, Seen):
        return verdict
    fields = tuple(
        (name, (value.lower() if name == b"transfer-encoding" else value).rstrip(b" \t"))
        for name, value in verdict.fields
        if b"_" not in name
    )
    # httptools reads no body of a request to upgrade: what follows is the upgraded protocol's.
    body = b"" if b"upgrade" in dict(fields) else verdict.body
    return dataclasses.replace(verdict, fields=fields, body=body)


def check_safe(wire: bytes) -> None:
    native = alike(ours(wire))
    for peer in (h11_says, httptools_says):
        verdict = alike(peer(wire))
        if isinstance(native, Seen):
            assert verdict in ("refused", native), peer.__name__
        elif native == "partial":
            assert not isinstance(verdict, Seen), peer.__name__


@settings(max_examples=300, deadline=None)
@given(messages(plain=True))
def test_valid_messages_are_read_the_same(message: Message) -> None:
    wire = message.wire
    assert alike(h11_says(wire)) == alike(ours(wire))
    assert alike(httptools_says(wire)) == alike(ours(wire))


@settings(max_examples=600, deadline=None)
@given(broken())
def test_what_is_accepted_is_read_the_same_or_refused(wire: bytes) -> None:
    check_safe(wire)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    wire = path.read_bytes()
    check_safe(CHUNKED + wire if path.parent.name == "chunked" else wire)
