"""One request and its whole answer, on a socket of its own: for checks, not for load."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import BinaryIO


class BadAnswer(Exception):
    """An answer that is none, or not the one that is expected; the message says how."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `fields` in their order, names in lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """The values of the fields with this name."""
        return [value for known, value in self.fields if known == name.lower()]


def ask(port: int, request: bytes, timeout: float = 10.0) -> Answer:
    """Sends `request` to the loopback port and reads the answer. Raises BadAnswer."""
    return ask_together(port, request, 1, timeout)[0]


def ask_together(port: int, request: bytes, count: int, timeout: float = 10.0) -> list[Answer]:
    """Sends `request` so many times at once, pipelined, and reads as many answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(request * count)
            with connection.makefile("rb") as stream:
                return [read(stream) for _ in range(count)]
    except OSError as error:
        raise BadAnswer(f"no answer: {error}") from error


def read(stream: BinaryIO) -> Answer:
    """Reads one answer, whose request was no HEAD. Raises BadAnswer when it is cut or none."""
    status = stream.readline().split(b" ", 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].strip().isdigit():
        raise BadAnswer(f"no status line: {b' '.join(status)[:80]!r}")
    fields = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        fields.append((name.lower(), value.strip()))
    head = dict(fields)
    if head.get("transfer-encoding", "").lower() == "chunked":
        body = _chunks(stream)
    elif "content-length" in head:
        body = _exactly(stream, _number(head["content-length"].encode(), 10))
    else:
        body = stream.read()
    return Answer(int(status[1]), tuple(fields), body)


def check(answer: Answer, body: bytes) -> None:
    """Raises BadAnswer unless it is a 200 with this body."""
    if answer.status != 200:
        raise BadAnswer(f"status {answer.status}: {answer.body[:80]!r}")
    if answer.body != body:
        raise BadAnswer(
            f"wrong body: {len(answer.body)} bytes {answer.body[:40]!r}, "
            f"expected {len(body)} bytes {body[:40]!r}"
        )


def _chunks(stream: BinaryIO) -> bytes:
    body = b""
    while size := _number(stream.readline().split(b";")[0], 16):
        body += _exactly(stream, size)
        stream.readline()
    stream.readline()
    return body


def _number(text: bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise BadAnswer(f"no length: {text[:40]!r}") from None


def _exactly(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise BadAnswer(f"the body ends after {len(body)} of {size} bytes")
    return body
