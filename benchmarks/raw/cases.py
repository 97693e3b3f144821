"""What is asked, and how often at a time: one entry per case, and the targets they have."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.raw.apps import rawasgi, rawwsgi
from benchmarks.raw.servers import ASGI, GREENLETS, THREADS, WSGI

Fields = tuple[tuple[str, str], ...]
BROWSER: Fields = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.8,fr;q=0.5,de;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://localhost/customers/overview?page=2"),
    ("Cookie", "sessionid=k3v0q8e2n6t1r9w5y7u4i0o2p6a8s1d3; csrftoken=Zx8Cv7Bn6Mm5Kk4Jj3Hh2Gg1"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
    ("Cache-Control", "max-age=0"),
    ("Priority", "u=0, i"),
)
"""Thirteen fields, with Host fourteen, as a browser of today sends them."""
CLOSE: Fields = (("Connection", "close"),)
UPLOAD = b"x" * 4096
JSON = json.dumps(rawwsgi.RECORDS).encode()
STARLETTE = b'{"hello":"world","numbers":[1,2,3]}'


@dataclass(frozen=True)
class Case:
    """One kind of request, the answer it must get, and how many connections ask it.

    `app` is served to it; `answer_fields` and `body` are what the floor sends, and
    the body is what every other server's answer is checked against. `block` is the
    size of the floor's sends (0: one). `pipeline` requests are sent at a time.
    """

    name: str
    title: str
    role: str
    app: str
    body: bytes = rawwsgi.HELLO
    answer_fields: Fields = (("Content-Type", "text/plain"),)
    path: str = "/"
    fields: Fields = ()
    upload: bytes = b""
    connections: int = 64
    pipeline: int = 1
    block: int = 0
    floor: bool = True

    @property
    def method(self) -> str:
        """POST where something is sent."""
        return "POST" if self.upload else "GET"

    def request(self, host: str) -> bytes:
        """One request as it is sent for the check before the measurement."""
        length = (("Content-Length", str(len(self.upload))),) if self.upload else ()
        lines = [f"{name}: {value}" for name, value in (("Host", host), *self.fields, *length)]
        head = "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *lines, "", ""])
        return head.encode() + self.upload

    def floor_answer(self) -> bytes:
        """The constant answer of the floor, with the fields that a full server would send."""
        fields = [
            ("Server", "floor"),
            ("Date", "Fri, 20 Nov 2026 20:00:00 GMT"),
            *self.answer_fields,
            *((field) for field in CLOSE if field in self.fields),
            ("Content-Length", str(len(self.body))),
        ]
        head = "\r\n".join(["HTTP/1.1 200 OK", *(f"{n}: {v}" for n, v in fields), "", ""])
        return head.encode() + self.body


_BIG = rawwsgi.BIG

CASES: tuple[Case, ...] = (
    Case("W1", "WSGI hello, keep-alive", WSGI, "rawwsgi:hello"),
    Case("W1h", "WSGI hello, 13 browser fields", WSGI, "rawwsgi:hello", fields=BROWSER),
    Case("W2", "WSGI hello, Connection: close", WSGI, "rawwsgi:hello", fields=CLOSE),
    Case("W3", "WSGI JSON 1.2 KB, 10 response fields, browser fields", WSGI, "rawwsgi:answer_json",
         body=JSON, fields=BROWSER, answer_fields=tuple(rawwsgi.JSON_FIELDS)),
    Case("W4", "WSGI POST 4 KB, read", WSGI, "rawwsgi:post", body=b"4096", upload=UPLOAD),
    Case("W5gen", "WSGI 1 MB, generator of 64 KB blocks", WSGI, "rawwsgi:big_blocks",
         block=65536, body=_BIG, connections=16),
    Case("W5list", "WSGI 1 MB, list of one block", WSGI, "rawwsgi:big_list",
         body=_BIG, connections=16),
    Case("W5file", "WSGI 1 MB, wsgi.file_wrapper", WSGI, "rawwsgi:big_file",
         body=_BIG, connections=16),
    Case("W6", "Django hello", WSGI, "rawdjango:application"),
    Case("W6n", "Django hello without Content-Length", WSGI, "rawdjango:application",
         path="/without"),
    Case("W1p", "WSGI hello, 16 pipelined", WSGI, "rawwsgi:hello", pipeline=16),
    Case("C1k", "WSGI hello, 1000 connections", WSGI, "rawwsgi:hello", connections=1000),
    Case("C5k", "WSGI hello, 5000 connections", WSGI, "rawwsgi:hello", connections=5000),
    Case("T4", "WSGI hello, 4 threads", THREADS, "rawwsgi:hello"),
    Case("T4s", "WSGI, 20 ms asleep, 4 threads", THREADS, "rawwsgi:sleeping", floor=False),
    Case("G1", "WSGI hello, greenlets", GREENLETS, "rawwsgi:hello"),
    Case("G1k", "WSGI, 50 ms asleep in greenlets, 1000 connections", GREENLETS,
         "rawgevent:sleeping", connections=1000, floor=False),
    Case("A1", "ASGI hello", ASGI, "rawasgi:hello"),
    Case("A1s", "ASGI hello, suspends once", ASGI, "rawasgi:suspending"),
    Case("A2", "Starlette JSON, browser fields", ASGI, "rawstarlette:application",
         body=STARLETTE, fields=BROWSER, answer_fields=(("Content-Type", "application/json"),)),
    Case("A3", "ASGI POST 4 KB, read", ASGI, "rawasgi:post", body=b"4096", upload=UPLOAD),
)  # fmt: skip
assert rawasgi.HELLO == rawwsgi.HELLO


@dataclass(frozen=True)
class Target:
    """The CPU per request of `ours` over that of `peer` must not be above `most`.

    `measure` may be another column of the rounds: p99_ms, or rps, which `least`
    bounds from below instead.
    """

    case: str
    ours: str
    peer: str
    most: float | None = None
    least: float | None = None
    measure: str = "cpu_us"


TARGETS: tuple[Target, ...] = (
    Target("W1", "native", "floor", 1.12),
    Target("W1", "native", "fastwsgi", 0.90),
    Target("W1", "native", "granian-bt4", 0.55),
    Target("W1h", "native", "floor", 1.25),
    *(Target(case, "native-log", "native", 1.10) for case in ("W1", "W1h")),
    *(Target(case, "native-log", "native", least=0.90, measure="rps") for case in ("W1", "W1h")),
    Target("W2", "native", "floor", 1.1),
    *(Target("W2", "native", peer, 1.0)
      for peer in ("uwsgi-http-socket", "bjoern", "granian", "granian-bt4")),
    Target("W3", "native", "bjoern", 0.87),
    Target("W3", "native", "granian-bt4", 0.80),
    Target("W4", "native", "fastwsgi", 0.87),
    Target("W5gen", "native", "granian-bt4", 1.0),
    Target("W5list", "native", "granian-bt4", 1 / 1.7),
    Target("W5file", "native", "granian-bt4", 1 / 1.7),
    *(Target(case, "native", peer, 1.0)
      for case in ("W6", "W6n") for peer in ("granian-bt4", "granian", "bjoern", "meinheld")),
    Target("W1p", "native", "floor", 2.0),
    Target("W1p", "native", "granian-pf", 1 / 6),
    *(Target(case, "native", "floor", 1.25) for case in ("C1k", "C5k")),
    *(Target(case, "native", "granian-bt4", 0.6, measure="p99_ms") for case in ("C1k", "C5k")),
    Target("T4", "native-t4", "granian-t4", 1.0),
    Target("T4", "native-t4", "gunicorn-gthread-t4", 1 / 5),
    Target("T4s", "native-t4", "granian-t4", least=1.0, measure="rps"),
    Target("G1", "fastgevent-g", "gunicorn-gevent-g", 0.10),
    Target("G1", "fastgevent-spawn-g", "gunicorn-gevent-g", 0.13),
    *(Target("G1k", ours, "gunicorn-gevent-g", 0.25)
      for ours in ("fastgevent-g", "fastgevent-spawn-g")),
    Target("A1", "native-asgi", "granian-asgi", 1 / 2.4),
    Target("A1", "native-asgi", "uvicorn", 1 / 3),
    Target("A2", "native-asgi", "granian-asgi", 1 / 1.05),
    Target("A2", "native-asgi", "uvicorn", 1 / 1.5),
    Target("A3", "native-asgi", "uvicorn", 1 / 2.5),
    Target("A3", "native-asgi", "granian-asgi", 1 / 4),
)  # fmt: skip
