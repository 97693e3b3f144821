"""Output into a queue, or a callable, of the program that embeds the arbiter."""

from __future__ import annotations

import io
import logging
import queue
from collections.abc import Callable, Hashable
from typing import Any

from chaussette.arbiter.sinks.base import Origin

log = logging.getLogger("chaussette.arbiter")
QUEUE_LENGTH = 10_000
"""Items that wait in a QueueStream; what comes then is dropped."""


class QueueStream(queue.Queue[dict[str, Any]]):
    """A queue of `{"data", "pid", "name"}`, to be read by the program itself."""

    def __init__(self, maxsize: int = QUEUE_LENGTH) -> None:
        super().__init__(maxsize)
        self.dropped = 0

    def __call__(self, item: dict[str, Any]) -> None:
        """Adds one item, and drops it when nobody reads."""
        try:
            self.put_nowait(item)
        except queue.Full:
            self.dropped += len(item["data"])


def as_callable(stream: Any) -> Callable[[dict[str, Any]], object]:
    """The stream itself, or a call that writes the data to it: text, where it takes text."""
    if callable(stream):
        return stream  # type: ignore[no-any-return]
    is_text = isinstance(stream, io.TextIOBase) or hasattr(stream, "encoding")

    def write(item: dict[str, Any]) -> None:
        data: bytes = item["data"]
        stream.write(data.decode("utf-8", "replace") if is_text else data)
        if callable(flush := getattr(stream, "flush", None)):
            flush()

    return write


class CalledSink:
    """Hands output to a callable, in a thread of its own."""

    waits = 0.0
    plain = False

    def __init__(self, stream: Callable[[dict[str, Any]], object]) -> None:
        self._stream = stream
        self.lane: Hashable = ("called", id(stream))

    def write(self, data: bytes, origin: Origin) -> None:
        """Calls it with what Circus calls it with."""
        try:
            self._stream({"data": data, "pid": origin.pid, "name": origin.channel})
        except Exception:
            # The wall of a call into the application: logged, and the output is lost.
            log.exception("a stream of the program failed")

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Closes the stream where it can be closed."""
        close = getattr(self._stream, "close", None)
        if callable(close):
            close()
