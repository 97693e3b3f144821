"""The command `tail`: the last output of processes, and what they put out from now on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, cast

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.client import Client, new_id
from chaussette.control.command import Command, chosen, whole_number
from chaussette.control.levels import Level
from chaussette.control.places import seen_from
from chaussette.control.protocol import Reply, Request
from chaussette.errors import BadMessage, ConfigError, ControlError, NotAnswered, did_you_mean

LINES = 10
MOST_LINES = 10_000
MOST_BYTES = 2**19
"""Of one reply; the newest lines are in it."""


class Output(Protocol):
    """What the command needs of an arbiter beside Control."""

    def last_lines(
        self, names: list[str], count: int, stream: str, pid: int | None
    ) -> list[dict[str, object]]:
        """The last lines of each stream: `watcher`, `pid`, `stream`, `time` and `text`."""
        ...

    def offsets(self, names: list[str], stream: str, pid: int | None) -> dict[str, int]:
        """How far each stream has come, by topic."""
        ...

    def follow(self, token: str) -> tuple[str, bool]:
        """Where live output is published, and whether who has the token listens there."""
        ...


class _HasOutput(Protocol):
    """A Control that has it."""

    @property
    def output(self) -> Output | None:
        """None in an arbiter without an endpoint."""
        ...


class Tail(Command):
    """Show the last output of processes; with -f, also what comes."""

    name = "tail"
    level = Level.READ
    usage = "[watcher] [-f] [-n N] [--pid PID] [--stdout|--stderr]"
    options: ClassVar = {"stdout": False, "stderr": False, "pid": True, "follow": False}
    words = (0, 4)

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        properties: Properties = {"lines": LINES}
        queue = list(words)
        while queue:
            word = queue.pop(0)
            if word == "-f":
                options["follow"] = ""
            elif word == "-n" and queue:
                properties["lines"] = whole_number({"-n": queue.pop(0)}, "-n", LINES)
            elif word.startswith("-") or "name" in properties:
                raise ConfigError(
                    f"tail: {word!r}: expected {self.usage}"
                    + did_you_mean(word, ("-f", "-n", "--stdout", "--stderr"))
                )
            else:
                properties["name"] = word
        if ("stdout" in options) != ("stderr" in options):
            properties["stream"] = "stdout" if "stdout" in options else "stderr"
        if "pid" in options:
            properties["pid"] = whole_number({"--pid": options["pid"]}, "--pid", 0)
        if "follow" in options:
            properties["follow"] = new_id()
        return properties

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        names = chosen(control, request)
        count, stream, pid = _read(request.properties)
        output = cast(_HasOutput, control).output
        if output is None:
            raise ControlError("this arbiter keeps no output")
        lines = _fitting(output.last_lines(names, count, stream, pid))
        fields: dict[str, Any] = {
            "lines": lines,
            "offsets": output.offsets(names, stream, pid),
        }
        if token := request.properties.get("follow"):
            fields["endpoint"], fields["following"] = output.follow(str(token)[:64])
        answer(Reply(True, fields))

    def show(self, reply: Reply) -> str:
        if not reply.ok:
            return super().show(reply)
        return "\n".join(show_line(line) for line in reply.fields.get("lines", []))


def show_line(line: Mapping[str, Any], escape: bool = False) -> str:
    """A line as a user reads it; `escape` shows control characters instead of sending them."""
    mark = "!" if line["stream"] == "stderr" else "|"
    text = escaped(line["text"]) if escape else line["text"]
    return f"{line['watcher']} {line['pid']} {mark} {text}"


def escaped(text: str) -> str:
    """Control characters as escapes: output of a process must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode()
        for one in text
    )


