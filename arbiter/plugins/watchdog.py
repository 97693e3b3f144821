"""Ends processes that should send heartbeats over UDP, and do not."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Mapping
from typing import Any

from chaussette.arbiter.plugins.base import CircusPlugin
from chaussette.errors import ConfigError
from chaussette.settings.plugins import WatchdogOptions

log = logging.getLogger("chaussette.plugin.watchdog")


class Hearts:
    """When each process was heard last. No clock is read here."""

    def __init__(self) -> None:
        self.watchers: dict[int, str] = {}
        self._heard: dict[int, float] = {}

    def born(self, watcher: str, pid: int, now: float) -> None:
        """A process is to be listened for from now on."""
        if pid not in self.watchers:
            self._heard[pid] = now
        self.watchers[pid] = watcher

    def beat(self, pid: int, now: float) -> bool:
        """A heartbeat has come; whether it is of somebody we know."""
        if pid in self.watchers:
            self._heard[pid] = now
            return True
        return False

    def gone(self, pid: int) -> None:
        """A process has ended."""
        self.watchers.pop(pid, None)
        self._heard.pop(pid, None)

    def silent(self, since: float) -> list[int]:
        """Who has not been heard since then."""
        return [pid for pid, heard in self._heard.items() if heard < since]


class WatchDog(CircusPlugin):
    """Listens for heartbeats: by default lines of `pid;timestamp`."""

    name = "watchdog"
    Options = WatchdogOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.hearts = Hearts()
        self._which = _compiled("watchers_regex", self.options.watchers_regex)
        self._message = _compiled("msg_regex", self.options.msg_regex)
        if "pid" not in self._message.groupindex:
            raise ConfigError("msg_regex has no group (?P<pid>…)")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def handle_init(self) -> None:
        """Binds the socket. Raises ConfigError when it cannot."""
        self.socket.setblocking(False)
        try:
            self.socket.bind((self.options.ip, self.options.port))
        except OSError as error:
            where = f"{self.options.ip}:{self.options.port}"
            raise ConfigError(f"cannot listen at {where}: {error.strerror}") from None
        log.info("listens for heartbeats at %s:%d", *self.socket.getsockname())
        self.loop.watch(self.socket.fileno(), self._read)
        self.period(self.look_after, self.options.loop_rate)
        # Behind initialize(): whoever is started in between is in the events.
        self.loop.add_callback(self._discover)

    def handle_stop(self) -> None:
        """Closes the socket."""
        self.loop.forget(self.socket.fileno())
        self.socket.close()

    def handle_recv(self, data: tuple[bytes, bytes]) -> None:
        """Hears of processes that come and go."""
        watcher, action, text = self.split_data(data)
        if action not in ("spawn", "reap") or not self._is_watched(watcher):
            return
        pid = int(self.load_message(text)["process_pid"])
        if action == "spawn":
            self.hearts.born(self.full_name(watcher), pid, self.loop.clock())
        else:
            self.hearts.gone(pid)

    def look_after(self) -> None:
        """Ends who has been silent for too long; all of them, in one look."""
        limit = self.options.loop_rate * self.options.max_count
        for pid in self.hearts.silent(self.loop.clock() - limit):
            watcher = self.hearts.watchers[pid]
            log.warning("%s: process %d has not been heard for %gs", watcher, pid, limit)
            self.hearts.gone(pid)
            reply = self.call("kill", name=watcher, pid=pid, **self._how())
            if reply["status"] == "error":
                log.error("%s: process %d lives on: %s", watcher, pid, reply.get("reason"))

    def _how(self) -> Mapping[str, Any]:
        how = {
            "signum": self.options.watchers_stop_signal,
            "graceful_timeout": self.options.watchers_graceful_timeout,
        }
        return {key: value for key, value in how.items() if value is not None}

    def _discover(self) -> None:
        now = self.loop.clock()
        for watcher in self.call("list").get("watchers", []):
            if self._is_watched(watcher):
                for pid in self.call("list", name=watcher).get("pids", []):
                    self.hearts.born(watcher, int(pid), now)

    def _is_watched(self, watcher: str) -> bool:
        return not watcher.startswith("plugin:") and self._which.match(watcher) is not None

    def _read(self) -> None:
        while True:
            try:
                data, sender = self.socket.recvfrom(1024)
            except BlockingIOError:
                return
            match = self._message.match(data.decode("utf-8", "replace").strip())
            pid = match["pid"].strip() if match is not None else ""
            if not pid.isdecimal() or not self.hearts.beat(int(pid[:12]), self.loop.clock()):
                log.debug("%r of %s is no heartbeat of ours", data[:80], sender)


def _compiled(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(f"{name} = {text!r}: no regular expression: {error}") from None
