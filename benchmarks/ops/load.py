"""A load of HTTP clients that count what a visitor would call a failure.

Three kinds of clients, each a loop that paces itself: `new` opens a connection
for each request, `kept` keeps its connection as long as the server lets it,
`slow` asks for answers that take 0.3 s. They run in a thread of their own.

A failed request is one whose connection was refused or reset, whose answer is
late, not 200, wrong or cut. A kept connection that the server closes between
two requests is no failure; one that is closed with a request on it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from benchmarks.ops.apps import BIG, SLOW_SECONDS

Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""
POSTED = b"posted " * 1500


@dataclass(frozen=True)
class Mix:
    """How many clients of each kind, and how long each rests between two requests."""

    new: int = 4
    kept: int = 4
    slow: int = 4
    rest: float = 0.04
    timeout: float = 20.0


@dataclass(frozen=True)
class Sample:
    """One request: when it was begun and ended (time.monotonic), and why it failed."""

    kind: str
    began: float
    ended: float
    failure: str = ""
    version: str = ""

    @property
    def latency(self) -> float:
        """Seconds that the visitor waited beyond what the answer itself takes."""
        return self.ended - self.began - (SLOW_SECONDS if self.kind == "slow" else 0.0)


@dataclass(frozen=True)
class Tally:
    """What happened to the requests that were under way within a span of time."""

    requests: int
    failures: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    median: float = 0.0

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.failures.total()


class Failed(Exception):
    """A request failed; the message is the reason in a few words."""


class Load:
    """The clients. They run while the context is open."""

    def __init__(self, address: Address, mix: Mix | None = None) -> None:
        self._address = address
        self._mix = mix or Mix()
        self._changed = threading.Condition()
        self._samples: list[Sample] = []
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Lets requests under way end, then the clients."""
        self._stop = True
        self._thread.join(self._mix.timeout + 10)
        if self._thread.is_alive():
            raise RuntimeError("the load does not end")

    def samples(self) -> list[Sample]:
        """All requests that have ended so far."""
        with self._changed:
            return list(self._samples)

    def wait_answers(self, each: int, timeout: float = 30.0) -> None:
        """Blocks until every kind of client has had so many more answers, good or bad."""
        kinds = [kind for kind in ("new", "kept", "slow") if getattr(self._mix, kind)]
        with self._changed:
            start = len(self._samples)

            def enough() -> bool:
                seen = Counter(sample.kind for sample in self._samples[start:])
                return all(seen[kind] >= each for kind in kinds)

            if not self._changed.wait_for(enough, timeout):
                raise TimeoutError(f"no {each} answers for each of {kinds} in {timeout:g} s")

    def tally(self, since: float = 0.0, until: float = float("inf"), kinds: str = "") -> Tally:
        """The requests that were under way between the two moments."""
        chosen = [
            sample
            for sample in self.samples()
            if sample.ended >= since
            and sample.began <= until
            and (not kinds or sample.kind in kinds.split())
        ]
        good = sorted(sample.latency for sample in chosen if not sample.failure)
        return Tally(
            len(chosen),
            Counter(f"{one.kind}: {one.failure}" for one in chosen if one.failure),
            good[-1] if good else 0.0,
            good[len(good) // 2] if good else 0.0,
        )

    # -- clients ------------------------------------------------------------

    async def _run(self) -> None:
        mix = self._mix
        clients = [
            *(self._client("new", index, keep=False) for index in range(mix.new)),
            *(self._client("kept", index, keep=True) for index in range(mix.kept)),
            *(self._client("slow", index, keep=bool(index % 2)) for index in range(mix.slow)),
        ]
        await asyncio.gather(*clients)

    async def _client(self, kind: str, index: int, keep: bool) -> None:
        visitor = Visitor(self._address)
        # Spread over the period, so that they do not all ask at once.
        await asyncio.sleep(self._mix.rest * index / max(1, getattr(self._mix, kind)))
        for wish in itertools.cycle(_wishes(kind)):
            if self._stop:
                break
            self._note(await self._ask(kind, visitor, wish))
            if not keep:
                visitor.close()
            await asyncio.sleep(self._mix.rest)
        visitor.close()

    async def _ask(self, kind: str, visitor: Visitor, wish: Wish) -> Sample:
        began = time.monotonic()
        failure = version = ""
        try:
            async with asyncio.timeout(self._mix.timeout):
                version = await visitor.ask(wish)
        except TimeoutError:
            failure = "timeout"
        except Failed as error:
            failure = str(error)
        if failure:
            visitor.close()
        return Sample(kind, began, time.monotonic(), failure, version)

    def _note(self, sample: Sample) -> None:
        with self._changed:
            self._samples.append(sample)
            self._changed.notify_all()


@dataclass(frozen=True)
class Wish:
    """A request and the body that must come back."""

    path: str
    expected: bytes
    body: bytes = b""

    def encode(self) -> bytes:
        """The request as it is sent."""
        head = f"{'POST' if self.body else 'GET'} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
        if self.body:
            head += f"Content-Length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


def _wishes(kind: str) -> list[Wish]:
    if kind == "slow":
        return [Wish("/slow", BIG)]
    return [Wish("/", b"hello\n"), Wish("/echo", POSTED, POSTED), Wish("/big", BIG)]


class Visitor:
    """An HTTP/1.1 client with at most one connection."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, wish: Wish) -> str:
        """Sends one request and checks the answer; the version that answered. Raises Failed."""
        reader, writer = await self._connection()
        with _reasons("connection reset"):
            writer.write(wish.encode())
            await writer.drain()
        status, headers = await _read_head(reader)
        body = await _read_body(reader, headers)
        if status != "200":
            raise Failed(f"status {status}")
        if body != wish.expected:
            raise Failed(f"wrong body ({len(body)} of {len(wish.expected)} bytes)")
        if headers["connection"] == "close":
            self.close()
        return headers.get("x-version", "")

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and (self._reader.at_eof() or self._reader.exception()):
            self.close()  # the server ended it between two requests, as it may
        if self._reader is None or self._writer is None:
            with _reasons("connection failed"):
                if isinstance(self._address, str):
                    pair = await asyncio.open_unix_connection(self._address)
                else:
                    pair = await asyncio.open_connection(*self._address)
            self._reader, self._writer = pair
        return self._reader, self._writer


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    with _reasons("closed before the answer"):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    default = "keep-alive" if version == "HTTP/1.1" else "close"
    headers["connection"] = headers.get("connection", default).lower()
    return rest[:3], headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    with _reasons("cut in the middle"):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await _read_chunks(reader)
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"]))
        headers["connection"] = "close"
        return await reader.read()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


@contextlib.contextmanager
def _reasons(what: str) -> Iterator[None]:
    try:
        yield
    except ConnectionRefusedError:
        raise Failed("connection refused") from None
    except ConnectionResetError:
        raise Failed(f"reset ({what})") from None
    except asyncio.IncompleteReadError as error:
        raise Failed(what if not error.partial else f"{what}, after a part of it") from None
    except OSError as error:
        raise Failed(f"{what}: {error.strerror}") from None
