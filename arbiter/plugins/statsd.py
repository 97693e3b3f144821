"""Events and figures for a statsd server, over UDP: never waits, never fails the plugin."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from chaussette.arbiter.plugins.base import CircusPlugin
from chaussette.settings.plugins import FullStatsOptions, StatsdOptions

log = logging.getLogger("chaussette.plugin.statsd")
_UNFIT = re.compile(r"[:|@\s]")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([BKMGTPEZY]?)", re.IGNORECASE)


class StatsdClient:
    """Sends counts, gauges and times; what cannot be sent is lost, as UDP has it."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: str = "",
        sample_rate: float = 1.0,
    ) -> None:
        self.prefix = prefix
        self.sample_rate = sample_rate
        self._to = (host, port)
        self._socket: socket.socket | None = None

    def send(self, bucket: str, value: str, sample_rate: float | None = None) -> None:
        """Sends one value as it is."""
        rate = self.sample_rate if sample_rate is None else sample_rate
        if rate < 1:
            if random.random() >= rate:
                return
            value += f"|@{rate:g}"
        name = _UNFIT.sub("_", f"{self.prefix}.{bucket}" if self.prefix else bucket)
        with contextlib.suppress(OSError):
            self._connected().send(f"{name}:{value}".encode())

    def increment(self, bucket: str, delta: int = 1) -> None:
        """Counts up."""
        self.send(bucket, f"{delta}|c")

    def decrement(self, bucket: str, delta: int = 1) -> None:
        """Counts down."""
        self.increment(bucket, -abs(delta))

    def gauge(self, bucket: str, value: float) -> None:
        """Says how much there is; never sampled."""
        self.send(bucket, f"{value:.12g}|g", 1)

    def timed(self, bucket: str, value: int) -> None:
        """Says how many milliseconds something took."""
        self.send(bucket, f"{value}|ms")

    def stop(self) -> None:
        """Closes the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            family, kind, number, _, address = socket.getaddrinfo(
                *self._to, type=socket.SOCK_DGRAM
            )[0]
            sender = socket.socket(family, kind, number)
            sender.setblocking(False)
            sender.connect(address)
            self._socket = sender
        return self._socket


class StatsdEmitter(CircusPlugin):
    """Counts every event: `circus.APP.watcher.NAME.EVENT`."""

    name = "statsd"
    Options = StatsdOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        options = self.options
        self.statsd = StatsdClient(
            options.host,
            options.port,
            f"circus.{options.application_name}.watcher",
            options.sample_rate,
        )

    def handle_recv(self, data: tuple[bytes, bytes]) -> None:
        """Counts an event."""
        watcher, action, _ = self.split_data(data)
        self.statsd.increment(f"{watcher}.{action}")

    def handle_stop(self) -> None:
        """Lets go of the socket."""
        self.statsd.stop()


class BaseObserver(StatsdEmitter):
    """Looks at something every `loop_rate` seconds; write `look_after`."""

    Options = FullStatsOptions

    def handle_init(self) -> None:
        """Begins to look."""
        self.looks = self.period(self.look_after, self.options.loop_rate)

    def handle_recv(self, data: tuple[bytes, bytes]) -> None:
        """Events are not counted here."""

    def look_after(self) -> None:
        """Looks once."""
        raise NotImplementedError

    def restart(self, watcher: str) -> None:
        """Has a watcher restarted, and logs when that was refused."""
        reply = self.call("restart", name=watcher, match="simple")
        if reply["status"] == "error":
            log.error("%s cannot be restarted: %s", watcher, reply.get("reason"))


class FullStats(BaseObserver):
    """Sends gauges of every watcher."""

    name = "full_stats"

    def look_after(self) -> None:
        """Asks for all figures and sends them."""
        reply = self.call("stats")
        if reply["status"] == "error":
            self.statsd.increment("_stats.error")
            return
        for name, processes in reply["infos"].items():
            if not name.startswith("plugin:"):
                found = [one for one in processes.values() if isinstance(one, dict)]
                for bucket, value in gauges(found).items():
                    self.statsd.gauge(f"_stats.{name}.{bucket}", value)


def gauges(processes: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """A watcher's figures from those of its processes."""
    found = list(processes)
    values: dict[str, float] = {"watchers_num": len(found)}
    if not found:
        return values
    columns = {
        "cpu": [number(one.get("cpu")) for one in found],
        "mem_pct": [number(one.get("mem")) for one in found],
        "mem": [to_bytes(one.get("mem_info1")) for one in found],
    }
    for name, column in columns.items():
        values[f"{name}_max"] = max(column)
        values[f"{name}_sum"] = sum(column)
    return values


def number(value: Any, unknown: float = 0.0) -> float:
    """A figure of `stats`, which is a text such as N/A where it is not known."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return unknown


def to_bytes(value: Any) -> float:
    """`12M` as bytes; what is no size is none."""
    match = _SIZE.match(str(value))
    if match is None:
        return 0.0
    return float(float(match[1]) * 1024.0 ** "BKMGTPEZY".index((match[2] or "B").upper()))
