"""The program of the hook host: calls the operator's functions, for one arbiter.

    python -m chaussette.arbiter.hooks.host FD

Messages come and go over a socket. Each watcher has a thread of its own, in
which its hooks are called one after the other. What a hook gets as `watcher`
and `arbiter` are stand-ins: their values are those of the moment of the call, and
what they are told to do they ask of the arbiter as a client would.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any

LONGEST = 2**17


class ArbiterProxy:
    """The arbiter as a hook sees it."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.endpoint: str | None = facts.get("endpoint")
        self.pubsub_endpoint: str | None = facts.get("pubsub_endpoint")
        self.pid: int = facts["pid"]
        self.watcher_names: list[str] = list(facts["watchers"])

    def call(self, command: str, **properties: Any) -> dict[str, Any]:
        """Sends a command and returns its reply. A hook that waits for itself gets none."""
        from chaussette.control.client import Client  # zmq: not every hook asks

        if self.endpoint is None:
            raise RuntimeError("this arbiter has no control endpoint")
        with Client(self.endpoint) as client:
            reply = client.call(command, properties)
        status = {"status": "ok"} if reply.ok else {"status": "error", "reason": reply.reason}
        return {**status, **reply.fields}

    def numprocesses(self) -> int:
        """How many processes there are."""
        return int(self.call("numprocesses")["numprocesses"])

    def numwatchers(self) -> int:
        """How many watchers there are."""
        return len(self.watcher_names)


class WatcherProxy:
    """A watcher as a hook sees it: each of its options is an attribute."""

    def __init__(self, facts: Mapping[str, Any], arbiter: ArbiterProxy) -> None:
        self.__dict__.update(facts)
        self.name: str = facts["name"]
        self.pids: list[int] = list(facts["pids"])
        self.processes = dict.fromkeys(self.pids)
        self.arbiter = arbiter
        self._options: dict[str, Any] = {**facts, **facts.get("options", {})}

    def status(self) -> str:
        """Its state, asked for now."""
        return str(self.arbiter.call("status", name=self.name)["status"])

    def send_signal(self, pid: int, signum: int) -> None:
        """Sends a signal to one of its processes. Raises ProcessLookupError for any other."""
        pidfd = os.pidfd_open(pid)
        try:
            # Asked after it is held, so that a number given anew cannot be meant.
            if pid not in self.arbiter.call("list", name=self.name)["pids"]:
                raise ProcessLookupError(f"{pid} is no process of {self.name}")
            signal.pidfd_send_signal(pidfd, signum)
        finally:
            os.close(pidfd)

    def __getattr__(self, name: str) -> Any:
        if name in ("start", "stop", "restart", "reload", "incr", "decr"):
            return lambda **properties: self.arbiter.call(name, name=self.name, **properties)
        options = self.__dict__.get("_options", {})
        if name in options:
            return options[name]
        raise AttributeError(f"a watcher in a hook has no {name!r}")


class Host:
    """Reads calls and has them made."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._queues: dict[str, queue.SimpleQueue[Mapping[str, Any] | None]] = {}

    def run(self) -> None:
        """Runs until the arbiter closes its end."""
        while frame := self._channel.recv(LONGEST):
            message = json.loads(frame)
            if "check" in message:
                threading.Thread(target=self._check, args=(message["check"],), daemon=True).start()
            elif "abandon" in message:
                # A thread that is in a hook that hangs ends behind it, if ever.
                self._queues.pop(message["abandon"], queue.SimpleQueue()).put(None)
            else:
                self._queue(message["watcher"]["name"]).put(message)

    def _queue(self, watcher: str) -> queue.SimpleQueue[Mapping[str, Any] | None]:
        if watcher not in self._queues:
            self._queues[watcher] = queue.SimpleQueue()
            work = threading.Thread(target=self._work, args=(self._queues[watcher],), daemon=True)
            work.start()
        return self._queues[watcher]

    def _work(self, calls: queue.SimpleQueue[Mapping[str, Any] | None]) -> None:
        while (message := calls.get()) is not None:
            self._send({"id": message["id"], **make_call(message)})

    def _check(self, functions: Mapping[str, str]) -> None:
        unusable = {}
        for where, function in functions.items():
            try:
                load(function)
            except Exception as error:  # noqa: BLE001 - the wall of application code
                unusable[where] = f"{type(error).__name__}: {error}"
        if unusable:
            self._send({"unusable": unusable})

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(message, default=str).encode()[:LONGEST])


def make_call(message: Mapping[str, Any]) -> dict[str, Any]:
    """Calls one hook; its answer, or its error."""
    arbiter = ArbiterProxy(message["arbiter"])
    watcher = WatcherProxy(message["watcher"], arbiter)
    given = dict(message["given"])
    try:
        value = called(load(message["function"]), watcher, arbiter, message["hook"], given)
    except Exception as error:  # noqa: BLE001 - the wall of application code
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    answer: dict[str, Any] = {"value": bool(value)}
    if "stats" in given:
        answer["stats"] = given["stats"]
    return answer


def called(
    function: Any, watcher: Any, arbiter: Any, hook: str, given: Mapping[str, Any]
) -> object:
    """Calls it as Circus does: all by name, but for extended_stats."""
    if hook == "extended_stats":
        return function(watcher, arbiter, hook, **given)
    return function(watcher=watcher, arbiter=arbiter, hook_name=hook, **given)


def load(function: str) -> Any:
    """The function of a dotted name."""
    module, _, name = function.rpartition(".")
    return getattr(importlib.import_module(module), name)


def main(fd: int) -> None:
    """Runs the host."""
    # It ends with the arbiter, not when somebody stops the stack.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Host(socket.socket(fileno=fd)).run()
    # Threads in hooks that hang are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
