"""Visitors that think between two requests, on a connection each: what wrk cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass

TIMEOUT = 10.0
SLOW_SHARE = 0.1
"""One request in ten asks for /slow."""


@dataclass(frozen=True)
class Crowd:
    """How many visitors, how long each rests on average (exponential), and for how long all."""

    port: int
    visitors: int = 32
    think: float = 0.080
    seconds: float = 20.0
    close: bool = False
    seed: int = 7


@dataclass(frozen=True)
class Visit:
    """One answered request, in seconds; `slow` is what it asked for."""

    slow: bool
    seconds: float


@dataclass
class Seen:
    """All visits that were answered, and how many were not."""

    visits: list[Visit]
    errors: int = 0


def visit(crowd: Crowd) -> Seen:
    """Lets the crowd in until its time is over."""
    return asyncio.run(_all(crowd))


async def _all(crowd: Crowd) -> Seen:
    seen = Seen([])
    until = time.monotonic() + crowd.seconds
    numbers = range(crowd.visitors)
    await asyncio.gather(
        *(_one(crowd, random.Random(crowd.seed + n), until, seen) for n in numbers)
    )
    return seen


async def _one(crowd: Crowd, chance: random.Random, until: float, seen: Seen) -> None:
    client = _Client(crowd.port, crowd.close)
    with contextlib.closing(client):
        while True:
            await asyncio.sleep(chance.expovariate(1 / crowd.think))
            slow = chance.random() < SLOW_SHARE
            if (began := time.monotonic()) >= until:
                return
            try:
                await asyncio.wait_for(client.ask("/slow" if slow else "/"), TIMEOUT)
                seen.visits.append(Visit(slow, time.monotonic() - began))
            except (OSError, EOFError, ValueError, TimeoutError):
                seen.errors += 1
                client.close()


class _Client:
    """One visitor's connection, made when it is needed."""

    def __init__(self, port: int, close: bool) -> None:
        self._port = port
        self._closes = close
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str) -> None:
        """One request and its whole answer. Raises OSError, EOFError or ValueError."""
        if self._pair is None:
            self._pair = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._pair
        close = "Connection: close\r\n" if self._closes else ""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{close}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if " 200 " not in head.partition("\r\n")[0]:
            raise ValueError(head[:80])
        if "\r\ntransfer-encoding: chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        else:
            await reader.readexactly(int(head.partition("\r\ncontent-length:")[2].split("\r\n")[0]))
        if "\r\nconnection: close" in head or self._closes:
            self.close()

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if self._pair is not None:
            self._pair[1].close()
            self._pair = None
