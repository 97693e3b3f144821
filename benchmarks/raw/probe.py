"""probe: what each WSGI server leaves out of HTTP and PEP 3333, seen from outside."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable

from benchmarks.ops.daemon import DaemonEnded
from benchmarks.raw import answer, table
from benchmarks.raw.answer import BadAnswer
from benchmarks.raw.apps.rawprobe import PAUSE
from benchmarks.raw.running import Served, last_words, running, say
from benchmarks.raw.servers import FLOOR, WSGI, Server
from benchmarks.raw.tool import Tool

TIMEOUT = 5.0
CLOSE_TRIES = 20


def _get(path: str, *fields: str, method: str = "GET", host: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(["Host: localhost"] if host else []), *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def _seen(port: int, path: str, *fields: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(answer.ask(port, _get(path, *fields), TIMEOUT).body)
    return found


def _field(port: int, name: str) -> bool:
    return bool(answer.ask(port, _get("/"), TIMEOUT).values(name))


def _refused(port: int, request: bytes) -> bool:
    try:
        return answer.ask(port, request, TIMEOUT).status == 400
    except BadAnswer:
        return True  # it closed without an answer


def _closes(port: int) -> bool:
    """Whether bodies are closed; a server with threads may do so after the next answer."""
    return any(int(_seen(port, "/closed")["closed"]) for _ in range(CLOSE_TRIES))


def _streams(port: int) -> bool:
    """Whether the first block comes before the second is made."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        began = time.monotonic()
        connection.sendall(_get("/stream"))
        with connection.makefile("rb") as stream:
            while stream.readline() not in (b"\r\n", b""):
                pass
            stream.read(1)
        return time.monotonic() - began < PAUSE / 2


def _no_head_body(port: int) -> bool:
    """Whether nothing follows the fields of an answer to HEAD."""
    request = _get("/", "Connection: close", method="HEAD")
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            return stream.read().endswith(b"\r\n\r\n")


def _no_injection(port: int) -> bool:
    """Whether a line end in a field's value does not become a field of its own."""
    with contextlib.suppress(BadAnswer):
        return not answer.ask(port, _get("/inject"), TIMEOUT).values("x-injected")
    return True


TWO_LENGTHS = _get("/", "Content-Length: 3", "Transfer-Encoding: chunked", method="POST")
QUESTIONS: dict[str, Callable[[int], bool]] = {
    "Date": lambda port: _field(port, "date"),
    "Server": lambda port: _field(port, "server"),
    "PATH_INFO decoded": lambda port: _seen(port, "/a%20b")["path"] == "/a b",
    "REMOTE_ADDR": lambda port: _seen(port, "/")["remote"] == "127.0.0.1",
    "duplicates joined": lambda port: (
        _seen(port, "/", "X-Twice: 1", "X-Twice: 2")["twice"].replace(" ", "") == "1,2"
    ),
    "close()": _closes,
    "write()": lambda port: b"written" in answer.ask(port, _get("/write"), TIMEOUT).body,
    "streams": _streams,
    "HEAD bare": _no_head_body,
    "CR LF refused": _no_injection,
    "no Host: 400": lambda port: _refused(port, _get("/", host=False)),
    "CL+TE: 400": lambda port: _refused(port, TWO_LENGTHS + b"0\r\n\r\n"),
}


def measure(tool: Tool) -> str:
    """The table: yes, or NO, per server and question."""
    names = [one.name for one in tool.here if one.role == WSGI and one.role != FLOOR]
    lines = []
    for server in tool.pick(names):
        say(f"probe: {server.name}")
        lines.append([server.name, *_answers(server, tool)])
    return f"#### probe\n\n{table.markdown(('server', *QUESTIONS), lines)}"


def _answers(server: Server, tool: Tool) -> list[str]:
    """Each question is asked of a fresh process: some end when they are asked the wrong thing."""
    found: list[str] = []
    for question in QUESTIONS.values():
        try:
            found.append(_ask(server, tool, question))
        except DaemonEnded as error:
            say(f"probe: {server.name} does not start: {last_words(error)}")
            return [*found, *["?"] * (len(QUESTIONS) - len(found))]
    return found


def _ask(server: Server, tool: Tool, question: Callable[[int], bool]) -> str:
    """yes, or NO, also where there was no answer. Raises DaemonEnded when it does not start."""
    found = ""
    try:
        with running(server, Served("rawprobe:application"), tool.python) as up:
            found = "NO"
            with contextlib.suppress(BadAnswer, OSError, ValueError, KeyError):
                found = "yes" if question(up.port) else "NO"
    except DaemonEnded:
        if not found:
            raise
        found += " (ended)"
    return found