def follow(
    client: Client, properties: Properties, write: Callable[[Mapping[str, Any]], None]
) -> None:
    """Writes the last lines, then each one that comes, until it is interrupted.

    Lines that were left out come as one whose text says how many. Raises
    ControlError; returns when the arbiter has ended.
    """
    import zmq  # a client has it loaded already; the arbiter need not

    token = str(properties["follow"])
    reply = _must(client.call("tail", {**properties, "lines": 0}))
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    try:
        socket.setsockopt(zmq.SUBSCRIBE, b"output.")
        socket.setsockopt(zmq.SUBSCRIBE, f"follower.{token}".encode())
        address = seen_from(client.endpoint, str(reply.fields["endpoint"]))
        client.credentials.arm(socket, address)
        socket.connect(address)
        reply = _joined(client, properties, socket, address)
        for line in reply.fields["lines"]:
            write(line)
        _Follower(properties, reply.fields["offsets"], write).run(socket, monitor)
    finally:
        socket.disable_monitor()
        monitor.close(0)
        socket.close(0)
        context.term()


def _joined(client: Client, properties: Properties, socket: Any, address: str) -> Reply:
    """The reply that comes once the arbiter knows of our subscription."""
    deadline = time.monotonic() + client.timeout
    while time.monotonic() < deadline:
        reply = _must(client.call("tail", properties))
        if reply.fields.get("following"):
            return reply
        socket.poll(10)
    raise NotAnswered(
        f"the arbiter does not hear the subscription to its output at {address}; from another "
        "machine, that needs output_endpoint = tcp://… in [circus]"
    )


class _Follower:
    """Puts messages together to lines, and notices what is missing."""

    def __init__(
        self,
        properties: Properties,
        offsets: Mapping[str, int],
        write: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._properties = properties
        self._offsets = dict(offsets)
        self._write = write
        self._lines: dict[str, int] = {}
        self._rests: dict[str, str] = {}

    def run(self, socket: Any, monitor: Any) -> None:
        """Reads until the arbiter closes."""
        import zmq

        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if socket in ready:
                topic, frame = socket.recv_multipart()
                self.heard(topic.decode(), json.loads(frame))
            elif monitor in ready:
                return

    def heard(self, topic: str, message: Mapping[str, Any]) -> None:
        """One message about one stream."""
        if not self._wanted(message):
            return
        if message["offset"] <= self._offsets.get(topic, 0):
            # Part of what the reply has shown already.
            self._lines[topic] = message["lines"]
            return
        parts = (self._rests.pop(topic, "") + message["data"]).split("\n")
        lost = message["lost"]
        if topic in self._lines:
            # Lines that never came: the queue for a slow follower was full.
            lost = message["lines"] - self._lines[topic] - message["data"].count("\n")
        self._lines[topic] = message["lines"]
        if lost > 0:
            self._write({**message, "text": f"[{lost} lines are not shown]"})
        if parts[-1]:
            self._rests[topic] = parts[-1]
        for text in parts[:-1]:
            self._write({**message, "text": text})

    def _wanted(self, message: Mapping[str, Any]) -> bool:
        name = self._properties.get("name")
        return (
            (name is None or _matches(name, message["watcher"]))
            and self._properties.get("stream") in (None, message["stream"])
            and self._properties.get("pid") in (None, message["pid"])
        )


def _matches(name: str, watcher: str) -> bool:
    import fnmatch

    return fnmatch.fnmatch(watcher.lower(), name.lower())


def _read(properties: Mapping[str, Any]) -> tuple[int, str, int | None]:
    count = whole_number(properties, "lines", LINES)
    stream = properties.get("stream") or ""
    if stream not in ("", "stdout", "stderr"):
        raise BadMessage(f"stream = {stream!r}: expected stdout or stderr")
    pid = None if properties.get("pid") is None else whole_number(properties, "pid", 0)
    return max(0, min(count, MOST_LINES)), stream, pid


def _fitting(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    size = 0
    for at in range(len(lines) - 1, -1, -1):
        size += len(str(lines[at]["text"])) + 100
        if size > MOST_BYTES:
            return lines[at + 1 :]
    return lines


def _must(reply: Reply) -> Reply:
    if not reply.ok:
        raise ControlError(reply.reason)
    return reply
