"""One request read by the C parser, by h11 and by httptools, as the same few facts.

A verdict is "partial", "refused", or what the parser makes of the bytes: method, target,
fields with lower-case names, body, and whether the message is complete.
"""

from __future__ import annotations

from dataclasses import dataclass

import h11
import httptools
from native_parser import Head, Refused, parse, read_chunked


@dataclass(frozen=True)
class Seen:
    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    complete: bool


Verdict = Seen | str


def lower(fields: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower(), value) for name, value in fields)


def ours(wire: bytes) -> Verdict:
    head = parse(wire)
    if not isinstance(head, Head):
        return "refused" if isinstance(head, Refused) else "partial"
    rest = wire[head.size :]
    if head.chunked:
        read = read_chunked([rest])
        if read.refused is not None:
            return "refused"
        body, complete = read.data, read.done
    else:
        body = rest[: head.length or 0]
        complete = len(body) == (head.length or 0)
    return Seen(head.method, head.target, lower(list(head.fields)), body, complete)


def h11_says(wire: bytes) -> Verdict:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(wire)
    request: h11.Request | None = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif request is None:
                return "partial"
            else:
                complete = isinstance(event, h11.EndOfMessage)
                fields = lower([(bytes(name), bytes(value)) for name, value in request.headers])
                return Seen(bytes(request.method), bytes(request.target), fields, body, complete)
    except h11.RemoteProtocolError:
        return "refused"


class Collected:
    """The callbacks of httptools, for the first message only."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.method = b""
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.headed = False
        self.complete = False

    def on_url(self, url: bytes) -> None:
        if not self.headed:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headed:  # trailers come here, too
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.headed:
            self.method = self.parser.get_method()
        self.headed = True

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def httptools_says(wire: bytes) -> Verdict:
    collected = Collected()
    try:
        collected.parser.feed_data(wire)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        if not collected.complete:
            return "refused"
    if not collected.headed:
        return "partial"
    fields = lower(collected.fields)
    return Seen(collected.method, collected.target, fields, collected.body, collected.complete)
