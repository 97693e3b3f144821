"""The arbiter's end of the hook host: asks it, and goes on.

One host per arbiter, started with the first call. Each call has a deadline; a
hook that does not answer counts as failed, and holds up its own watcher only.
A host that ends, or in which nothing answers any more, is started anew.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaussette.arbiter.loop import Loop, Timer

log = logging.getLogger("chaussette.arbiter")
ROOT = Path(__file__).resolve().parent.parent.parent
RESTART_DELAY = 1.0
HUNG = 3
"""Calls in a row that nobody answers, after which the host is started anew."""
LONGEST = 2**17


@dataclass(frozen=True)
class Result:
    """What came of a call: the hook's answer, or why there is none."""

    value: bool = False
    error: str = ""
    stats: Mapping[str, Any] | None = None


Then = Callable[[Result], None]


@dataclass
class _Call:
    then: Then
    timer: Timer
    watcher: str
    what: str


class HookCaller:
    """Calls hooks for one arbiter."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._not_before = 0.0
        self._silent = 0

    def call(
        self, function: str, message: Mapping[str, Any], timeout: float, then: Then, what: str
    ) -> None:
        """Calls a function; `then` gets the result later, also when there is none."""
        number = next(self._numbers)
        timer = self._loop.after(timeout, lambda: self._late(number, timeout))
        watcher = str(message["watcher"]["name"])
        self._calls[number] = _Call(then, timer, watcher, what)
        if error := self._send({"id": number, "function": function, **message}):
            self._loop.soon(lambda: self._finish(number, Result(error=error)))

    def check(self, functions: Mapping[str, str]) -> None:
        """Has functions imported; those that cannot be are named in the log."""
        self._send({"check": functions})

    def close(self) -> None:
        """Ends the host; calls under way are forgotten."""
        for call in self._calls.values():
            call.timer.cancel()
        self._calls.clear()
        self._end()

    # -- the host -----------------------------------------------------------------

    def _send(self, message: Mapping[str, Any]) -> str:
        """Sends one message; what is wrong, or nothing."""
        if self._socket is None and (error := self._start()):
            return error
        assert self._socket is not None
        try:
            self._socket.send(json.dumps(message, default=str).encode())
        except BlockingIOError:
            return "the hook host does not take any more calls"
        except OSError as error:
            return f"the hook host cannot be asked: {error.strerror}"
        return ""

    def _start(self) -> str:
        if self._loop.clock() < self._not_before:
            return "the hook host has ended, and is not started anew at once"
        self._not_before = self._loop.clock() + RESTART_DELAY
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaussette.arbiter.hooks.host", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            return f"the hook host cannot be started: {error.strerror}"
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._loop.watch(ours.fileno(), self._readable)
        log.info("hook host started, pid %d", self._process.pid)
        return ""

    def _end(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._silent = 0

    def _readable(self) -> None:
        while self._socket is not None:
            try:
                frame = self._socket.recv(LONGEST)
            except BlockingIOError:
                return
            except OSError:
                frame = b""
            if not frame:
                self._died("the hook host has ended")
                return
            self._heard(json.loads(frame))

    def _heard(self, message: Mapping[str, Any]) -> None:
        self._silent = 0
        if "unusable" in message:
            for where, error in message["unusable"].items():
                log.error("%s cannot be used: %s", where, error)
            return
        self._finish(
            message["id"],
            Result(bool(message.get("value")), message.get("error", ""), message.get("stats")),
        )

    def _died(self, why: str) -> None:
        log.error("%s; it is started anew with the next call", why)
        self._end()
        for number in list(self._calls):
            self._finish(number, Result(error=why))

    def _late(self, number: int, timeout: float) -> None:
        call = self._calls.get(number)
        if call is None:
            return
        log.error("%s: no answer in %gs", call.what, timeout)
        self._silent += 1
        if self._silent >= HUNG:
            self._died("the hook host does not answer any more")
            return
        # Its thread may hang for ever: the watcher gets another one.
        self._send({"abandon": call.watcher})
        self._finish(number, Result(error=f"no answer in {timeout:g}s"))

    def _finish(self, number: int, result: Result) -> None:
        with contextlib.suppress(KeyError):
            call = self._calls.pop(number)
            call.timer.cancel()
            call.then(result)
