"""Fetches a URL again and again; may restart a watcher when it fails."""

from __future__ import annotations

import http.client
import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from chaussette.arbiter.plugins.remote import RemoteObserver
from chaussette.errors import ConfigError
from chaussette.settings.plugins import HttpOptions

log = logging.getLogger("chaussette.plugin.http_observer")
NO_ANSWER = 599
"""Circus's code for an answer that did not come."""


@dataclass(frozen=True)
class Outcome:
    """How one request went; `milliseconds` until its last byte."""

    code: int
    milliseconds: int
    reason: str = ""


class HttpObserver(RemoteObserver):
    """Sends the time that a URL takes."""

    name = "http_observer"
    Options = HttpOptions

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        if not self.options.check_url.startswith(("http://", "https://")):
            raise ConfigError(f"check_url = {self.options.check_url!r}: expected http://…")

    def look(self) -> Outcome:
        """Fetches the URL once."""
        return fetch(self.options.check_url, self.options.timeout)

    def seen(self, outcome: Outcome) -> None:
        """Sends how it went, and restarts what is to be restarted."""
        if outcome.code < 400:
            self.statsd.timed("http_stats.request_time", outcome.milliseconds)
            return
        log.warning("%s: %d %s", self.options.check_url, outcome.code, outcome.reason)
        self.statsd.increment("http_stats.error")
        self.statsd.increment(f"http_stats.error.{outcome.code}")
        if self.options.restart_on_error:
            self.statsd.increment("http_stats.restart_on_error")
            self.restart(self.options.restart_on_error)


def fetch(url: str, timeout: float) -> Outcome:
    """One GET request, through no proxy; `timeout` is for all of it."""
    began = time.monotonic()

    def spent() -> int:
        return int((time.monotonic() - began) * 1000)

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            while answer.read(65536):
                if spent() > timeout * 1000:
                    return Outcome(NO_ANSWER, spent(), f"not over within {timeout:g}s")
            return Outcome(answer.status, spent())
    except urllib.error.HTTPError as error:
        with error:
            return Outcome(error.code, spent(), str(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(NO_ANSWER, spent(), str(error))
